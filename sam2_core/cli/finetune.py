"""``sam2 finetune``: a model goes on learning from annotated videos of its user."""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sam2_core import plugins
from sam2_core.cli import common, curves
from sam2_core.cli.datasets import DATASET, find_all
from sam2_core.cli.failures import UsageError
from sam2_core.cli.interrupts import asked_to_stop
from sam2_core.evaluation.runs import PROTOCOLS, Task, mean_of
from sam2_core.evaluation.scores import Counted
from sam2_core.exporters.files import make_folder
from sam2_core.hookspecs import VideoModel

if TYPE_CHECKING:
    from sam2_core.training.annotated import Annotated
    from sam2_core.training.trainer import Trainer

PROMPTS = ("mask", "1-click")
"""First prompts of the comparison on what was held out."""

VALIDATIONS = 4
"""How often a run looks at what is held out, for its curves."""

VALIDATION_CLIPS = 2
"""Clips that it looks at each time."""

SCORED = 3
"""Held-out frames of which at least one counts in the comparison."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "finetune",
        help="go on training a model on your own annotated videos",
        description="Go on training a model on your own annotated videos. On several cores or GPUs: "
        "OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m sam2_core.cli finetune ...",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", nargs="+", help=DATASET)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the run, with the new weights; the same command goes on with a run that was stopped",
    )
    parser.add_argument("--steps", type=_steps, default=200, metavar="N", help="(default: 200)")
    parser.add_argument(
        "--hold-out",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="of the annotated frames of each video, the last, on which old and new weights are compared "
        "(default: 0.2)",
    )
    parser.add_argument(
        "--divisions",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="for cells: so many of the objects of a training clip divide, simulated with your own frames, "
        "so that a mother ends where its daughters appear; 0.4 is a good share (default: 0)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    curves.add_arguments(parser)
    common.add_model_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from sam2_core.training.annotated import split
    from sam2_core.training.annotated_data import AnnotatedData, Views
    from sam2_core.training.parallel import Processes
    from sam2_core.training.plan import fine_tuning_plan
    from sam2_core.training.trainer import Trainer

    before = common.model_of(options)
    network = getattr(before, "network", None)
    if network is None:
        raise UsageError(f"{before.name} has no weights to train; give a SAM 2 model")
    _check_out(options)
    videos = [split(sequence, options.hold_out) for sequence, _ in find_all(options.dataset)]
    held_out = [kept for _, kept in videos if kept is not None]
    data = AnnotatedData(
        [trained for trained, _ in videos], held_out, views=Views(divisions=options.divisions)
    )
    make_folder(options.out)
    plan = fine_tuning_plan(network.config, options.steps, seed=options.seed)
    processes = Processes.join(next(network.parameters()).device)  # --device chose it
    trainer = Trainer(plan, options.out, processes, data, copy.deepcopy(network), strict=True)
    if processes.is_main:
        curves.begin(trainer, options)
    _train(trainer, options.steps)
    processes.leave()
    if trainer.step < options.steps:
        if processes.is_main:
            common.say(f"stopped after step {trainer.step} of {options.steps}; the same command goes on")
        return 130
    if processes.is_main:
        weights = options.out / f"{network.config.name}.safetensors"
        written = [weights, *curves.draw(trainer.log.path)]
        use = f"use it with --model {weights}\n"
        print(*(f"wrote {path}" for path in written), use, sep="\n", flush=True)
        _compare(
            held_out,
            before,
            plugins.load_model(
                weights, options.device, options.precision, windows=options.windows is not False
            ),
        )
    return 0


def _check_out(options: argparse.Namespace) -> None:
    """UsageError if the run would replace or mix with what is not of a run."""
    out = options.out.resolve()
    for place in options.dataset:
        if out.is_relative_to(place.resolve()):
            raise UsageError(
                f"--out {options.out} lies in the data set {str(place)!r}; give a folder elsewhere"
            )
    start = Path(options.model) if options.model else None
    if start is not None and start.is_file() and start.resolve().is_relative_to(out):
        raise UsageError(f"--out {options.out} holds the model to start from; give another folder")
    files = [path for path in out.iterdir() if path.suffix != ".part"] if out.is_dir() else []
    if files and not (out / "checkpoint.pt").is_file():
        raise UsageError(f"--out {options.out} holds files, and no run to go on with; give another folder")


def _train(trainer: Trainer, steps: int) -> None:
    every, main = max(10, -(-steps // VALIDATIONS)), trainer.processes.is_main
    hidden = not (main and common.on_terminal())
    bar = tqdm(total=steps, initial=trainer.step, unit="step", disable=hidden, leave=False)
    with asked_to_stop() as stopping, bar:
        for progress in trainer.run(stop=stopping.is_set):
            bar.update()
            bar.set_postfix_str(f"loss {progress.loss:.3f}")
            if main:
                trainer.log.write({"step": progress.step, "loss": progress.loss, **progress.metrics})
            if progress.step % every == 0 or progress.step == steps:
                found = trainer.validate(VALIDATION_CLIPS)
                if main:
                    trainer.log.write({"step": progress.step, "validation": found})


def _compare(videos: list[Annotated], *models: VideoModel) -> None:
    """J&F of the models on what was held out; each object is prompted where it is first to be seen."""
    if not videos:
        common.say("nothing was held out, so the new weights were compared with nothing")
        return
    rows = []
    for video in videos:
        truth = video.truth
        if len(truth.frames) < SCORED:
            common.say(
                f"{video.sequence.name}: {len(truth.frames)} held-out frames are too few to compare weights "
                "on, as the first and the last do not count"
            )
            continue
        for prompt in PROMPTS:
            scores = []
            for model in models:
                opened = partial(video.sequence.open_session, model)
                outcome = PROTOCOLS["vos"].run(Task(opened, truth, prompt, Counted.SINCE_SEEN))
                scores.append(100 * mean_of(outcome.objects.values()).get("J&F", float("nan")))
            objects = str(len(truth.objects))
            rows.append([video.sequence.name, prompt, objects, *(f"{score:.1f}" for score in scores)])
    if rows:
        common.print_table(["held out", "prompt", "objects", "J&F before", "J&F after"], rows)


def _steps(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"steps are a whole number from 1 on; got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"a share is a number from 0 to below 1; got {text!r}")
    return share
