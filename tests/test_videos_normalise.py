import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sam2_core.errors import VideoError
from sam2_core.videos import ImageOptions
from sam2_core.videos.normalise import Normaliser, Planes, found_limits, planes_of, sampled

SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=6).filter(lambda shape: shape[2] <= 3)
PLAIN = ImageOptions()


def normalised(planes: Planes, options: ImageOptions = PLAIN) -> np.ndarray:
    return Normaliser(options)(planes, lambda: [planes])


@given(arrays(np.uint8, SHAPES))
def test_8_bit_values_are_kept(planes: Planes) -> None:
    rgb = normalised(planes)
    channels = planes.shape[2]
    assert np.array_equal(rgb[..., :channels], planes)
    if channels == 1:
        assert np.array_equal(rgb, np.repeat(planes, 3, axis=2))
    assert not rgb[..., 2].any() or channels != 2


@given(arrays(np.uint16, SHAPES))
def test_brighter_values_never_become_darker(planes: Planes) -> None:
    values, shown = planes[..., 0].ravel(), normalised(planes)[..., 0].ravel()
    assert np.all(np.diff(shown[np.argsort(values, kind="stable")].astype(int)) >= 0)


@given(
    arrays(np.int32, SHAPES, elements=st.integers(-(2**20), 2**20)), st.integers(1, 50), st.integers(-99, 99)
)
def test_the_scale_of_the_values_does_not_matter(planes: Planes, factor: int, offset: int) -> None:
    difference = normalised(planes).astype(int) - normalised(planes.astype(np.int64) * factor + offset)
    assert np.abs(difference).max() <= 1


@given(arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_any_float_gives_an_image_and_nan_is_black(planes: Planes) -> None:
    rgb = normalised(planes)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (*planes.shape[:2], 3))
    assert not rgb[..., : planes.shape[2]][np.isnan(planes)].any()


def test_nan_and_infinity_do_not_count_for_the_limits() -> None:
    planes = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50, 1)
    clean = found_limits([planes], 1)
    planes = np.concatenate([planes, np.full((1, 50, 1), np.nan), np.full((1, 50, 1), np.inf)])
    assert np.array_equal(found_limits([planes], 1), clean)
    assert normalised(planes)[-1].min() == 255  # infinity
    assert np.array_equal(found_limits([np.full((2, 2, 1), np.nan)], 1), [[0], [1]])


def test_dark_16_bit_data_do_not_turn_black() -> None:
    planes = np.random.default_rng(0).integers(74, 496, (40, 50, 1)).astype(np.uint16)
    rgb = normalised(planes)
    assert (rgb.min(), rgb.max()) == (0, 255)
    assert 110 < rgb.mean() < 145


def test_a_constant_image_is_black_and_a_speck_is_white() -> None:
    planes = np.full((40, 40, 1), 700, np.uint16)
    assert not normalised(planes).any()
    planes[3, 4] = 900  # too small for the percentiles
    assert normalised(planes)[3, 4].tolist() == [255, 255, 255]
    assert normalised(planes)[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint64]
)
def test_the_largest_and_the_smallest_values_are_told_apart(dtype: type) -> None:
    info = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    half = info.max // 2 if np.issubdtype(dtype, np.integer) else 0
    planes = np.repeat(np.array([info.min, half, info.max], dtype), 100).reshape(1, 300, 1)
    shown = normalised(planes)[0, ::100, 0]
    assert (shown[0], shown[2]) == (0, 255)
    assert 100 < shown[1] < 210


@given(arrays(np.int16, (5, 4, 6, 1)))
def test_what_is_equal_is_shown_equal_in_all_frames(frames: Planes) -> None:
    normaliser = Normaliser(PLAIN)
    shown = np.stack([normaliser(frame, lambda: frames)[..., 0] for frame in frames]).ravel()
    for value in np.unique(frames):
        assert len(np.unique(shown[frames.ravel() == value])) == 1


