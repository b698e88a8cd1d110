"""A TIFF that is cut off, anywhere: its frames and a warning, or a refusal; never another video."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core.errors import VideoError
from sam2_core.types import Video
from sam2_core.videos import ImageOptions, IncompleteVideoWarning, open_source

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 256, (6, 24, 30), np.uint8)
PAIRS = STACK.reshape(3, 2, 24, 30)
TCYX = {"axes": "TCYX"}


def write(data: np.ndarray = STACK, **options: object) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, data, **options)


def write_each(path: Path, **options: object) -> None:
    with tifffile.TiffWriter(path) as writer:
        for image in STACK:
            writer.write(image, **options)


def write_with_pillow(path: Path) -> None:
    first, *others = map(Image.fromarray, STACK)
    first.save(path, save_all=True, append_images=others, compression="tiff_lzw")


WRITERS = {
    "ome": write(PAIRS, ome=True, metadata=TCYX),
    "ome zlib": write(PAIRS, ome=True, metadata=TCYX, compression="zlib"),
    "imagej": write(imagej=True),
    "imagej channels": write(PAIRS, imagej=True, metadata=TCYX),
    "plain": write(),
    "zlib": write(compression="zlib"),
    "shaped channels": write(PAIRS, metadata=TCYX, compression="zlib"),
    "no metadata": write(metadata=None, compression="zlib"),
    "big, other byte order": write(bigtiff=True, byteorder=">", compression="zlib"),
    "tiles": write(metadata=None, compression="zlib", tile=(16, 16)),
    "one header": write(truncate=True),
    "a call for each frame": lambda path: write_each(path, compression="zlib"),
    "a call for each page": lambda path: write_each(path, compression="zlib", metadata=None),
    "Pillow": write_with_pillow,
}


def opened(path: Path) -> tuple[Video | None, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return open_source(path, ImageOptions()), [str(warning.message) for warning in caught]
        except VideoError as error:
            return None, [str(error)]


@pytest.mark.parametrize("name", WRITERS)
def test_wherever_a_tiff_is_cut_off_it_is_refused_or_warns_and_gives_its_frames(
    tmp_path: Path, name: str
) -> None:
    WRITERS[name](tmp_path / "whole.tif")
    data, whole = (tmp_path / "whole.tif").read_bytes(), list(open_source(tmp_path / "whole.tif"))
    path = tmp_path / "a.tif"
    for length in sorted({*range(8, len(data), 29), *range(len(data) - 900, len(data), 11), len(data) - 1}):
        path.write_bytes(data[:length])
        video, said = opened(path)
        assert all("\n" not in line for line in said)
        if video is None:
            continue
        assert len(video) == len(whole) or "is cut off after" in said[0]
        assert all(np.array_equal(frame, whole[number]) for number, frame in enumerate(video))


@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_tiff_gives_no_warning(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "a.tif")
    video, said = opened(tmp_path / "a.tif")
    assert (video is not None, said) == (True, [])


@pytest.mark.parametrize("missing", [1, 300, 700])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_without_its_ome_xml_the_axes_are_not_guessed(
    tmp_path: Path, missing: int, compression: str | None
) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, PAIRS, metadata=TCYX, compression=compression)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(VideoError, match=f"is cut off after {size - missing} of at least .*; copy it again"):
        open_source(path)


def test_the_warning_says_how_many_frames_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(IncompleteVideoWarning, match="'a.tif' is cut off .*: 5 frames of 6 are there"):
        assert len(open_source(path)) == 5


def test_an_image_of_a_folder_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"{number}.tif", STACK[:5], compression="zlib")
    (tmp_path / "1.tif").write_bytes((tmp_path / "1.tif").read_bytes()[:-1])
    video = open_source(tmp_path)
    assert np.array_equal(video[2][..., 0], STACK[2])
    with pytest.raises(VideoError, match=r"'1.tif' is cut off"):  # its middle plane would be another one
        video[1]
