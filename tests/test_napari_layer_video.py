"""A napari image layer as a video: right planes, right brightness, and nothing read that is not needed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from napari.layers import Image
from numpy.typing import NDArray
from sam2_napari.layer_video import axes_of, layer_video

from sam2_core import Video
from tests.layers_for_tests import Counting, as_video, bytes_of, lazy

RNG = np.random.default_rng(0)
SIM = (74, 495)
HELA = (33005, 36084)
"""Ranges of 16-bit microscopy that other plugins show black or flat."""


def gray(plane: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(plane[..., None], 3, axis=-1)


def test_a_time_lapse() -> None:
    data = bytes_of(12, 7, 9)
    video = as_video(Image(data, name="cells"))
    assert isinstance(video, Video)
    assert (len(video), video.size, video.name) == (12, (7, 9), "cells")
    for i in range(12):
        assert np.array_equal(video[i], gray(data[i]))
        assert np.array_equal(video.intensities(i), data[i])


def test_the_channel_at_the_slider_or_all_as_colours() -> None:
    data = bytes_of(5, 4, 7, 9)
    layer = Image(data)
    one = as_video(layer, 4, 2, 0, 0)
    assert np.array_equal(one[1], gray(data[1, 2]))
    assert np.array_equal(one.intensities(1), data[1, 2])
    colours = as_video(layer, 4, 2, 0, 0, all_channels=True)
    assert np.array_equal(colours[1], np.moveaxis(data[1, :3], 0, -1))
    assert np.array_equal(colours.intensities(1), np.moveaxis(data[1], 0, -1))  # the fourth as well
    two = as_video(Image(data[:, :2]), all_channels=True)
    assert np.array_equal(two[3][..., :2], np.moveaxis(data[3, :2], 0, -1))
    assert not two[3][..., 2].any()
    single = as_video(Image(data[:, :1], axis_labels=("t", "c", "y", "x")), all_channels=True)
    assert np.array_equal(single[3], gray(data[3, 0]))


@pytest.mark.parametrize("labels", [("c", "t", "y", "x"), ("t", "c", "y", "x")])
def test_channels_lie_where_the_labels_say(labels: tuple[str, ...]) -> None:
    data = bytes_of(3, 3, 7, 9)
    expected = data if labels[0] == "t" else data.swapaxes(0, 1)
    layer = Image(data, axis_labels=labels)
    assert np.array_equal(as_video(layer, 1, 1, 0, 0)[2], gray(expected[2, 1]))
    assert np.array_equal(as_video(layer, all_channels=True)[2], np.moveaxis(expected[2], 0, -1))


def test_a_stack_is_a_video_along_z() -> None:
    data = bytes_of(12, 7, 9)
    video = as_video(Image(data, axis_labels=("z", "y", "x")))
    assert len(video) == 12
    assert np.array_equal(video[11], gray(data[11]))


def test_of_volumes_in_time_the_plane_at_the_slider() -> None:
    data = bytes_of(4, 9, 7, 9)
    layer = Image(data, axis_labels=("t", "z", "y", "x"))
    assert np.array_equal(as_video(layer, 3, 5.2, 0, 0)[2], gray(data[2, 5]))
    along_z = layer_video(layer, axes_of(layer).with_time(1), (3, 5, 0, 0))
    assert len(along_z) == 9
    assert np.array_equal(along_z[8], gray(data[3, 8]))


def test_all_axes_at_once() -> None:
    data = bytes_of(4, 5, 2, 7, 9)
    layer = Image(data, axis_labels=("t", "z", "c", "y", "x"))
    video = as_video(layer, 0, 3, 0, 0, 0, all_channels=True)
    assert np.array_equal(video.intensities(2), np.moveaxis(data[2, 3], 0, -1))


@pytest.mark.parametrize("colours", [3, 4])
def test_rgb_stays_as_it_is_and_alpha_is_dropped(colours: int) -> None:
    data = bytes_of(5, 40, 50, colours)
    layer = Image(data, rgb=True, contrast_limits=(0, 40))  # which napari does not look at
    for video in (as_video(layer), as_video(layer, contrast="layer"), as_video(layer, all_channels=True)):
        assert (len(video), video.size) == (5, (40, 50))
        assert np.array_equal(video[3], data[3, ..., :3])
        assert np.array_equal(video.intensities(3), data[3, ..., :3])


@pytest.mark.parametrize("shape", [(7, 9), (1, 7, 9), (1, 1, 7, 9)])
def test_a_single_picture_is_a_video_of_one_frame(shape: tuple[int, ...]) -> None:
    data = bytes_of(*shape)
    video = as_video(Image(data))
    assert (len(video), video.size) == (1, (7, 9))
    assert np.array_equal(video[0], gray(data.reshape(7, 9)))
    picture = bytes_of(40, 50, 3)
    assert np.array_equal(as_video(Image(picture, rgb=True))[0], picture)


def test_a_picture_of_several_channels() -> None:
    data = bytes_of(3, 7, 9)
    layer = Image(data, axis_labels=("c", "y", "x"))
    assert np.array_equal(as_video(layer, all_channels=True)[0], np.moveaxis(data, 0, -1))
    assert np.array_equal(as_video(layer, 2, 0, 0)[0], gray(data[2]))


@pytest.mark.parametrize("values", [SIM, HELA])
@pytest.mark.parametrize("contrast", ["layer", "percentiles"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_narrow_16_bit_range_is_neither_black_nor_flat(
    values: tuple[int, int], contrast: str, byte_order: str
) -> None:
    data = RNG.integers(*values, (6, 40, 50), dtype=np.uint16, endpoint=True).astype(f"{byte_order}u2")
    video = as_video(Image(data), contrast=contrast)
    for i in range(6):
        assert len(np.unique(video[i])) > 200
        assert video[i].min() < 5
        assert video[i].max() > 250
    assert np.array_equal(video.intensities(5), data[5])


def test_the_video_is_of_the_layer_as_it_was_when_the_video_was_made() -> None:
    data = RNG.integers(0, 4000, (6, 7, 9), dtype=np.uint16)
    layer = Image(data, contrast_limits=(1000, 3000), gamma=0.3)
    video = as_video(layer, contrast="layer")
    layer.contrast_limits = (0, 10)
    layer.axis_labels = ("a", "b", "c")
    layer.data = np.zeros((2, 3, 4), np.uint16)
    expected = np.rint(np.clip((data.astype(float) - 1000) / 2000, 0, 1) * 255)
    assert np.abs(video[4][..., 0] - expected[4]).max() <= 1


def test_another_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match="'percentiles' or 'layer'; got 'min-max'"):
        as_video(Image(bytes_of(6, 7, 9)), contrast="min-max")


def test_contrast_limits_apply_to_8_bit_images_and_percentiles_do_not() -> None:
    data = np.full((3, 7, 9), 60, np.uint8)
    layer = Image(data, contrast_limits=(50, 70))
    assert np.unique(as_video(layer, contrast="layer")[0]).tolist() in ([127], [128])
    assert np.unique(as_video(layer)[0]).tolist() == [60]


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1, "f2"), (100, "f2"), (1e-6, "f4"), (1, "f4"), (1e6, "f4"), (1e300, "f8")]
)
def test_floats_of_any_size(scale: float, dtype: str) -> None:
    data = (RNG.random((6, 40, 50)) * scale).astype(dtype)
    for contrast in ("layer", "percentiles"):
        assert len(np.unique(as_video(Image(data), contrast=contrast)[3])) > 200


def test_brightness_is_one_scale_for_all_frames() -> None:
    data = RNG.integers(100, 200, (6, 40, 50)).astype(np.uint16)
    data[5] *= 10
    video = as_video(Image(data))
    assert video[0].max() < 40
    assert video[5].mean() > 100


@pytest.mark.parametrize("contrast", ["layer", "percentiles"])
def test_what_is_not_finite_is_as_dark_as_the_lowest_value(contrast: str) -> None:
    data = RNG.uniform(5, 6, (4, 40, 50)).astype(np.float32)
    data[1, 0, :3] = np.nan, np.inf, -np.inf
    data[2] = np.nan
    data[3] = np.inf
    video = as_video(Image(data, contrast_limits=(5, 6)), contrast=contrast)
    assert not video[1][0, :3].any()
    assert len(np.unique(video[1])) > 200
    assert not video[2].any()
    assert not video[3].any()
    assert np.array_equal(video.intensities(1), data[1], equal_nan=True)
    assert np.isinf(data[3]).all()  # what was read is not changed


@pytest.mark.parametrize("limits", [(np.nan, np.nan), (3, 3), (0, np.inf), None])
def test_limits_that_are_none_give_way_to_percentiles(limits: Any) -> None:
    data = RNG.integers(*HELA, (6, 40, 50), dtype=np.uint16)
    layer = SimpleNamespace(data=data, name="odd", contrast_limits=limits)
    assert np.array_equal(as_video(layer, contrast="layer")[2], as_video(layer)[2])


def test_booleans_are_black_and_white() -> None:
    data = RNG.random((3, 7, 9)) > 0.5
    for contrast in ("layer", "percentiles"):
        assert np.array_equal(as_video(Image(data), contrast=contrast)[1], gray(data[1] * 255))


def test_of_several_resolutions_the_full_one() -> None:
    data = bytes_of(4, 64, 48)
    layer = Image([data, data[:, ::2, ::2]], multiscale=True)
    video = as_video(layer)
    assert (len(video), video.size) == (4, (64, 48))
    assert np.array_equal(video[3], gray(data[3]))


def test_of_a_thousand_chunks_only_those_of_the_frame_are_computed() -> None:
    counting = Counting(RNG.integers(*SIM, (1000, 40, 50), dtype=np.uint16))
    layer = Image(lazy(counting), contrast_limits=SIM)
    counting.read.clear()
    video = as_video(layer, contrast="layer")
    assert counting.read == []  # opening reads none
    video[700]
    video[3]
    video.intensities(8)
    assert counting.read == [700, 3, 8]


def test_percentiles_read_ten_frames_once() -> None:
    counting = Counting(RNG.integers(*SIM, (1000, 40, 50), dtype=np.uint16))
    layer = Image(lazy(counting), contrast_limits=SIM)
    counting.read.clear()
    video = as_video(layer)
    assert counting.read == []
    assert len(np.unique(video[777])) > 200
    assert sorted(counting.read) == sorted([777, *range(0, 1000, 100)])
    counting.read.clear()
    video[4]
    assert counting.read == [4]


def test_8_bit_images_are_never_sampled() -> None:
    counting = Counting(bytes_of(100, 7, 9))
    layer = Image(lazy(counting), contrast_limits=(0, 255))
    counting.read.clear()
    as_video(layer)[42]
    assert counting.read == [42]


class CountingStore(zarr.storage.MemoryStore):
    """Writes down which chunks are read."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[str] = []

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        if key.startswith("c/"):
            self.chunks.append(key)
        return await super().get(key, *arguments, **options)


