"""What a layer that is no video, or a frame that cannot be read, says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Image
from numpy.typing import NDArray
from sam2_napari.axes import Axes
from sam2_napari.layer_video import axes_of, layer_video

from sam2_core import VideoError
from tests.layers_for_tests import RNG, Counting, as_video, bytes_of, lazy


def test_a_chunk_that_cannot_be_read_names_its_frame_and_leaves_the_others() -> None:
    counting = Counting(RNG.integers(74, 496, (40, 40, 50), dtype=np.uint16))
    layer = Image(lazy(counting), contrast_limits=(74, 495))
    counting.read.clear()
    counting.broken = 4  # one of the sample
    video = as_video(layer)
    for read in (video.__getitem__, video.intensities):
        counting.read.clear()
        with pytest.raises(VideoError, match=r"^frame 4 cannot be read: the disk is gone$"):
            read(4)
    counting.read.clear()
    assert video[5].max() == 255


CODEC = "<COMPRESSION.LZW: 5> requires the 'imagecodecs' package"


class Failing(Counting):
    def __init__(self, error: Exception) -> None:
        super().__init__(bytes_of(6, 7, 9))
        self.error = error

    def __getitem__(self, key: Any) -> NDArray[Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError(CODEC), f"KeyError {CODEC}; pip install imagecodecs"),
        (ValueError(CODEC), f"{CODEC}; pip install imagecodecs"),
        (KeyError("c/0/0"), "KeyError c/0/0"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_the_reason_is_said_in_one_line_and_a_missing_codec_with_what_to_install(
    error: Exception, said: str
) -> None:
    layer = SimpleNamespace(data=Failing(error), name="failing")
    with pytest.raises(VideoError) as raised:
        as_video(layer)[2]
    assert str(raised.value) == f"frame 2 cannot be read: {said}"


def test_a_frame_of_another_size_is_refused() -> None:
    class Shrinking(Counting):
        def __getitem__(self, key: Any) -> NDArray[Any]:
            return super().__getitem__(key)[..., : 9 - key[0]]

    layer = SimpleNamespace(data=Shrinking(bytes_of(6, 7, 9)), name="shrinking")
    video = as_video(layer)
    video[0]
    with pytest.raises(VideoError, match="frame 3 cannot be read: it has 7 x 6 pixels, the image says 7 x 9"):
        video[3]


@pytest.mark.parametrize("frame", [-1, 12])
def test_a_frame_that_does_not_exist_is_refused(frame: int) -> None:
    video = as_video(Image(bytes_of(12, 7, 9)))
    for read in (video.__getitem__, video.intensities):
        with pytest.raises(VideoError, match=rf"frame {frame} does not exist; the video has frames 0\.\.11"):
            read(frame)


@pytest.mark.parametrize("shape", [(0, 7, 9), (5, 0, 9), (5, 7, 0), (5, 0, 7, 9)])
def test_an_empty_image_is_refused(shape: tuple[int, ...]) -> None:
    layer = SimpleNamespace(data=np.zeros(shape, np.uint8), name="nothing")
    with pytest.raises(VideoError, match=r"^'nothing' is empty: it has the shape"):
        as_video(layer)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]", object])
def test_what_are_no_numbers_is_refused(dtype: Any) -> None:
    layer = SimpleNamespace(data=np.zeros((5, 7, 9)).astype(dtype), name="words")
    with pytest.raises(
        VideoError, match=r"^'words' holds values of the type .*; integers or floats are needed$"
    ):
        as_video(layer)


def test_without_rows_and_columns_there_is_no_video() -> None:
    layer = SimpleNamespace(data=np.zeros(9), name="line")
    with pytest.raises(VideoError, match=r"^'line' cannot be used as a video: an image has rows and columns"):
        axes_of(layer)
    with pytest.raises(VideoError, match=r"^'line' is no image: it has the shape \(9,\)"):
        layer_video(layer, Axes((7, 9)), (0, 0))


def test_a_shape_that_dask_has_not_computed_is_refused() -> None:
    data = dask.array.from_array(bytes_of(6, 7, 9))
    layer = SimpleNamespace(data=data[data[:, 0, 0] > 3], name="unknown")
    with pytest.raises(VideoError, match=r"^'unknown' cannot be used as a video"):
        axes_of(layer)


def test_axes_and_positions_of_another_image_are_refused() -> None:
    layer = Image(bytes_of(6, 7, 9), name="cells")
    with pytest.raises(VideoError, match=r"^'cells' has the shape \(6, 7, 9\), but the axes given"):
        layer_video(layer, Axes((5, 7, 9), time=0), (0, 0, 0))
    layer = Image(bytes_of(6, 8, 7, 9), name="cells", axis_labels=("t", "z", "y", "x"))
    with pytest.raises(VideoError, match=r"^'cells' cannot .* 3 numbers .* one per axis$"):
        layer_video(layer, axes_of(layer), (0, 0, 0))
