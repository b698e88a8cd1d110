"""How the command line reads a source: contrast, channels, plane, axes, and sessions whose video moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core import ImageOptions, Point, Prompt, open_session
from sam2_core.cli import main
from sam2_core.videos import ArrayVideo
from tests.cli_for_tests import labels, track
from tests.videos_for_tests import Disks

CLICK = ("--point", "1@0:10,12")
DISK = Disks().mask(0)


@pytest.fixture
def microscope(tmp_path: Path) -> Path:
    """Two times, two channels, three planes; one disk each, in channel 1 on plane 2 alone."""
    stack = np.full((2, 2, 3, 48, 64), 500, np.uint16)
    stack[0, 1, 2][DISK] = 900
    stack[1, 1, 2][Disks().mask(1, 1)] = 900
    np.save(tmp_path / "stack.npy", stack)
    return tmp_path / "stack.npy"


def found(source: Path, *arguments: str) -> np.ndarray:
    """The label image of frame 0 after one click on the disk."""
    assert track(source, *CLICK, *arguments) == 0
    return np.asarray(tifffile.imread(source.parent / "out" / "labels" / "00000.tif"))


def test_channel_plane_and_axes_are_chosen_on_the_command_line(microscope: Path) -> None:
    chosen = ("--axes", "tczyx", "--contrast", "0:1000")
    assert np.array_equal(found(microscope, *chosen, "--channels", "1", "--z", "2") > 0, DISK)
    assert found(microscope, *chosen, "--channels", "0", "--z", "2").all()  # nothing to see: all one colour
    assert found(microscope, *chosen, "--channels", "1", "--z", "1").all()
    assert len(labels(microscope)) == 2


def test_contrast_decides_what_is_seen(microscope: Path) -> None:
    chosen = ("--axes", "TCZYX", "--channels", "1", "--z", "2")
    assert found(microscope, *chosen, "--contrast", "0:60000").all()  # 500 and 900 are the same black
    assert np.array_equal(found(microscope, *chosen, "--contrast=-100:1000") > 0, DISK)


def test_segment_takes_the_same_options_and_shows_what_it_saw(microscope: Path) -> None:
    out = microscope.parent / "out"
    options = ["--axes", "TCZYX", "--channels", "0,1", "--z", "2", "--contrast", "0:1000,400:900"]
    draw = ["--model", "copy", "--out", str(out), "--format", "overlay"]
    assert main(["segment", str(microscope), *CLICK, *options, *draw]) == 0
    corner = np.asarray(Image.open(out / "overlay.png"))[-1, -1]
    assert corner.tolist() == [128, 51, 0]  # 500 of 0..1000 in red, of 400..900 in green


@pytest.mark.parametrize(
    "wrong",
    [
        ("--contrast", "9:3"),
        ("--contrast", "5"),
        ("--contrast", "1:2:3"),
        ("--contrast", "0:inf"),
        ("--contrast", "nan:1"),
        ("--contrast", "a:b"),
        ("--contrast", ""),
        ("--channels", "0,1,2,3"),
        ("--channels", "-1"),
        ("--channels", "red"),
        ("--channels", ","),
        ("--z", "-1"),
        ("--z", "top"),
        ("--axes", "TC"),
        ("--axes", "YYX"),
        ("--axes", "3YX"),
        ("--video", "elsewhere.npy"),  # the source is no saved session
        ("--any-video",),
    ],
)
def test_nonsense_is_one_line_and_wrong_usage(
    source: Path, wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, *CLICK, *wrong) == 2
    error = capsys.readouterr().err
    assert error.startswith("sam2: ")
    assert wrong[0] in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--channels", "7"), "no channel 7; the channels are 0..2"),
        (("--axes", "TYX"), "do not fit an array of shape"),
        (("--z", "3"), "has no Z beside time"),
        (("--contrast", "0:1,0:1"), "2 pairs of contrast limits do not fit 3 channels"),
    ],
)
def test_what_does_not_fit_the_source_is_one_line(
    source: Path, wrong: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, *CLICK, *wrong) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("track", "segment"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = capsys.readouterr().out
        for option in (
            "--contrast",
            "--channels",
            "--z",
            "--axes",
            "--labels",
            "--video",
            "--any-video",
            "--save",
        ):
            assert option in shown


def test_a_session_whose_video_moved_is_told_where_it_is(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, moved = source.parent / "s.sam2", source.parent / "elsewhere" / "moved.npy"
    assert track(source, *CLICK, "--frames", "0:3", "--save", str(saved)) == 0
    moved.parent.mkdir()
    source.rename(moved)
    assert track(saved) == 1  # it is not beside the session either
    assert "no file or folder" in capsys.readouterr().err
    assert track(saved, "--video", str(moved)) == 0
    assert len(labels(source)) == 12
    assert track(saved, "--video", str(source.parent / "mask.png")) == 1
    assert "this video has 1 of" in capsys.readouterr().err


def test_frames_that_look_otherwise_are_taken_if_asked_for(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, other = source.parent / "s.sam2", source.parent / "other.npy"
    assert track(source, *CLICK, "--frames", "0:3", "--save", str(saved)) == 0
    np.save(other, np.load(source)[:, :, ::-1])
    assert track(saved, "--video", str(other)) == 1
    error = capsys.readouterr().err
    assert "--any-video" in error
    assert "check_video" not in error
    assert error.count("\n") == 1
    assert track(saved, "--video", str(other), "--any-video") == 0
    assert len(labels(source)) == 12


def test_a_session_remembers_its_image_options(microscope: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--axes", "TCZYX", "--channels", "1", "--z", "2", "--contrast", "0:1000")
    saved = microscope.parent / "s.sam2"
    assert track(microscope, *CLICK, *options, "--save", str(saved)) == 0
    assert track(saved, "--point", "2@1:11,36") == 0
    later = tifffile.imread(microscope.parent / "out" / "labels" / "00001.tif")
    assert np.array_equal(later == 2, Disks().mask(1, 1))
    capsys.readouterr()
    assert track(saved, *options) == 2
    assert "remembers how its frames are read" in capsys.readouterr().err


def test_a_session_made_from_an_array_is_given_its_frames_and_how_to_read_them(
    microscope: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, chosen = microscope.parent / "s.sam2", ImageOptions((0, 1000), (1,), 2, "TCZYX")
    with open_session(ArrayVideo(np.load(microscope), chosen), model="copy") as session:
        session.add_prompt(Prompt(0, 1, (Point(10, 12),)))
        session.save(saved)
    assert track(saved) == 1
    error = capsys.readouterr().err
    assert "--video PATH" in error
    assert "video=" not in error
    options = ("--axes", "TCZYX", "--channels", "1", "--z", "2", "--contrast", "0:1000")
    assert track(saved, "--video", str(microscope), *options) == 0
    assert len(labels(microscope)) == 2


def test_segment_saves_its_session(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, saved, image = source.parent / "out", source.parent / "s.sam2", source.parent / "frame.png"
    Image.fromarray(Disks()[0]).save(image)
    segment = ["segment", str(image), *CLICK, "--model", "copy", "--out", str(out)]
    assert main([*segment, "--save", str(saved), "--json"]) == 0
    assert str(saved) in json.loads(capsys.readouterr().out)["written"]
    with open_session(saved) as session:
        assert session.object_ids == (1,)
    image.rename(source.parent / "moved.png")
    again = ["segment", str(saved), "--out", str(out), "--video", str(source.parent / "moved.png")]
    assert main([*again, "--point", "2@0:10,36"]) == 0
    assert np.unique(tifffile.imread(out / "labels" / "00000.tif")).tolist() == [0, 1, 2]
    assert main([*segment, "--save", str(source.parent)]) == 1
    assert "a folder is there" in capsys.readouterr().err


def test_one_frame_is_drawn_as_a_picture_and_several_as_a_film(source: Path) -> None:
    out, image = source.parent / "out", source.parent / "odd.png"
    Image.fromarray(Disks(size=(49, 63))[0]).save(image)
    draw = ["--model", "copy", "--out", str(out), "--format", "overlay"]
    assert main(["segment", str(image), *CLICK, *draw]) == 0
    assert shown(out) == ["overlay.png"]
    picture = np.asarray(Image.open(out / "overlay.png"))
    assert picture.shape == (49, 63, 3)  # as the image, not padded for a film
    assert (picture[6, 10] == 255).all()  # prompted: a white outline, on the first row of the disk
    assert main(["segment", str(source), *CLICK, "--point", "1@3:13,12", *draw]) == 0
    assert shown(out) == ["overlay.mp4"]  # the picture of another command does not stay beside it
    assert main(["track", str(source), *CLICK, "--frames", "0:1", *draw]) == 0
    assert shown(out) == ["overlay.png"]


def shown(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
