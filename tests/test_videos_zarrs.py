from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions, open_source

RNG = np.random.default_rng(0)
DATA = RNG.integers(0, 256, (5, 2, 3, 12, 14), np.uint8)  # T C Z Y X
TCZYX = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space"},
    {"name": "y", "type": "space"},
    {"name": "x", "type": "space"},
]


def write_ome(path: Path, data: np.ndarray, axes: Any, version: str = "0.4") -> Path:
    """An OME-Zarr image of two levels; Zarr 3 since 0.5."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    chunks = (1,) * (data.ndim - 2) + data.shape[-2:]
    for level, array in (("full", data), ("half", data[..., ::2, ::2])):
        group.create_array(level, data=array, chunks=chunks)
    image: dict[str, Any] = {"datasets": [{"path": "full"}, {"path": "half"}], "version": version}
    if axes is not None:
        image["axes"] = axes
    ome = {"multiscales": [image]}
    group.attrs.update({"ome": ome} if version == "0.5" else ome)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_full_resolution_of_ome_zarr_is_read(tmp_path: Path, version: str) -> None:
    video = open_source(write_ome(tmp_path / "a.ome.zarr", DATA, TCZYX, version))
    assert (len(video), video.size) == (5, (12, 14))
    assert np.array_equal(video[4][..., :2], DATA[4, :, 1].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("axes", "taken"),
    [
        ([{"name": "T", "type": "time"}, *({"name": n, "type": "space"} for n in "yx")], np.s_[:, 0, 0]),
        (["z", "y", "x"], np.s_[:, 0, 0]),  # 0.3
        ([{"name": "frame", "type": "time"}, {"name": "y"}, {"name": "x"}], np.s_[:, 0, 0]),
        (None, np.s_[:]),  # 0.1 and 0.2
    ],
)
def test_axes_come_from_the_metadata(tmp_path: Path, axes: Any, taken: Any) -> None:
    video = open_source(write_ome(tmp_path / "a.zarr", DATA[taken], axes))
    assert (len(video), video.size) == (5, (12, 14))
    expected = DATA[3, 0, 1] if axes is None else DATA[3, 0, 0]
    assert np.array_equal(video[3][..., 0], expected)


def test_planes_and_channels_can_be_chosen(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.zarr", DATA, TCZYX)
    video = open_source(path, ImageOptions(z=2, channels=(1,)))
    assert np.array_equal(video[3][..., 2], DATA[3, 1, 2])


def test_only_the_chunks_of_the_frame_are_read(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.zarr", DATA, TCZYX, "0.5")
    for chunk in (path / "full" / "c").rglob("*"):
        if chunk.is_file() and chunk.relative_to(path / "full" / "c").parts[:3] not in (
            ("3", "0", "1"),
            ("3", "1", "1"),
        ):
            chunk.write_bytes(b"must not be read")
    video = open_source(path)
    assert np.array_equal(video[3][..., 1], DATA[3, 1, 1])
    with pytest.raises(VideoError, match="frame 2 cannot be read"):
        video[2]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays_are_read(tmp_path: Path, zarr_format: int) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=DATA[:, 0, 0], zarr_format=zarr_format)
    assert np.array_equal(open_source(tmp_path / "a.zarr")[2][..., 0], DATA[2, 0, 0])


def test_the_dimension_names_of_zarr_3_are_respected(tmp_path: Path) -> None:
    names = ["time", "z", "y", "x"]
    zarr.create_array(tmp_path / "a.zarr", data=DATA[:, 0], dimension_names=names)
    assert np.array_equal(open_source(tmp_path / "a.zarr")[2][..., 0], DATA[2, 0, 1])
    zarr.create_array(tmp_path / "b.zarr", data=DATA[:, 0], dimension_names=["this", "says", "nothing", None])
    assert np.array_equal(open_source(tmp_path / "b.zarr")[2][..., 0], DATA[2, 0, 0])  # channels


def test_a_group_with_one_array_is_that_array(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("raw", data=DATA[:, 0, 0])
    assert len(open_source(tmp_path / "a.zarr")) == 5
    group.create_array("labels", data=DATA[:, 0, 0])
    with pytest.raises(VideoError, match=r"give one array of it \(it holds labels, raw\)"):
        open_source(tmp_path / "a.zarr")
    assert len(open_source(tmp_path / "a.zarr" / "raw")) == 5


def test_the_first_image_of_a_converted_file_is_read(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    write_ome(tmp_path / "a.zarr" / "0", DATA, TCZYX)
    assert len(open_source(tmp_path / "a.zarr")) == 5


def test_a_plate_says_what_to_give(tmp_path: Path) -> None:
    plate = {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
    zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=2).attrs.update(plate)
    with pytest.raises(
        VideoError, match=r"is a plate; give one of its images, for example p.zarr/A/1/0, p.zarr/B/2/0"
    ):
        open_source(tmp_path / "p.zarr")


@pytest.mark.parametrize("damage", ["rubbish", '{"zarr_format": 3, "node_type": "array"}'])
def test_a_damaged_store_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text(damage)
    with pytest.raises(VideoError, match=r"cannot read 'a.zarr' as Zarr") as refused:
        open_source(tmp_path / "a.zarr")
    assert "\n" not in str(refused.value)


def test_a_level_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.zarr", DATA, TCZYX)
    (path / "full").rename(path / "gone")
    with pytest.raises(VideoError, match=r"cannot read 'a.zarr'"):
        open_source(path)
