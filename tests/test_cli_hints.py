"""What the command line says when the bundled model is unsure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sam2_core import MaskletFrame, masks
from sam2_core.cli import hints
from sam2_core.results import Masklet
from tests.cli_for_tests import track

CLICK = ("--point", "1@0:10,12", "--frames", "0:2")


def masklet(object_id: int, scores: dict[int, float], hidden: tuple[int, ...] = ()) -> Masklet:
    encoded = masks.encode(np.ones((2, 2)))
    frames = {i: MaskletFrame(encoded, s, i not in hidden, "propagated") for i, s in scores.items()}
    return Masklet(object_id, frames)


def test_only_objects_with_a_low_mean_over_visible_masks_are_named() -> None:
    sure = masklet(1, {0: 0.9, 1: 0.5})
    unsure = masklet(2, {0: 0.9, 1: 0.4, 2: 0.3, 3: 0.2})
    gone = masklet(3, {0: 0.9, 1: 0.0, 2: 0.0}, hidden=(1, 2))  # not visible is not doubtful
    hint = hints.doubt("nano", {1: sure, 2: unsure, 3: gone})
    assert hint is not None
    assert "object 2 on frames 1-3 (predicted IoU 0.45)" in hint
    assert "object 1" not in hint
    assert "object 3" not in hint
    assert hints.doubt("nano", {1: sure, 3: gone}) is None
    assert hints.doubt("sam2.1-tiny", {2: unsure}) is None


def test_many_doubtful_objects_stay_one_short_line() -> None:
    scattered = {i: 0.2 if i % 2 else 0.7 for i in range(9)}
    hint = hints.doubt("nano", {i: masklet(i, scattered) for i in range(1, 9)})
    assert hint is not None
    assert "object 1 on 4 frames of 1-7" in hint
    assert "and 5 more;" in hint
    assert len(hint) < 400
    assert "frame 4 (" in str(hints.doubt("nano", {1: masklet(1, {4: 0.1})}))


def test_the_hint_is_one_line_on_stderr_after_the_table(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hints, "LOW", 1.1)  # every mask is doubtful then, whatever nano learns
    assert track(source, *CLICK, model="nano") == 0
    said = capsys.readouterr()
    assert said.err.startswith("sam2: hint: nano is unsure of object 1 on frames 0-1")
    assert "published checkpoint may do better" in said.err
    assert said.err.count("\n") == 1
    assert "unsure" not in said.out


@pytest.mark.parametrize(
    ("low", "model", "more"), [(1.1, "nano", ("--json",)), (0.0, "nano", ()), (1.1, "copy", ())]
)
def test_no_hint_for_scripts_nor_without_doubt_nor_for_other_models(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    low: float, model: str, more: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setattr(hints, "LOW", low)
    assert track(source, *CLICK, *more, model=model) == 0
    said = capsys.readouterr()
    assert said.err == ""
    if more:
        json.loads(said.out)
