"""A run that is killed again and again, at any moment, goes on to the same curve and the same weights."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.annotated_for_tests import make_annotated
from tests.skips import PLATFORM

RUN = """
import sys
from pathlib import Path
import torch
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.training.annotated import split
from sam2_core.training.annotated_data import AnnotatedData, Views
from sam2_core.training.main_stages import ClipTracking
from sam2_core.training.trainer import Trainer
from tests.training_for_tests import tiny_network, tiny_plan

folder, dataset = map(Path, sys.argv[1:])
torch.set_num_threads(1)
data = start = None
stages = tiny_plan().stages
if dataset.is_dir():  # as "sam2 finetune" does it
    (sequence,), _ = find_sequences(dataset)
    data = AnnotatedData([split(sequence, 0.0)[0]], (), 0.2, Views(0.5, 0.2))
    start = tiny_network()
    stages = (ClipTracking(12, clips=2, frames=3, objects=2, image_probability=0.3, image_stage=stages[2]),)
plan = tiny_plan(stages=stages, save_every=0.0)  # it saves after every step
trainer = Trainer(plan, folder, data=data, start=start, strict=True)
for progress in trainer.run():
    trainer.log.write({"step": progress.step, "loss": progress.loss})
"""


def started(folder: Path, dataset: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(dataset)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


def written(folder: Path) -> dict[Path, int]:
    """When each file of a run was written last, without the unfinished ones: those may go while one looks."""
    paths = (path for path in folder.iterdir() if path.suffix != ".part")
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


def killed_after(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> bool:
    """Kill the process so many seconds after it has written something; False if it was done before."""
    before = written(folder)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if written(folder) != before:
            time.sleep(seconds)
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGKILL, 0), error.decode()
    return process.returncode != 0


@pytest.mark.skipif(sys.platform == "win32", reason=f"{PLATFORM}it sends a signal")
@pytest.mark.parametrize("kind", ["procedural", "annotated"])
def test_a_run_that_is_killed_at_any_moment_ends_on_the_same_curve(tmp_path: Path, kind: str) -> None:
    dataset = make_annotated(tmp_path / "data", 5) if kind == "annotated" else tmp_path / "none"
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert started(whole, dataset).wait(timeout=300) == 0
    folder.mkdir()
    rng = random.Random(kind)
    kills = sum(killed_after(started(folder, dataset), folder, rng.uniform(0, 0.25)) for _ in range(2))
    assert kills >= 1  # on a quick machine the last one may come too late
    assert started(folder, dataset).wait(timeout=300) == 0
    entries, expected = (
        [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]
        for place in (folder, whole)
    )
    states = [torch.load(place / "checkpoint.pt", weights_only=True) for place in (folder, whole)]
    assert [entry["step"] for entry in expected] == list(range(1, states[1]["step"] + 1))
    assert entries == expected
    assert states[0]["step"] == states[1]["step"]
    for part in ("network", "averaged"):
        for name, value in states[1][part].items():
            assert torch.equal(states[0][part][name], value), name
    assert not list(folder.glob(".*.part"))