def test_of_a_thousand_chunks_of_zarr_only_those_of_the_frame_are_read() -> None:
    store = CountingStore()
    array = zarr.create_array(store, shape=(250, 2, 8, 12), chunks=(1, 1, 4, 12), dtype="uint16")  # 1000
    array[200] = RNG.integers(*HELA, (2, 8, 12))
    layer = Image(array, contrast_limits=HELA)
    store.chunks.clear()
    video = as_video(layer, 0, 1, 0, 0, contrast="layer")
    assert store.chunks == []
    frame = video[200]
    assert sorted(store.chunks) == ["c/200/1/0/0", "c/200/1/1/0"]
    assert np.array_equal(video.intensities(200), array[200, 1])
    assert len(np.unique(frame)) > 20


def test_a_file_mapped_into_memory_is_read_and_never_written(tmp_path: Path) -> None:
    data = bytes_of(6, 7, 9)
    np.save(tmp_path / "a.npy", data)
    video = as_video(Image(np.load(tmp_path / "a.npy", mmap_mode="r")))
    video[2][:] = 0
    values = video.intensities(2)
    values[:] = 0
    assert np.array_equal(video.intensities(2), data[2])
    assert np.array_equal(video[2], gray(data[2]))


def test_the_video_remembers_where_the_layer_came_from() -> None:
    data = bytes_of(6, 7, 9)
    assert as_video(Image(data)).origin is None
    layer = SimpleNamespace(data=data, name="film", source=SimpleNamespace(path="films/a.tif"))
    assert as_video(layer).origin.path == "films/a.tif"


def test_another_thread_reads_the_same_frames() -> None:
    data = RNG.integers(*HELA, (6, 40, 50), dtype=np.uint16)
    video = as_video(Image(dask.array.from_array(data, chunks=(1, 40, 50)), contrast_limits=HELA))
    found: list[NDArray[np.uint8]] = []
    thread = threading.Thread(target=lambda: found.extend(video[i] for i in range(6)))
    thread.start()
    thread.join(60)
    assert len(found) == 6
    assert all(np.array_equal(frame, video[i]) for i, frame in enumerate(found))
