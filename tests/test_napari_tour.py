"""The way of the README through a real window; SAM2_TOUR names the folder for the pictures that it shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.napari_for_tests import FIRST, SECOND, Window, middle, needs_a_screen, overlap

needs_a_screen()


def test_the_way_of_the_readme(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    window = Window(make_napari_viewer(show=True), qtbot)
    try:
        window.open_by_menus()
        walk(window, tmp_path)
    finally:
        window.close()


def walk(window: Window, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("SAM2_TOUR") or tmp_path / "tour")
    pictures.mkdir(parents=True, exist_ok=True)

    def picture(name: str) -> None:
        window.qtbot.wait(200)
        save(window.viewer.screenshot(canvas_only=False, flash=False)[..., :3], pictures / f"{name}.png")

    picture("1-sample")
    window.click(*middle(0, FIRST))
    window.press("N")
    window.click(*middle(0, SECOND))
    window.idle()
    picture("2-two-clicks")
    window.press("G")
    window.idle()
    window.go_to(12)
    picture("3-tracked")
    assert overlap(window.labels(12), 1, 12, FIRST) > 0.5
    assert overlap(window.labels(12), 2, 12, SECOND) > 0.5
    (tmp_path / "cells").mkdir()
    window.answer("export", tmp_path / "cells")
    assert (tmp_path / "cells" / "ctc" / "res_track.txt").read_text().splitlines() == ["1 0 15 0", "2 0 15 0"]
    assert len((tmp_path / "cells" / "tracks.csv").read_text().splitlines()) == 1 + 2 * 16
    picture("4-exported")
    window.press("H")
    window.qtbot.wait(200)
    file, box = pictures / "5-help.png", window.help_box()
    assert box.grab().save(str(file))
    save(np.asarray(Image.open(file).convert("RGB")), file)
    box.close()


def save(shot: NDArray[np.uint8], file: Path) -> None:
    assert shot.max() > 200
    assert np.std(shot) > 20  # a window, and not a black canvas
    Image.fromarray(shot).save(file)
