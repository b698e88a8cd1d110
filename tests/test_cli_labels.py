"""Label images as prompts of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core.cli import main
from sam2_core.exporters import davis
from tests.cli_for_tests import labels, track
from tests.videos_for_tests import Disks

LABELS = 3 * Disks().mask(0).astype(np.uint16) + 700 * Disks().mask(0, 1)


def painted(source: Path, frame_index: int = 0) -> np.ndarray:
    return np.asarray(tifffile.imread(source.parent / "out" / "labels" / f"{frame_index:05}.tif"))


def write(folder: Path, name: str, values: np.ndarray) -> str:
    path = folder / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.tif", "u2"), ("a.tif", "i4"), ("a.tif", "f4"), ("a.tif", "u8"), ("a.png", "u2")]
)
def test_every_label_becomes_an_object_with_that_id_and_exactly_that_mask(
    source: Path, name: str, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, "--labels", write(source.parent, name, LABELS.astype(dtype)), "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["objects"]) == ["3", "700"]
    assert np.array_equal(painted(source), LABELS)
    assert len(labels(source)) == 12


def test_indexed_pictures_hold_ids_in_their_index(source: Path) -> None:
    image = Image.fromarray(np.minimum(LABELS, 7).astype(np.uint8))
    image.putpalette([0, 0, 0] * 3 + [9, 9, 9] * 5)  # the colours say nothing
    image.save(source.parent / "davis.png")
    assert track(source, "--labels", str(source.parent / "davis.png")) == 0
    assert np.unique(painted(source)).tolist() == [0, 3, 7]


def test_a_binary_mask_is_object_one(source: Path) -> None:
    mask = write(source.parent, "mask.png", 255 * Disks().mask(0).astype(np.uint8))
    assert track(source, "--labels", mask) == 0
    assert np.array_equal(painted(source), Disks().mask(0))


@pytest.mark.parametrize(("name", "dtype"), [("a.tif", "u2"), ("palette.png", "u1")])
def test_object_255_stays_object_255(source: Path, name: str, dtype: str) -> None:
    values = (255 * Disks().mask(0)).astype(dtype)
    path = write(source.parent, name, values)
    if name == "palette.png":
        image = Image.fromarray(values)
        image.putpalette(davis.palette().tobytes())
        image.save(path)
    assert track(source, "--labels", path) == 0
    assert np.array_equal(painted(source), 255 * Disks().mask(0))


def test_label_images_lie_on_the_frame_that_is_given(source: Path) -> None:
    first = write(source.parent, "first.tif", LABELS)
    later = write(source.parent, "@2:later.tif", (5 * Disks().mask(4)).astype(np.uint8))
    assert track(source, "--labels", first, "--labels", f"@4:{later}") == 0
    assert np.array_equal(painted(source), LABELS)
    assert (painted(source, 4)[Disks().mask(4)] == 5).any()
    assert np.unique(painted(source, 3)).tolist() == [0, 3, 700]


def test_segment_and_other_prompts_go_with_label_images(source: Path) -> None:
    out, image = source.parent / "out", source.parent / "frame.png"
    Image.fromarray(Disks()[0]).save(image)
    mine = write(source.parent, "a.tif", (3 * Disks().mask(0)).astype(np.uint8))
    arguments = ["--labels", mine, "--point", "1@0:10,36", "--model", "copy", "--out", str(out)]
    assert main(["segment", str(image), *arguments]) == 0
    assert np.unique(painted(source)).tolist() == [0, 1, 3]


def test_what_tracking_wrote_is_a_prompt_again(source: Path) -> None:
    assert track(source, "--labels", write(source.parent, "a.tif", LABELS)) == 0
    (source.parent / "out" / "labels" / "00006.tif").rename(source.parent / "six.tif")
    six = np.asarray(tifffile.imread(source.parent / "six.tif"))
    assert track(source, "--labels", f"@6:{source.parent / 'six.tif'}", "--both") == 0
    assert np.array_equal(painted(source, 6), six)
    assert len(labels(source)) == 12


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("small.tif", LABELS[:40], "is 64 x 40 pixels, the frames are 64 x 48"),
        ("empty.tif", LABELS * 0, "holds no label"),
        ("negative.tif", LABELS.astype(np.int16) - 1, "labels from -1"),
        ("mixed.png", np.maximum(LABELS % 251, 255 * Disks().mask(5)).astype(np.uint8), "mixes 255"),
        ("huge.tif", LABELS.astype(np.uint32) * 2**24, "object ids from 1 to 2147483647"),
        ("half.tif", LABELS.astype(np.float32) / 2, "labels are whole numbers"),
        ("stack.tif", np.stack([LABELS, LABELS]), "one label image"),
        ("colour.png", np.stack([LABELS.astype(np.uint8)] * 3, -1), "in colour"),
    ],
)
def test_what_is_no_label_image_of_this_video_gets_one_clear_line(
    source: Path, name: str, values: np.ndarray, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(source, "--labels", write(source.parent, name, values)) == 1
    error = capsys.readouterr().err
    assert says in error
    assert name in error
    assert error.count("\n") == 1


def test_what_the_library_logs_of_a_cut_file_is_not_shown(
    source: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = Path(write(source.parent, "a.tif", LABELS))
    cut = source.parent / "cut.tif"
    for length in (200, len(whole.read_bytes()) - 1):
        cut.write_bytes(whole.read_bytes()[:length])
        assert track(source, "--labels", str(cut)) == 1
        error = capsys.readouterr().err
        assert "it is cut off, or damaged" in error
        assert error.count("\n") == 1
        assert not caplog.records


def test_broken_and_missing_files_and_frames_get_one_clear_line(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Path(write(source.parent, "a.tif", LABELS))
    (source.parent / "cut.tif").write_bytes(whole.read_bytes()[:60])
    (source.parent / "text.png").write_text("no picture")
    for name, says in (("cut.tif", "cut.tif"), ("text.png", "text.png"), ("gone.tif", "No such file")):
        assert track(source, "--labels", str(source.parent / name)) == 1
        error = capsys.readouterr().err
        assert "cannot read the label image" in error
        assert says in error
        assert error.count("\n") == 1
    assert track(source, "--labels", f"@99:{whole}") == 1
    assert "frames 0..11" in capsys.readouterr().err
    for unclear in ("@5", "@5:", "@:a.tif", "@-1:a.tif", "@a:a.tif"):
        assert track(source, "--labels", unclear) == 2
        assert "@FRAME:FILE" in capsys.readouterr().err


def test_two_masks_of_one_object_on_one_frame_are_refused(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = write(source.parent, "a.tif", LABELS)
    assert track(source, "--labels", mine, "--mask", f"3@0:{source.parent / 'mask.png'}") == 1
    assert "two masks of one object" in capsys.readouterr().err
