"""``sam2 train``: nano from nothing with the recommended plan, on with a run, or on from weights (--weights).

DIR gets ``checkpoint.pt`` (what a later call goes on from), ``nano.safetensors`` (averaged weights in
float16, a model that can be used), ``log.jsonl`` (metrics), ``curves.png`` (of loss and validation) and
``clips/`` (up to 3 GB per process). Ctrl-C ends the run after the step (of several processes: within four), a
second Ctrl-C at once; the same command goes on as if nothing had happened. On several cores:
``OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m sam2_core.cli train --out DIR``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2_core import plugins
from sam2_core.cli import common, curves
from sam2_core.cli.failures import UsageError, usage
from sam2_core.cli.interrupts import asked_to_stop
from sam2_core.training.schedule import NANO_STAGES

if TYPE_CHECKING:
    from sam2_core.models.sam2 import SAM2
    from sam2_core.training.plan import Plan
    from sam2_core.training.trainer import Progress, Trainer

_LOG_EVERY = 20


def plan(options: argparse.Namespace) -> Plan:
    """Nano's plan with the numbers of steps that were asked for; after --weights by default its end alone."""
    from sam2_core.training.plan import nano_plan

    *_, last = NANO_STAGES
    given = {name: getattr(options, name.replace("-", "_")) for name in NANO_STAGES}
    if options.weights is not None:
        given = {name: 0 if steps is None and name != last else steps for name, steps in given.items()}
    steps = {name: steps for name, steps in given.items() if steps is not None}
    return nano_plan(steps, burn_in=options.burn_in, seed=options.seed)


def start_of(options: argparse.Namespace) -> SAM2 | None:
    """The network to begin with; None for fresh weights."""
    if options.weights is None:
        return None
    from sam2_core.models.config import config

    network: SAM2 | None = getattr(plugins.load_model(options.weights, "cpu"), "network", None)
    if network is None or network.config != config("nano"):
        raise UsageError(f"--weights {options.weights} is no nano; 'sam2 finetune' trains other models")
    return network


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command; its defaults are the recommended plan for a fresh nano."""
    result: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train nano from nothing",
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
    result.add_argument(
        "--weights",
        help="begin with these weights of nano (a name, or a file) instead of fresh ones; the stages before "
        "the last are then left out, unless their steps are given",
        metavar="MODEL",
    )
    result.add_argument("--validation-clips", type=int, default=16, help="held-out clips (%(default)s)")
    curves.add_arguments(result)
    stages = result.add_argument_group("stages", "steps of each stage, in this order, and what it teaches")
    for name, stage in NANO_STAGES.items():
        stages.add_argument(f"--{name}", type=int, help=f"{stage.teaches} ({stage.steps})", metavar="STEPS")
    stages.add_argument(
        "--burn-in",
        type=int,
        default=10,
        help="in the last stage, at most so many frames are tracked before those that are learnt from "
        "(%(default)s)",
        metavar="FRAMES",
    )
    result.set_defaults(run=run)
    return result


def run(options: argparse.Namespace) -> int:
    """Train until the plan or the time is over."""
    from sam2_core.training.data import Procedural
    from sam2_core.training.parallel import Processes
    from sam2_core.training.pictures import Pictures
    from sam2_core.training.trainer import Trainer

    with usage():
        pictures = Pictures(options.pictures) if options.pictures else None
    clock, processes = common.Clock(), Processes.join()
    trainer = Trainer(plan(options), options.out, processes, Procedural(pictures), start_of(options))
    if processes.is_main:
        curves.begin(trainer, options)
    with asked_to_stop() as stopping:
        _train(trainer, options, clock, stopping.is_set)
        stopped = stopping.is_set() and trainer.plan.stage_at(trainer.step) is not None
    processes.leave()
    if processes.is_main:
        drawn = curves.draw(trainer.log.path)
        if stopped:
            common.say(f"stopped after step {trainer.step}; the same command goes on")
        else:
            weights = options.out / f"{trainer.plan.network.name}.safetensors"
            print(*(f"wrote {path}" for path in (weights, *drawn)), f"after step {trainer.step}", sep="\n")
    return 130 if stopped else 0


def _train(
    trainer: Trainer, options: argparse.Namespace, clock: common.Clock, stop: Callable[[], bool]
) -> None:
    sums: dict[str, list[float]] = {}
    main, drawn = trainer.processes.is_main, True
    for progress in trainer.run(options.minutes * 60, stop):
        _add(sums, progress)
        if progress.step % _LOG_EVERY == 0:
            if main:
                trainer.log.write(_entry(progress, clock.seconds, sums))
            sums.clear()
        if options.validate_every and progress.step % options.validate_every == 0:
            metrics = trainer.validate(options.validation_clips)
            if main:
                trainer.log.write({"step": progress.step, "validation": metrics})
                drawn = drawn and bool(curves.draw(trainer.log.path))  # why not is said once


def _add(sums: dict[str, list[float]], progress: Progress) -> None:
    rate = {"loss": progress.loss, "rate": progress.learning_rate * 1e4}
    for name, value in (rate | progress.metrics).items():
        sums.setdefault(name, []).append(value)


def _entry(progress: Progress, seconds: float, sums: dict[str, list[float]]) -> dict[str, object]:
    """A line of the log: means since the last one, learning rate in units of 1e-4; steps skipped so far."""
    means = {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
    where = {"step": progress.step, "stage": progress.stage, "seconds": round(seconds, 1)}
    return where | means | {"skipped": progress.skipped}
