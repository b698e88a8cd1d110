"""What is drawn in layers of napari, and prompts: one is the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, PromptKey, as_drawn, differences, drawn, rows, split_mask, track_rows

from sam2_core import Box, Point, Prompt, PromptError

AXES = [
    Axes((9, 40, 50), time=0),
    Axes((9, 3, 40, 50), time=0),
    Axes((3, 9, 40, 50), time=1),
    Axes((9, 2, 40, 50), time=0, channel=1),
    Axes((9, 4, 2, 40, 50), time=0, channel=2),
]

single = st.floats(-20, 70, width=32)
points = st.lists(st.builds(Point, single, single, st.booleans()), max_size=4).map(tuple)


@st.composite
def boxes(draw: Any) -> Box:
    left, right = sorted((draw(single), draw(single)))
    top, bottom = sorted((draw(single), draw(single)))
    return Box(left, top, right, bottom)


keys = st.builds(PromptKey, st.integers(0, 8), st.integers(1, 2**31 - 1))
some = st.builds(Drawn, points, st.none() | boxes()).filter(lambda d: bool(d.points) or d.box is not None)
documents = st.dictionaries(keys, some, max_size=6)


def through_layers(axes: Axes, found: dict[PromptKey, Drawn], where: float) -> dict[PromptKey, Drawn]:
    """What the layers say that were filled with this; rectangles of napari are float32."""
    held = rows(axes, found, [where] * axes.ndim)
    rectangles = [np.asarray(corners, np.float32) for corners in held.rectangles]
    return drawn(axes, held.points, held.signs, held.point_ids, rectangles, held.rectangle_ids)


@given(st.sampled_from(AXES), documents, st.floats(-1, 8))
def test_what_is_drawn_comes_back_from_the_layers(
    axes: Axes, found: dict[PromptKey, Drawn], where: float
) -> None:
    assert through_layers(axes, found, where) == found


@given(documents, st.lists(st.floats(0, 30), min_size=4, max_size=4, unique=True))
def test_prompts_come_back_from_the_layers_even_where_a_box_is_no_float32(
    found: dict[PromptKey, Drawn], sides: list[float]
) -> None:
    left, right, top, bottom = *sorted(sides[:2]), *sorted(sides[2:])
    found = {
        **found,
        PromptKey(3, 2**31 - 1): Drawn((), Box(left + 0.1, top + 0.1, right + 1.7, bottom + 1.7)),
    }
    prompts = [
        Prompt(*key, points=d.points, box=d.box)
        for key, d in found.items()
        if d.box is None or (d.box.left < d.box.right and d.box.top < d.box.bottom)
    ]
    said = as_drawn(prompts)
    assert through_layers(AXES[0], said, 0) == said
    assert said.keys() == {PromptKey(p.frame_index, p.object_id) for p in prompts}


@given(documents, documents)
def test_differences_lead_from_what_was_drawn_to_what_is(
    before: dict[PromptKey, Drawn], now: dict[PromptKey, Drawn]
) -> None:
    changes = differences(before, now)
    after = {key: d for key, d in {**before, **changes}.items() if d != Drawn()}
    assert after == now
    assert all(before.get(key, Drawn()) != d for key, d in changes.items())
    assert not differences(now, dict(now))


def test_painted_masks_are_not_drawn_and_the_anchor_of_a_correction_neither() -> None:
    mask = np.zeros((40, 50), bool)
    mask[10:20, 10:20] = True
    painted = Prompt(0, 1, mask=mask)
    corrected = Prompt(1, 1, (Point(15, 15), Point(30, 30, False)), previous=mask)
    assert as_drawn([painted, corrected]) == {PromptKey(1, 1): Drawn((Point(30, 30, False),))}


def test_of_several_rectangles_the_last_counts_and_corners_come_in_any_order() -> None:
    first = np.array([[2, 0, 0], [2, 0, 5], [2, 5, 5], [2, 5, 0]])
    turned = np.array([[2, 9, 12], [2, 9, 3], [2, 1, 3], [2, 1, 12]])
    assert drawn(AXES[0], [], [], [], [first, turned], [4, 4]) == {
        PromptKey(2, 4): Drawn((), Box(3, 1, 12, 9))
    }


# --- tracks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (AXES[0], [7, 4, 1.5, 2.5]),
        (AXES[1], [7, 4, 2, 1.5, 2.5]),
        (AXES[2], [7, 4, 1.5, 2.5]),
        (AXES[4], None),
        (Axes((40, 50)), None),
    ],
)
def test_tracks_lie_on_the_axes_that_napari_takes_them_for(axes: Axes, expected: list[float] | None) -> None:
    found = track_rows(axes, np.array([[7, 4, 1.5, 2.5]]), [2] * axes.ndim)
    assert (None if found is None else found.tolist()[0]) == expected


# --- parting a mask --------------------------------------------------------------------------------


def disc(y: float, x: float, radius: float) -> NDArray[np.bool_]:
    """A disc on 60 x 80 pixels."""
    ys, xs = np.indices((60, 80))
    return np.asarray((ys - y) ** 2 + (xs - x) ** 2 < radius**2)


def together(parts: list[NDArray[np.bool_]], mask: NDArray[np.bool_]) -> bool:
    """Whether parts are disjoint, and the mask together; the largest first."""
    sizes = [int(part.sum()) for part in parts]
    return bool(np.array_equal(np.sum(parts, axis=0), mask)) and sizes == sorted(sizes, reverse=True)


masks = st.builds(
    lambda seed, share: np.random.default_rng(seed).random((12, 17)) < share,
    st.integers(0, 1000),
    st.floats(0.05, 0.95),
)
clicks = st.lists(st.builds(Point, st.floats(-2, 18, width=32), st.floats(-2, 13, width=32)), max_size=5)


@given(masks, clicks)
def test_parts_are_disjoint_and_the_mask_together(mask: NDArray[np.bool_], points: list[Point]) -> None:
    try:
        parts = split_mask(mask, points)
    except PromptError:
        return
    assert len(parts) > 1
    assert together(parts, mask)


@pytest.mark.parametrize("waist", [2, 4, 6])
def test_a_dumbbell_parts_at_its_waist(waist: int) -> None:
    mask = disc(30, 22, 14) | disc(30, 56, 12)
    mask[30 - waist : 30 + waist, 22:56] = True
    first, second = split_mask(mask, [])
    assert together([first, second], mask)
    assert first[30, 22]
    assert second[30, 56]
    assert first[:, :32].sum() == mask[:, :32].sum()
    assert second[:, 48:].sum() == mask[:, 48:].sum()


def test_two_discs_that_touch_part_between_them() -> None:
    mask = disc(30, 25, 13) | disc(30, 48, 12)
    first, second = split_mask(mask, [])
    assert first[30, 25]
    assert second[30, 48]
    assert abs(int(first.sum()) - int(disc(30, 25, 13).sum())) < 40


@pytest.mark.parametrize("radius", [1, 1.5, 3.2, 7.7, 12, 20.3])
def test_a_disc_and_an_ellipse_have_no_waist(radius: float) -> None:
    ys, xs = np.indices((60, 80))
    ellipse = ((ys - 30) / radius) ** 2 + ((xs - 40) / (1.6 * radius)) ** 2 < 1
    for mask in (disc(30, 40, radius), ellipse):
        with pytest.raises(PromptError, match="click once into each part"):
            split_mask(mask, [])


def test_pieces_part_without_clicks_and_clicks_part_what_has_no_waist() -> None:
    pieces = disc(20, 20, 9) | disc(40, 60, 12)
    assert [bool(part[40, 60]) for part in split_mask(pieces, [])] == [True, False]
    parts = split_mask(disc(30, 40, 20), [Point(25, 30), Point(40, 30), Point(55, 30)])
    assert [int(sum(part[30, x] for part in parts)) for x in (25, 40, 55)] == [1, 1, 1]
    assert len(parts) == 3
    assert together(parts, disc(30, 40, 20))


def test_clicks_in_the_same_pixel_or_an_empty_mask_part_nothing() -> None:
    for mask, points in ((disc(30, 40, 9), [Point(40, 30), Point(40, 30)]), (np.zeros((9, 9), bool), [])):
        with pytest.raises(PromptError):
            split_mask(mask, points)