def test_true_is_white() -> None:
    assert normalised(np.eye(4, dtype=bool)[..., None])[..., 1].tolist() == (np.eye(4) * 255).tolist()


def test_each_channel_has_limits_of_its_own() -> None:
    ramp = np.linspace(0, 1, 400).reshape(20, 20)
    rgb = normalised(np.stack([ramp * 100, ramp * 60000], axis=-1).astype(np.uint16))
    assert rgb[..., 0].max() == rgb[..., 1].max() == 255
    assert not rgb[..., 2].any()


def test_given_limits_are_used_also_for_8_bit_data() -> None:
    planes = np.array([[[50], [100], [150], [250]]], np.uint8)
    assert normalised(planes, ImageOptions((100, 150)))[0, :, 0].tolist() == [0, 0, 255, 255]
    pairs = ImageOptions([(0, 100), (0, 200)])
    assert normalised(np.full((1, 1, 2), 100, np.uint16), pairs)[0, 0].tolist() == [255, 128, 0]


def test_limits_are_found_once_for_all_frames() -> None:
    frames = [np.full((2, 2, 1), value, np.uint16) for value in (100, 200, 300)]
    calls = []
    normaliser = Normaliser(PLAIN)

    def sample() -> list[Planes]:
        calls.append(1)
        return frames

    assert [int(normaliser(frame, sample)[0, 0, 0]) for frame in frames] == [0, 128, 255]
    assert calls == [1]


@pytest.mark.parametrize(("frames", "expected"), [(1, 1), (9, 9), (10, 10), (11, 6), (25, 9), (1000, 10)])
def test_at_most_ten_frames_are_sampled(frames: int, expected: int) -> None:
    read: list[int] = []

    def frame(frame_index: int) -> Planes:
        read.append(frame_index)
        if frame_index == 0:
            raise VideoError("frame 0 is broken")
        return np.zeros((1, 1, 1))

    assert len(list(sampled(frame, frames))) == expected - 1
    assert len(read) == expected
    assert max(read) < frames


def test_channels_can_be_chosen() -> None:
    image = np.arange(5, dtype=np.uint8) * np.ones((2, 2, 1), np.uint8)
    assert planes_of(image, PLAIN)[0, 0].tolist() == [0, 1, 2]
    assert planes_of(image, ImageOptions(channels=(4,)))[0, 0].tolist() == [4]
    assert planes_of(image, ImageOptions(channels=(3, 0)))[0, 0].tolist() == [3, 0]
    with pytest.raises(VideoError, match=r"no channel 5; the channels are 0\.\.4"):
        planes_of(image, ImageOptions(channels=(5,)))


@pytest.mark.parametrize(
    "options",
    [
        {"channels": ()},
        {"channels": (0, 1, 2, 3)},
        {"contrast_limits": (5, 5)},
        {"contrast_limits": (9, 1)},
        {"contrast_limits": (float("nan"), 1)},
        {"contrast_limits": (1, 2, 3)},
        {"contrast_limits": (0, float("inf"))},
        {"contrast_limits": "auto"},
        {"contrast_limits": [(0, 1), (2,)]},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(VideoError):
        ImageOptions(**options)


def test_limits_for_another_number_of_channels_are_refused() -> None:
    with pytest.raises(VideoError, match="2 pairs of contrast limits do not fit 3 channels"):
        normalised(np.zeros((2, 2, 3), np.uint8), ImageOptions([(0, 1), (0, 1)]))


@pytest.mark.parametrize("dtype", [complex, object, "U3", "datetime64[s]"])
def test_values_that_are_no_numbers_are_refused(dtype: object) -> None:
    with pytest.raises(VideoError, match="cannot be shown"):
        normalised(np.zeros((2, 2, 1), dtype))


def test_large_frames_are_thinned_for_the_limits() -> None:
    planes = np.random.default_rng(0).normal(1000, 100, (2048, 1024, 1)).astype(np.float32)
    low, high = normalised(planes)[..., 0].min(), normalised(planes)[..., 0].max()
    assert (low, high) == (0, 255)
