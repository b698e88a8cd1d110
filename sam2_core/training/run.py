"""``python -m sam2_core.training.run --out DIR``: train nano, or go on with it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from sam2_core.training.lessons import FollowObjects, SegmentImages
from sam2_core.training.losses import LossWeights
from sam2_core.training.parallel import Lanes
from sam2_core.training.prompts import PromptMix
from sam2_core.training.stages import Stage
from sam2_core.training.trainer import Plan, Progress, Trainer
from sam2_core.training.warmups import DrawPrompts, TellApart

_GENTLE = LossWeights(focal=5, balanced=1)
_FAIR = LossWeights(iou=2, alpha=0.5)
"""Objects must not shrink from frame to frame, and of three masks the best shall be chosen."""


def plan(arguments: argparse.Namespace) -> Plan:
    """The stages with the numbers of steps that were asked for."""
    images = SegmentImages(arguments.images, rate=4e-4, weights=_FAIR)
    early = replace(images, steps=arguments.early, weights=_GENTLE, rounds=1)
    mix = PromptMix(mask=0.6, box=0.2, click=0.2)
    pairs = FollowObjects(
        arguments.pairs,
        rate=4e-4,
        clips=6,
        frames=2,
        stride=5,
        corrected=0,
        images=0.35,
        mix=mix,
        new_clips=0.8,
        weights=_FAIR,
        image_stage=images,
    )
    clips = replace(
        pairs, steps=arguments.clips, clips=3, frames=4, stride=2, corrected=0.2, images=0.25, new_clips=0.5
    )
    follow = replace(
        clips,
        steps=arguments.follow,
        lead=arguments.lead,
        rate=3e-4,
        final_rate=1e-5,
        cool_down=arguments.follow // 3,
        image_stage=replace(images, mended=0.3),
        new_clips=1.5,
    )
    stages: tuple[Stage, ...] = (
        DrawPrompts(arguments.draw),
        TellApart(arguments.tell),
        early,
        images,
        pairs,
        clips,
        follow,
    )
    return Plan(stages=stages, seed=arguments.seed)


def parser() -> argparse.ArgumentParser:
    """The arguments; the defaults are the plan of about three hours on two CPU cores."""
    result = argparse.ArgumentParser(description=__doc__)
    result.add_argument("--out", type=Path, required=True, help="folder of the run; resumes what is there")
    result.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop (resumable) after this time"
    )
    result.add_argument("--seed", type=int, default=1)
    result.add_argument("--validate-every", type=int, default=500, help="steps between validations")
    result.add_argument("--validation-clips", type=int, default=16, help="held-out clips")
    defaults = {"draw": 250, "tell": 300, "early": 120, "images": 160, "pairs": 340, "clips": 650}
    for name, steps in (defaults | {"follow": 3000}).items():
        result.add_argument(f"--{name}", type=int, default=steps, help="steps of this stage")
    result.add_argument("--lead", type=int, default=10, help="frames that are only gone through, at most")
    return result


def main(argv: list[str] | None = None) -> int:
    """Train until the plan or the time is over."""
    arguments = parser().parse_args(argv)
    lanes = Lanes.join()
    trainer = Trainer(plan(arguments), arguments.out, lanes)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    begun = time.monotonic()
    sums: dict[str, list[float]] = {}
    for progress in trainer.run(arguments.minutes * 60, stopping.is_set):
        _add(sums, progress)
        if progress.step % 20 == 0 and lanes.lane == 0:
            trainer.journal.write(_entry(progress, time.monotonic() - begun, sums))
            sums.clear()
        if progress.step % arguments.validate_every == 0:
            figures = trainer.validate(arguments.validation_clips)
            if lanes.lane == 0:
                trainer.journal.write({"step": progress.step, "validation": figures})
    lanes.leave()
    return 0


def _add(sums: dict[str, list[float]], progress: Progress) -> None:
    for name, value in ({"loss": progress.loss, "rate": progress.rate * 1e4} | progress.figures).items():
        sums.setdefault(name, []).append(value)


def _entry(progress: Progress, seconds: float, sums: dict[str, list[float]]) -> dict[str, object]:
    """A line of the log: means since the last one; the rate in units of 1e-4."""
    means = {name: round(sum(values) / len(values), 4) for name, values in sums.items()}
    return {"step": progress.step, "stage": progress.stage, "seconds": round(seconds, 1)} | means


if __name__ == "__main__":
    sys.exit(main())
