"""Train nano with the recommended plan, or go on with a run: ``python -m sam2_core.training.run --out DIR``.

DIR gets ``checkpoint.pt`` (what a later call goes on from), ``nano.safetensors`` (averaged weights in
float16, a model that can be used), ``log.jsonl`` (metrics) and ``clips/`` (up to 3 GB per process). Ctrl-C
ends the run within four steps; the same command goes on as if nothing had happened. On several cores:
``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m sam2_core.training.run --out DIR``.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from sam2_core.errors import VideoError
from sam2_core.training.data import Procedural
from sam2_core.training.parallel import Processes
from sam2_core.training.pictures import Pictures
from sam2_core.training.plan import NANO_STAGES, Plan, nano_plan
from sam2_core.training.trainer import Progress, Trainer

_LOG_EVERY = 20


def plan(arguments: argparse.Namespace) -> Plan:
    """Nano's plan with the numbers of steps that were asked for."""
    steps = {name: getattr(arguments, name.replace("-", "_")) for name in NANO_STAGES}
    return nano_plan(steps, burn_in=arguments.burn_in, seed=arguments.seed)


def parser() -> argparse.ArgumentParser:
    """The arguments; the defaults are the recommended plan for a fresh nano."""
    result = argparse.ArgumentParser(
        prog="python -m sam2_core.training.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--out", type=Path, required=True, help="folder of the run; resumes what is there")
    result.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop (resumable) after this time"
    )
    result.add_argument(
        "--seed", type=int, default=1, help="of initial weights, clips and prompts (%(default)s)"
    )
    result.add_argument(
        "--validate-every", type=int, default=500, help="steps between validations; 0: never (%(default)s)"
    )
    result.add_argument(
        "--pictures",
        type=Path,
        help="packed real pictures for layered scenes (python -m sam2_core.training.pictures)",
        metavar="FILE",
    )
    result.add_argument("--validation-clips", type=int, default=16, help="held-out clips (%(default)s)")
    stages = result.add_argument_group("stages", "steps of each stage, in this order, and what it teaches")
    for name, stage in NANO_STAGES.items():
        stages.add_argument(
            f"--{name}", type=int, default=stage.steps, help=f"{stage.teaches} (%(default)s)", metavar="STEPS"
        )
    stages.add_argument(
        "--burn-in",
        type=int,
        default=10,
        help="in the last stage, at most so many frames are tracked before those that are learnt from "
        "(%(default)s)",
        metavar="FRAMES",
    )
    return result


def main(argv: list[str] | None = None) -> int:
    """Train until the plan or the time is over."""
    arguments = parser().parse_args(argv)
    try:
        pictures = Pictures(arguments.pictures) if arguments.pictures else None
    except VideoError as error:
        parser().error(str(error))
    processes = Processes.join()
    with warnings.catch_warnings():
        warnings.showwarning = _say
        trainer = Trainer(plan(arguments), arguments.out, processes, Procedural(pictures))
    stopping = _stop_signal()
    start = time.monotonic()
    sums: dict[str, list[float]] = {}
    for progress in trainer.run(arguments.minutes * 60, stopping.is_set):
        _add(sums, progress)
        if progress.step % _LOG_EVERY == 0:
            if processes.is_main:
                trainer.log.write(_entry(progress, time.monotonic() - start, sums))
            sums.clear()
        if arguments.validate_every and progress.step % arguments.validate_every == 0:
            metrics = trainer.validate(arguments.validation_clips)
            if processes.is_main:
                trainer.log.write({"step": progress.step, "validation": metrics})
    processes.leave()
    return 0


def _say(message: Warning | str, *where: object, **more: object) -> None:
    """A warning as one line, without the place in our source."""
    sys.stderr.write(f"warning: {message}\n")


def _stop_signal() -> threading.Event:
    """Set by Ctrl-C and SIGTERM; torchrun sends either of them once more, which must not disturb saving."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _add(sums: dict[str, list[float]], progress: Progress) -> None:
    rate = {"loss": progress.loss, "rate": progress.learning_rate * 1e4}
    for name, value in (rate | progress.metrics).items():
        sums.setdefault(name, []).append(value)


def _entry(progress: Progress, seconds: float, sums: dict[str, list[float]]) -> dict[str, object]:
    """A line of the log: means since the last one, learning rate in units of 1e-4; steps skipped so far."""
    means = {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
    where = {"step": progress.step, "stage": progress.stage, "seconds": round(seconds, 1)}
    return where | means | {"skipped": progress.skipped}


if __name__ == "__main__":
    sys.exit(main())
