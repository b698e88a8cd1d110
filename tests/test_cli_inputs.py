"""No result of the command line replaces what it reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_core.cli import main
from tests.videos_for_tests import Disks

CLICK = ("--point", "1@0:10,12", "--model", "copy")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> bool:
    status = main(["track", *map(str, arguments), *CLICK])
    said = capsys.readouterr().err
    return status == 2 and said.count("\n") == 1 and "which is read" in said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames that lie where results would go: ``davis/00000.tif`` and so on."""
    frames = tmp_path / "davis"
    frames.mkdir()
    for index in range(3):
        tifffile.imwrite(frames / f"{index:05}.tif", np.asarray(Disks()[index]))
    return tmp_path


def test_frames_in_the_folder_of_a_format_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (folder / "davis").iterdir()}
    assert refused(capsys, folder / "davis", "--out", folder, "--format", "davis")
    assert refused(capsys, folder / "davis", "--out", folder / "x" / "..", "--format", "labels,davis")
    assert {path: path.read_bytes() for path in (folder / "davis").iterdir()} == before
    assert main(["track", str(folder / "davis"), "--out", str(folder), "--format", "labels", *CLICK]) == 0


def test_a_source_is_not_replaced_by_a_session_or_an_overlay(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = folder / "overlay.tif"
    tifffile.imwrite(film, np.stack([np.asarray(Disks()[i]) for i in range(3)]), photometric="rgb")
    before = film.read_bytes()
    assert refused(capsys, film, "--out", folder / "out", "--save", film)
    assert refused(capsys, film, "--out", folder, "--format", "overlay")
    assert film.read_bytes() == before


def test_prompts_are_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = folder / "labels" / "00000.tif"
    seeds.parent.mkdir()
    tifffile.imwrite(seeds, Disks().mask(0).astype(np.uint8))
    before = seeds.read_bytes()
    assert refused(capsys, folder / "davis", "--labels", seeds, "--out", folder, "--format", "labels")
    assert refused(capsys, folder / "davis", "--labels", seeds, "--out", folder / "o", "--save", seeds)
    assert refused(capsys, folder / "davis", "--mask", f"2@0:{seeds}", "--out", folder, "--format", "labels")
    assert seeds.read_bytes() == before


def test_a_saved_session_may_be_saved_again_under_its_name(folder: Path) -> None:
    track = ["track", str(folder / "davis"), "--out", str(folder / "out"), "--save", str(folder / "s.sam2")]
    assert main([*track, "--frames", "0:2", *CLICK]) == 0
    shutil.rmtree(folder / "out")
    again = ["track", str(folder / "s.sam2"), "--out", str(folder / "out"), "--save", str(folder / "s.sam2")]
    assert main([*again, "--model", "copy"]) == 0
    assert len(list((folder / "out" / "labels").iterdir())) == 3
