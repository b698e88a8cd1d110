"""The picture of a run's curves."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from sam2_core.errors import ExportError
from sam2_core.training.curves import plot_curves


def write(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_loss_and_validation_are_drawn(tmp_path):
    log, picture = tmp_path / "log.jsonl", tmp_path / "curves.png"
    losses = [{"step": i, "loss": 1 / i if i != 3 else None} for i in range(1, 50)]
    write(log, losses)
    plot_curves(log, picture)
    without = np.asarray(Image.open(picture))
    write(log, [*losses, *({"step": i, "validation": {"click": i / 50, "mask": 0.5}} for i in (10, 40))])
    plot_curves(log, picture)
    with_it = np.asarray(Image.open(picture))
    half = with_it.shape[1] // 2
    assert (with_it[:, half:] != without[:, half:]).any()
    assert len(np.unique(with_it[:, :half].reshape(-1, 4), axis=0)) > 10


@pytest.mark.parametrize("text", [None, "no json"])
def test_a_log_that_cannot_be_read_is_said(tmp_path, text):
    if text:
        (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(ExportError, match="cannot read the log"):
        plot_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")


def test_a_picture_that_cannot_be_written_is_said(tmp_path):
    write(tmp_path / "log.jsonl", [{"step": 1, "loss": 0.5}])
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write"):
        plot_curves(tmp_path / "log.jsonl", tmp_path / "file" / "curves.png")


def test_matplotlib_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ExportError, match=r"sam2-core\[train\]"):
        plot_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
