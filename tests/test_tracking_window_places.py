"""Where windows lie, how a grid of one is read in another, and how much two masks overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2_core import masks
from sam2_core.models.resampling import Affine, resampled
from sam2_core.results import RunLengths
from sam2_core.tracking.windows import CELL, Place, Window, Windows, axes

WINDOWS = Windows.usual(256)
LARGE = Windows.usual(1024)
LENGTHS = st.integers(16, 5000)


# --- where windows lie -------------------------------------------------------------------------------


@st.composite
def situations(draw):
    """The height and width of a frame, and a place on it."""
    frame = draw(LENGTHS), draw(LENGTHS)
    spans = []
    for length in frame:
        low = draw(st.integers(0, length - 1))
        spans.append((low, draw(st.integers(low + 1, min(length, low + 700)))))
    (top, bottom), (left, right) = spans
    return frame, Place(top, left, bottom, right)


@given(situations(), st.sampled_from([WINDOWS, LARGE]))
def test_an_object_lies_in_its_window_with_ground_around_it(situation, windows):
    frame, place = situation
    window = windows.place(place, frame)
    size, share, worth = windows.image_size, windows.largest_share, windows.worth
    if window is None:
        assert place.extent > share * size or frame[0] * frame[1] < (worth * size) ** 2
        return
    assert place.extent <= share * window.side
    assert frame[0] * frame[1] >= (worth * window.side) ** 2
    cell = window.side * CELL // size
    assert cell * size == window.side * CELL
    room = window.side / 16
    for low, high, origin, length in (
        (place.top, place.bottom, window.top, frame[0]),
        (place.left, place.right, window.left, frame[1]),
    ):
        assert origin == 0 or low - origin >= room
        assert origin + window.side >= length or origin + window.side - high >= room
        assert origin % cell == 0
        assert 0 <= origin < length


@given(situations(), situations())
def test_a_window_is_kept_while_the_object_fits_and_left_when_it_does_not(before, now):
    frame, place = before
    current = WINDOWS.place(place, frame)
    if current is None:
        return
    assert WINDOWS.place(place, frame, current) == current
    _, moved = now
    if moved.bottom > frame[0] or moved.right > frame[1]:
        return
    window = WINDOWS.place(moved, frame, current)
    if window != current:
        assert window == WINDOWS.holding(moved, frame)  # where it was before does not matter any more
    else:
        assert window.top <= moved.top
        assert window.left <= moved.left
        assert moved.bottom <= window.top + window.side
        assert moved.right <= window.left + window.side


def test_an_object_that_shrinks_or_grows_gets_a_window_of_another_size():
    frame = (2048, 2048)
    large = WINDOWS.place(Place(800, 800, 1100, 1100), frame)
    assert large.side == 512
    small = WINDOWS.place(Place(950, 950, 970, 970), frame, large)
    assert small.side == 256
    assert WINDOWS.place(Place(900, 900, 1000, 1000), frame, small) == small
    assert WINDOWS.place(Place(700, 700, 940, 940), frame, small).side == 368
    assert WINDOWS.place(Place(300, 300, 1700, 1700), frame, small) is None


def test_where_masks_are_fine_only_small_objects_get_windows():
    place = Place(800, 800, 1100, 1100)
    assert WINDOWS.place(place, (2160, 3840)).side == 512
    assert LARGE.place(place, (2160, 3840)) is None
    assert LARGE.holding(place, (2160, 3840)).side == 1024
    assert LARGE.place(Place(800, 800, 1000, 1000), (2160, 3840)).side == 1024


def test_who_keeps_a_window_gets_another_one_of_that_kind_when_he_walks():
    frame = (2160, 3840)
    current = Window(0, 0, 1024)
    walked = Place(300, 760, 604, 1020)  # too large to be given a window, not to keep one
    assert LARGE.place(walked, frame) is None
    assert LARGE.place(walked, frame, current).side == 1024
    assert LARGE.place(walked, frame, current) != current


def test_a_frame_that_is_hardly_larger_than_the_network_has_no_windows():
    small = Place(5, 5, 9, 9)
    assert WINDOWS.place(small, (300, 310)) is None
    assert WINDOWS.place(small, (310, 310)) is not None
    assert WINDOWS.around(small, (511, 500)) == []
    assert [w.side for w in WINDOWS.around(small, (2048, 2048))] == [256, 512, 1024]


def test_neighbours_share_a_window_and_large_objects_lie_in_the_middle_of_theirs():
    places = [Place(500 + 30 * k, 600, 530 + 30 * k, 640) for k in range(4)]
    assert len({WINDOWS.place(place, (1000, 1400)) for place in places}) <= 2
    window = WINDOWS.place(Place(500, 600, 670, 770), (1000, 1400))
    assert window.side == 256
    assert abs(window.top + 128 - 585) <= CELL
    assert abs(window.left + 128 - 685) <= CELL


@given(st.tuples(LENGTHS, LENGTHS), st.sampled_from([256, 368, 512, 720]), st.data())
def test_a_tour_sees_every_pixel_of_a_frame_near_the_middle_of_a_window(frame, side, data):
    tour = WINDOWS.tour(side, frame)
    assert len(set(tour)) == len(tour)
    row, column = (data.draw(st.integers(0, length - 1)) for length in frame)

    def near(at, origin, length):
        middle = origin + side / 2
        edge = (origin == 0 and at < middle) or (origin + side >= length and at > middle)
        return edge or abs(at - middle) <= side / 4 + 1

    assert any(near(row, w.top, frame[0]) and near(column, w.left, frame[1]) for w in tour)


def test_an_object_is_cut_by_borders_of_its_window_that_are_none_of_the_frame():
    window, frame = Window(0, 64, 256), (256, 1000)
    assert not WINDOWS.cuts(window, Place(0, 100, 256, 300), frame)
    assert WINDOWS.cuts(window, Place(100, 64, 120, 300), frame)
    assert WINDOWS.cuts(window, Place(100, 100, 120, 320), frame)
    assert WINDOWS.cuts(Window(0, 64, 256), Place(0, 100, 255, 300), (300, 1000))


# --- memories seen from another window ---------------------------------------------------------------


def test_whole_cells_are_moved_without_mixing_them():
    grid = torch.randn(1, 3, 16, 16)
    rows, columns = axes(Window(128, 64, 256), Window(96, 128, 256), (1000, 1000))
    seen = resampled(grid, rows, columns)
    assert torch.equal(seen[..., :14, 4:], grid[..., 2:, :12])
    assert torch.equal(seen[..., 0, :4], grid[..., 2, :1].expand(1, 3, 4))  # outside: the border
    outside = resampled(grid, rows, columns, outside=-7.0)
    assert (outside[..., :4] == -7).all()
    assert (outside[..., 14:, :] == -7).all()
    assert torch.equal(outside[..., :14, 4:], grid[..., 2:, :12])


def test_a_grid_of_another_size_is_read_where_it_lies():
    rows = torch.arange(16.0).view(1, 1, 16, 1).expand(1, 1, 16, 16)
    seen = resampled(rows, Affine(0.5, 0.25), Affine(0.5, 0.25))  # the middle half, twice as large
    expected = (torch.arange(16) + 0.5) / 2 + 4 - 0.5
    assert torch.allclose(seen[0, 0, :, 3], expected)


def test_what_lies_outside_of_a_grid_starts_at_its_edge():
    ones = torch.ones(1, 1, 16, 16)
    for shift, inside in ((-0.49 / 16, 16), (-0.51 / 16, 15), (-1.49 / 16, 15), (-1.51 / 16, 14)):
        seen = resampled(ones, Affine(1.0, shift), Affine(1.0, 0.0), outside=0.0)
        assert int((seen[0, 0, :, 0] > 0).sum()) == inside


def test_autocast_of_the_caller_changes_nothing():
    grid = torch.randn(1, 2, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resampled(grid, Affine(1.0, 0.0), Affine(1.0, 0.0)), grid)


# --- overlap -----------------------------------------------------------------------------------------


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.integers(0, 5), st.integers(0, 5))
def test_the_overlap_of_run_lengths_is_the_iou_of_their_masks(one, other, down, right):
    first, second = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    for mask, bits, top, left in ((first, one, 0, 0), (second, other, down, right)):
        mask[top : top + 4, left : left + 4] = np.array([bits >> i & 1 for i in range(16)], bool).reshape(
            4, 4
        )
    encoded: list[RunLengths] = [masks.encode(first), masks.encode(second)]
    assert masks.overlap(*encoded) == pytest.approx(masks.iou(first, second))
