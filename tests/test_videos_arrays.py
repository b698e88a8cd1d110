import tracemalloc
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, nested_dtypes, scalar_dtypes

from sam2_core.errors import VideoError
from sam2_core.videos import ArrayVideo, ImageOptions, LiveVideo, open_source
from sam2_core.videos.arrays import open_npy
from sam2_core.videos.axes import layout_of

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (12, 7, 9), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 7, 9, 3), np.uint8)


class Recorder:
    """An array that writes down what is read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.keys = array, array.shape, []

    def __getitem__(self, key: tuple) -> np.ndarray:
        self.keys.append(key)
        return self.array[key]


def gray(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 3, axis=-1)


def test_gray_frames_become_rgb() -> None:
    video = ArrayVideo(GRAY)
    assert (len(video), video.size, video.frame_rate) == (12, (7, 9), None)
    assert np.array_equal(video[5], gray(GRAY[5]))


def test_colour_frames_stay_as_they_are_and_alpha_is_dropped() -> None:
    assert np.array_equal(ArrayVideo(COLOUR)[3], COLOUR[3])
    with_alpha = np.concatenate([COLOUR, COLOUR[..., :1]], axis=-1)
    assert np.array_equal(ArrayVideo(with_alpha)[3], COLOUR[3])


def test_a_frame_is_a_copy() -> None:
    array = COLOUR.copy()
    array.setflags(write=False)
    frame = ArrayVideo(array)[0]
    frame[:] = 0
    assert np.array_equal(array, COLOUR)


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3), (7, 9, 4), (7, 9, 1)])
def test_one_image_is_a_video_of_one_frame(shape: tuple[int, ...]) -> None:
    video = ArrayVideo(np.full(shape, 9, np.uint8))
    assert (len(video), video.size) == (1, (7, 9))
    assert video[0].shape == (7, 9, 3)


def test_channels_before_the_rows_become_colours() -> None:
    video = ArrayVideo(COLOUR.transpose(0, 3, 1, 2))
    assert (len(video), video.size) == (12, (7, 9))
    assert np.array_equal(video[4], COLOUR[4])
    blue = ArrayVideo(COLOUR.transpose(0, 3, 1, 2), ImageOptions(channels=(2,)))
    assert np.array_equal(blue[4], gray(COLOUR[4, ..., 2]))


def test_8_bit_data_are_read_only_where_they_are_asked_for() -> None:
    array = Recorder(np.zeros((100, 6, 7, 9), np.uint8))
    video = ArrayVideo(array, ImageOptions(channels=(3, 2)))
    assert array.keys == []
    video[42]
    assert array.keys == [(42, slice(2, 4), slice(None), slice(None))]


def test_16_bit_data_are_sampled_once() -> None:
    array = Recorder(RNG.integers(74, 496, (1000, 7, 9)).astype(np.uint16))
    video = ArrayVideo(array)
    video[5]
    assert len(array.keys) <= 11
    seen = len(array.keys)
    video[6]
    assert len(array.keys) == seen + 1


@pytest.mark.parametrize(
    ("shape", "axes", "frames", "channels", "size"),
    [
        ((5, 6, 7, 8), "TCYX", 5, 6, (7, 8)),
        ((5, 6, 7, 8), "CTYX", 6, 5, (7, 8)),
        ((7, 8, 5), "YXT", 5, 1, (7, 8)),
        ((5, 7, 8), "ZYX", 5, 1, (7, 8)),
        ((5, 6, 7, 8), "TZYX", 5, 1, (7, 8)),
        ((1, 6, 7, 8), "TZYX", 6, 1, (7, 8)),  # an axis of length 1 does not count
        ((5, 2, 6, 7, 8), "TCZYX", 5, 2, (7, 8)),
        ((5, 7, 8), "QYX", 5, 1, (7, 8)),
        ((2, 7, 8), "CYX", 1, 2, (7, 8)),
        ((5, 1, 7, 8, 3), "TCYXS", 5, 3, (7, 8)),
        ((5, 8, 7), "TXY", 5, 1, (7, 8)),
    ],
)
def test_axes_can_be_named(
    shape: tuple[int, ...], axes: str, frames: int, channels: int, size: tuple[int, int]
) -> None:
    layout = layout_of(shape, axes)
    assert (layout.frames, layout.channels, layout.size) == (frames, channels, size)
    array = np.arange(np.prod(shape)).reshape(shape)
    frame = layout.arranged(array[layout.key(frames - 1, slice(None))])
    assert frame.shape == (*size, channels)
    wanted = {
        "T": frames - 1,
        "Z": shape[axes.index("Z")] // 2 if "Z" in axes else 0,
        "Y": 3,
        "X": 2,
        "C": 0,
        "S": 0,
    }
    wanted[layout.time] = frames - 1
    assert (
        frame[3, 2, 0] == array[tuple(min(wanted.get(a, 0), n - 1) for a, n in zip(axes, shape, strict=True))]
    )


def test_one_plane_of_volumes_is_taken_the_middle_one_unless_it_is_named() -> None:
    volumes = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((3, 5, 7, 9), np.uint8)
    assert ArrayVideo(volumes, ImageOptions(axes="TZYX"))[1].max() == 2
    assert ArrayVideo(volumes, ImageOptions(axes="tzyx", z=4))[1].max() == 4
    with pytest.raises(VideoError, match=r"no plane z=5; the planes are 0\.\.4"):
        ArrayVideo(volumes, ImageOptions(axes="TZYX", z=5))
    with pytest.raises(VideoError, match="no Z beside time"):
        ArrayVideo(GRAY, ImageOptions(z=1))


@pytest.mark.parametrize("shape", [(9,), (5, 30, 7, 9), (5, 2, 6, 7, 9), (0, 7, 9)])
def test_a_shape_that_says_too_little_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(VideoError, match="shape"):
        ArrayVideo(np.zeros(shape))


@pytest.mark.parametrize("axes", ["TYX", "TTYX", "TCZY", "TCRQYX"])
def test_axes_that_do_not_fit_are_refused(axes: str) -> None:
    with pytest.raises(VideoError, match="axes"):
        layout_of((5,) * (6 if len(axes) == 6 else 4), axes)


def test_a_frame_that_does_not_exist_is_refused_and_iteration_ends() -> None:
    video = ArrayVideo(GRAY)
    for frame_index in (-1, 12):
        with pytest.raises(
            VideoError, match=rf"frame {frame_index} does not exist; the video has frames 0\.\.11"
        ):
            video[frame_index]
    assert sum(1 for _ in video) == 12
    assert np.array_equal(video[np.int64(3)], gray(GRAY[3]))


def test_only_the_chunks_of_a_frame_are_computed() -> None:
    computed = []

    def compute(frame_index: int) -> np.ndarray:
        computed.append(frame_index)
        return COLOUR[frame_index]

    frames = [dask.array.from_delayed(dask.delayed(compute)(i), (7, 9, 3), np.uint8) for i in range(12)]
    video = open_source(dask.array.stack(frames))
    assert np.array_equal(video[8], COLOUR[8])
    assert computed == [8]


def test_torch_zarr_and_gpu_arrays_are_read() -> None:
    assert np.array_equal(open_source(torch.from_numpy(COLOUR))[2], COLOUR[2])
    assert np.array_equal(open_source(zarr.array(COLOUR, chunks=(1, 7, 9, 3)))[2], COLOUR[2])

    class OnDevice(Recorder):
        def __getitem__(self, key: tuple) -> "OnDevice":
            return OnDevice(self.array[key])

        def __array__(self, *args: object) -> np.ndarray:
            raise TypeError("implicit conversion is not allowed")

        def get(self) -> np.ndarray:
            return self.array

    assert np.array_equal(open_source(OnDevice(COLOUR))[2], COLOUR[2])


def test_an_array_that_cannot_be_read_says_which_frame() -> None:
    class Broken(Recorder):
        def __getitem__(self, key: tuple) -> np.ndarray:
            raise RuntimeError("disk\non fire")

    with pytest.raises(VideoError, match="frame 3 cannot be read: disk on fire"):
        ArrayVideo(Broken(COLOUR))[3]


def test_npy_files_are_mapped(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (300, 100, 100, 3), np.uint8)
    np.save(tmp_path / "a.npy", stack)
    tracemalloc.start()
    try:
        video = open_source(tmp_path / "a.npy")
        assert np.array_equal(video[299], stack[299])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < stack.nbytes / 10


def test_pickles_npz_and_rubbish_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "a.npz", COLOUR)
    (tmp_path / "rubbish.npy").write_bytes(b"rubbish")
    (tmp_path / "empty.npy").write_bytes(b"")
    for name in ("objects.npy", "rubbish.npy", "empty.npy"):
        with pytest.raises(VideoError, match=f"cannot read '{name}'"):
            open_npy(tmp_path / name)
    with pytest.raises(VideoError, match=r"numpy\.save it as \.npy"):
        open_source(tmp_path / "a.npz")


ANYTHING = arrays(
    st.one_of(scalar_dtypes(), nested_dtypes()), array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=6)
)
LIMITS = st.sampled_from([None, (0, 1), (74, 495), (-1e300, 1e300)])


@settings(max_examples=100, deadline=None)
@given(ANYTHING, LIMITS)
def test_any_array_gives_8_bit_rgb_or_is_refused_in_one_line(
    array: np.ndarray, limits: tuple[float, float] | None
) -> None:
    for opened in (ArrayVideo, opened_live):
        try:
            video = opened(array, ImageOptions(contrast_limits=limits))
            for frame in video:
                assert (frame.shape, frame.dtype) == ((*video.size, 3), np.uint8)
        except VideoError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some, not all


def opened_live(array: np.ndarray, options: ImageOptions) -> LiveVideo:
    live = LiveVideo(options=options)
    live.append(array)
    return live


@pytest.mark.parametrize("dtype", [">u2", "<u2", ">i4", ">f4", ">f8", "i2", "f2"])
def test_the_order_of_bytes_and_the_type_do_not_matter(dtype: str) -> None:
    values = np.linspace(74, 495, 12 * 63).reshape(12, 7, 9).round()
    expected = np.stack(list(ArrayVideo(values)))
    shown = np.stack(list(ArrayVideo(values.astype(dtype))))
    assert np.abs(expected.astype(int) - shown).max() <= 1
    assert (shown.min(), shown.max()) == (0, 255)


def test_an_array_of_unknown_size_is_refused() -> None:
    unknown = dask.array.from_array(GRAY)
    with pytest.raises(VideoError, match="has no known size; compute it"):
        ArrayVideo(unknown[unknown[:, 0, 0] > 9])


@pytest.mark.parametrize("frame", [None, [[1, 2], [3]], "image", np.zeros((0, 5)), np.zeros((5, 5, 0))])
def test_a_live_video_refuses_what_is_no_frame(frame: object) -> None:
    live = LiveVideo()
    with pytest.raises(VideoError, match=r"frame"):
        live.append(frame)
    assert len(live) == 0
