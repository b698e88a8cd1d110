"""Which axis of a napari layer is the video, the channel, or held where the slider is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from sam2_napari.axes import Axes, guess

DEFAULT = ("-5", "-4", "-3", "-2", "-1")
"""What napari 0.9 calls axes that nobody named."""


@pytest.mark.parametrize(
    ("shape", "time", "channel", "fixed"),
    [
        ((64, 48), None, None, ()),
        ((12, 64, 48), 0, None, ()),
        ((1, 64, 48), 0, None, ()),
        ((12, 2, 64, 48), 0, 1, ()),
        ((12, 4, 64, 48), 0, 1, ()),
        ((12, 5, 64, 48), 0, None, (1,)),  # planes of z
        ((12, 1, 64, 48), 0, None, (1,)),
        ((1, 30, 64, 48), 1, None, (0,)),  # one time point: a stack is a video along z
        ((1, 3, 64, 48), 0, 1, ()),
        ((12, 30, 2, 64, 48), 0, 2, (1,)),
        ((12, 2, 30, 64, 48), 0, 1, (2,)),
        ((3, 3, 3, 64, 48), 0, 1, (2,)),
    ],
)
def test_the_lengths_tell_where_labels_say_nothing(
    shape: tuple[int, ...], time: int | None, channel: int | None, fixed: tuple[int, ...]
) -> None:
    for labels in (DEFAULT[-len(shape) :], [f"axis {n}" for n in DEFAULT[-len(shape) :]], None):
        axes = guess(shape, labels, rgb=False)
        assert (axes.time, axes.channel, axes.fixed, axes.ndim) == (time, channel, fixed, len(shape))


@pytest.mark.parametrize(
    ("shape", "labels", "time", "channel", "fixed"),
    [
        ((12, 64, 48), "t y x", 0, None, ()),
        ((12, 64, 48), "z y x", 0, None, ()),
        ((3, 64, 48), "c y x", None, 0, ()),
        ((5, 12, 64, 48), "Z T Y X", 1, None, (0,)),
        ((12, 3, 64, 48), "Time Depth y x", 0, None, (1,)),  # three planes, but no channels
        ((12, 9, 64, 48), "t Channel y x", 0, 1, ()),  # nine channels
        ((2, 12, 64, 48), "c t y x", 1, 0, ()),
        ((2, 12, 64, 48), "-4 t y x", 1, 0, ()),
        ((2, 12, 64, 48), "c z y x", 1, 0, ()),
        ((1, 30, 64, 48), "t z y x", 1, None, (0,)),
        ((1, 1, 64, 48), "t z y x", 0, None, (1,)),
        ((4, 30, 64, 48), "well z y x", 1, None, (0,)),  # not along a word that we do not know
        ((4, 12, 64, 48), "well -3 y x", 1, None, (0,)),
        ((12, 64, 48), "well y x", 0, None, ()),
        ((12, 2, 7, 64, 48), "t c z y x", 0, 1, (2,)),
        ((12, 64, 48), "t z c y x", 0, None, ()),  # labels of another image
    ],
)
def test_labels_go_before_lengths(
    shape: tuple[int, ...], labels: str, time: int | None, channel: int | None, fixed: tuple[int, ...]
) -> None:
    axes = guess(shape, labels.split(), rgb=False)
    assert (axes.time, axes.channel, axes.fixed) == (time, channel, fixed)


def test_the_colours_of_rgb_are_no_axis() -> None:
    axes = guess((12, 64, 48, 3), ("-3", "-2", "-1"), rgb=True)
    assert axes == Axes((12, 64, 48), time=0)
    assert guess((64, 48, 4), ("-2", "-1"), rgb=True) == Axes((64, 48))
    beside = guess((12, 2, 64, 48, 3), ("t", "c", "y", "x"), rgb=True)
    assert (beside.time, beside.channel, beside.fixed) == (0, None, (1,))


def test_counts_are_those_of_the_shape() -> None:
    axes = guess((12, 2, 64, 48), None, rgb=False)
    assert (axes.frames, axes.channels, axes.size) == (12, 2, (64, 48))
    assert (Axes((64, 48)).frames, Axes((64, 48)).channels) == (1, 1)
    assert guess((0, 64, 48), None, rgb=False).frames == 0


AXES = Axes((12, 5, 2, 64, 48), time=0, channel=2)


def test_a_plane_is_the_frame_at_the_sliders_of_the_other_axes() -> None:
    assert AXES.fixed == (1,)
    assert AXES.index(7, (3.0, 2.2, 1.0, 30.5, 9.0)) == (7, 2, 1)
    assert Axes((64, 48)).index(0, (3.0, 4.0)) == ()


@pytest.mark.parametrize(("place", "frame"), [(0, 0), (3.4, 3), (3.6, 4), (-2, 0), (99, 11), (1e300, 11)])
def test_a_position_is_rounded_and_kept_inside(place: float, frame: int) -> None:
    position = (place, -4.0, 9.0, 0.0, 0.0)
    assert AXES.frame_of(position) == frame
    assert AXES.index(0, position) == (0, 0, 1)


def test_a_single_picture_has_the_frame_0_wherever_the_sliders_are() -> None:
    assert replace(AXES, time=None).frame_of((7, 2, 1, 0, 0)) == 0


def test_points_of_a_frame_lie_on_its_plane() -> None:
    point = AXES.coordinates(7, 10.5, 20.25, (3, 2, 1, 0, 0))
    assert point == (7, 2, 1, 10.5, 20.25)
    assert AXES.frame_of(point) == 7


@pytest.mark.parametrize("frame", [-1, 12])
def test_a_frame_that_does_not_exist_is_refused(frame: int) -> None:
    with pytest.raises(ValueError, match=rf"frame {frame} does not exist; the video has frames 0\.\.11"):
        AXES.index(frame, (0, 0, 0, 0, 0))


@pytest.mark.parametrize("position", [(0, 0, 0), (0,) * 6, (0, float("nan"), 0, 0, 0)])
def test_a_position_that_does_not_fit_is_refused(position: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"one per axis|NaN"):
        AXES.index(0, position)


def test_another_axis_can_be_gone_through() -> None:
    along_z = AXES.with_time(1)
    assert (along_z.time, along_z.channel, along_z.fixed, along_z.frames) == (1, 2, (0,), 5)
    assert along_z.index(4, (7, 0, 1, 0, 0)) == (7, 4, 1)
    along_channels = AXES.with_time(2)
    assert (along_channels.time, along_channels.channel, along_channels.fixed) == (2, None, (0, 1))
    picture = replace(AXES, time=None)
    assert (picture.frames, picture.channel, picture.fixed) == (1, 2, (0, 1))


@pytest.mark.parametrize("axis", [-1, 3, 4, 5])
def test_rows_and_columns_cannot_be_gone_through(axis: int) -> None:
    with pytest.raises(
        ValueError, match=rf"axis {axis} cannot be the video; choose one of .*: 0 \(12 long\), "
    ):
        AXES.with_time(axis)
    with pytest.raises(ValueError, match=f"axis {axis} cannot be the channels"):
        replace(AXES, channel=axis)
    with pytest.raises(ValueError, match="rows and columns only"):
        Axes((64, 48)).with_time(0)


def test_an_axis_cannot_be_both_the_video_and_the_channels() -> None:
    with pytest.raises(ValueError, match="axis 0 cannot be both"):
        replace(AXES, channel=0)


@pytest.mark.parametrize(("shape", "rgb"), [((), False), ((9,), False), ((9, 3), True)])
def test_without_rows_and_columns_there_is_no_image(shape: tuple[int, ...], rgb: bool) -> None:
    with pytest.raises(ValueError, match="an image has rows and columns"):
        guess(shape, None, rgb=rgb)


@pytest.mark.parametrize("module", ["axes", "layer_video", "samples"])
def test_the_data_side_loads_neither_torch_nor_napari(module: str) -> None:
    code = (
        f"import sys, sam2_napari.{module} as m; getattr(m, 'timelapse', list)(); "
        "print([name for name in ('torch', 'napari', 'qtpy') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
