"""Objects that nobody clicked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from sam2_core import (
    Mask,
    Point,
    Prompt,
    PromptError,
    Session,
    SessionClosedError,
    SessionError,
    masks,
    open_session,
)
from sam2_core.automatic import Seeding, automatic_prompts, cleaned, grid
from sam2_core.hookspecs import Segmentation, VideoModel
from sam2_core.samples import CELLS, TIMELAPSE
from sam2_core.tracking.trivial import CopyModel
from tests.conftest import MODELS, model
from tests.models_for_tests import Counting
from tests.videos_for_tests import Disks

SIZE = (48, 64)
Reading = tuple[Mask, float]


class Reader(CopyModel):
    """Reads each click as the test says; notes the clicks."""

    def __init__(self, read: Callable[[int, int], Sequence[Reading]]) -> None:
        self._read = read
        self.clicks: list[tuple[int, int]] = []

    def candidates(self, features: Any, prompt: Prompt) -> Sequence[Segmentation]:
        ((x, y, _),) = prompt.points
        self.clicks.append((round(x), round(y)))
        found = sorted(self._read(round(x), round(y)), key=lambda reading: -reading[1])
        return [Segmentation(masks.encode(mask), score, bool(mask.any())) for mask, score in found]


def block(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


BLOCKS = (block(2, 2, 14, 14), block(2, 40, 14, 60), block(30, 10, 44, 30))


def on_blocks(x: int, y: int) -> list[Reading]:
    """What is clicked on, and the background around all blocks."""
    inside = [(mask, 0.8 + 0.05 * i) for i, mask in enumerate(BLOCKS) if mask[y, x]]
    return inside or [(~np.logical_or.reduce(BLOCKS), 0.95)]


def session_on(model: VideoModel) -> Session:
    return Session(Disks(4, SIZE), model)


def last(steps: Iterator[Seeding]) -> Seeding:
    *_, step = steps
    return step


def mask_of(prompt: Prompt) -> Mask:
    assert prompt.mask is not None
    return prompt.mask


def found_by(read: Callable[[int, int], Sequence[Reading]], **options: Any) -> list[Mask]:
    """The masks that are found, best first."""
    with session_on(Reader(read)) as session:
        return [mask_of(prompt) for prompt in last(automatic_prompts(session, 1, **options)).prompts]


def test_each_object_is_found_once_best_first_and_nothing_is_added() -> None:
    with session_on(Reader(on_blocks)) as session:
        step = last(automatic_prompts(session, 1, points_per_side=16, max_area=1000))
        assert session.object_ids == ()
    assert [prompt.frame_index for prompt in step.prompts] == [1, 1, 1]
    assert [prompt.object_id for prompt in step.prompts] == [1, 2, 3]
    assert [one.score for one in step.found] == pytest.approx([0.9, 0.85, 0.8])
    assert [one.agreement for one in step.found] == [1, 1, 1]
    for prompt, mask in zip(step.prompts, reversed(BLOCKS), strict=True):
        assert np.array_equal(mask_of(prompt), mask)


@pytest.mark.parametrize("name", MODELS)
def test_what_any_model_finds_can_be_added_and_followed(name: str) -> None:
    with session_on(model(name)) as session:
        prompts = last(automatic_prompts(session, 0, points_per_side=8, min_score=0, min_agreement=0)).prompts
        assert prompts
        for prompt in prompts:
            session.add_prompt(prompt)
        assert session.object_ids == tuple(range(1, len(prompts) + 1))
        assert len(list(session.propagate())) == 4


def test_objects_that_the_session_has_are_left_out_and_not_clicked_on() -> None:
    reader = Reader(on_blocks)
    with session_on(reader) as session:
        session.add_prompt(Prompt(1, 7, mask=BLOCKS[0]))
        session.add_prompt(Prompt(0, 3, mask=BLOCKS[1]))  # on another frame: not known on this one
        prompts = last(automatic_prompts(session, 1, points_per_side=16, max_area=1000)).prompts
    assert [prompt.object_id for prompt in prompts] == [8, 9]
    assert np.array_equal(mask_of(prompts[0]), BLOCKS[2])
    assert np.array_equal(mask_of(prompts[1]), BLOCKS[1])
    assert not any(BLOCKS[0][y, x] for x, y in reader.clicks)


def test_what_reaches_into_an_object_of_the_session_is_left_out() -> None:
    own, reaching, beside = block(0, 0, 20, 20), block(15, 0, 40, 20), block(20, 30, 40, 60)

    def read(x: int, y: int) -> list[Reading]:
        return [(mask, 0.9) for mask in (reaching, beside) if mask[y, x]]

    with session_on(Reader(read)) as session:
        session.add_prompt(Prompt(1, 1, mask=own))
        prompts = last(automatic_prompts(session, 1, points_per_side=16)).prompts
    assert [prompt.object_id for prompt in prompts] == [2]
    assert np.array_equal(mask_of(prompts[0]), beside)


def test_no_number_is_given_to_two_objects_if_one_is_added_while_the_grid_runs() -> None:
    with session_on(Reader(on_blocks)) as session:
        steps = automatic_prompts(session, 1, points_per_side=8, max_area=1000)
        next(steps)
        session.add_prompt(Prompt(0, 41, points=(Point(3, 3),)))
        assert [prompt.object_id for prompt in last(steps).prompts] == [42, 43, 44]


def test_of_duplicates_and_fragments_the_best_reading_stays() -> None:
    whole, copy, part = block(10, 10, 30, 40), block(11, 10, 30, 40), block(10, 10, 30, 20)
    readings = [(part, 0.8), (whole, 0.95), (copy, 0.9)]
    (found,) = found_by(lambda x, y: readings)
    assert np.array_equal(found, whole)


def test_clicks_that_agree_outweigh_a_higher_score() -> None:
    steady = block(10, 10, 34, 40)

    def read(x: int, y: int) -> list[Reading]:
        """On the object a doubtful reading that is always the same, and a sure one that never is."""
        changing = block(10, 10, y + 1, x + 1)
        return [(steady, 0.3), (changing, 0.99)] if steady[y, x] else []

    (found,) = found_by(read)
    assert np.array_equal(found, steady)


def test_what_only_one_click_says_is_no_object() -> None:
    reader = Reader(lambda x, y: [(BLOCKS[0], 0.99)] if len(reader.clicks) == 1 else [])
    with session_on(reader) as session:
        step = last(automatic_prompts(session, 0))
        assert not step.prompts


def test_each_object_is_looked_at_once_more_in_its_middle() -> None:
    rough, fine = block(10, 10, 30, 40), block(10, 10, 34, 42)
    middle = masks.middle(rough)
    reader = Reader(lambda x, y: [(fine if (x, y) == middle else rough, 0.9)] if rough[y, x] else [])
    with session_on(reader) as session:
        steps = list(automatic_prompts(session, 0))
    assert reader.clicks[-1] == middle
    assert [step.total for step in steps] == [192] * 191 + [193] * 2
    assert len(steps[-1].found) == 1


def test_the_background_is_no_object() -> None:
    nearly_all, large = block(0, 0, 48, 59), block(0, 0, 48, 57)
    assert not found_by(lambda x, y: [(nearly_all, 0.9)])
    assert len(found_by(lambda x, y: [(large, 0.9)])) == 1
    assert not found_by(lambda x, y: [(large, 0.9)], max_area=48 * 57 - 1)
    assert len(found_by(lambda x, y: [(nearly_all, 0.9)], max_area=48 * 59)) == 1


def test_doubtful_and_empty_readings_are_no_objects() -> None:
    doubtful = [(BLOCKS[0], 0.59), (np.zeros(SIZE, np.bool_), 0.99)]
    assert not found_by(lambda x, y: doubtful, min_score=0.6, min_area=0)
    assert len(found_by(lambda x, y: doubtful, min_score=0.59)) == 1


def test_specks_go_and_small_holes_are_filled() -> None:
    solid = block(10, 10, 40, 40)
    torn = solid ^ block(20, 20, 23, 23) ^ block(30, 20, 34, 24) ^ block(0, 50, 3, 53)  # 9, 16 and 9 pixels
    (found,) = found_by(lambda x, y: [(torn, 0.9)], min_area=10, max_hole=9)
    assert np.array_equal(found, solid ^ block(30, 20, 34, 24))
    (found,) = found_by(lambda x, y: [(torn, 0.9)], min_area=0, max_hole=0)
    assert np.array_equal(found, torn)
    assert not found_by(lambda x, y: [(BLOCKS[0], 0.9)], min_area=12 * 12 + 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_cleaned_mask_has_no_small_part_and_no_small_hole(seed: int) -> None:
    noise = np.random.default_rng(seed).random((3, 40, 50))
    mask = ndimage.gaussian_filter(noise, (0, 1, 1))[0] > 0.5
    found = cleaned(masks.encode(mask), min_area=12, max_hole=7).decode()
    parts = ndimage.label(found, np.ones((3, 3)))[0]
    ground = ndimage.label(np.pad(~found, 1, constant_values=True))[0]
    assert np.bincount(parts.ravel())[1:].min() >= 12
    assert np.bincount(ground.ravel())[2:].min(initial=8) > 7  # 1 is what surrounds the mask
    kept = ndimage.label(mask, np.ones((3, 3)))[0]
    large = (np.bincount(kept.ravel()) >= 12)[kept] & mask
    assert (found | ~large).all()  # what was large is still there


def test_one_click_lies_between_two_steps_and_the_frame_is_encoded_once() -> None:
    reader = Reader(lambda x, y: [])
    counting = Counting(reader)
    with session_on(counting) as session:
        steps = automatic_prompts(session, 2, points_per_side=8)
        assert not reader.clicks
        for step in steps:
            assert (step.done, step.total, step.prompts) == (len(reader.clicks), 48, ())
    assert len(reader.clicks) == 48
    assert counting.calls["encode_image"] == 1


def test_what_was_found_so_far_is_there_before_the_end() -> None:
    with session_on(Reader(on_blocks)) as session:
        steps = list(automatic_prompts(session, 0, points_per_side=16, max_area=1000))
    counts = [len(step.prompts) for step in steps]
    assert counts[0] == 0
    assert counts[len(counts) // 2] >= 2
    assert counts[-1] == 3


def test_stopping_early_leaves_an_even_sample_of_the_frame() -> None:
    points = grid((480, 640), 32)
    assert len(points) == len(set(points)) == 24 * 32
    first = points[: len(points) // 16]
    for top in (0, 240):
        for left in (0, 320):
            inside = [p for p in first if top <= p.y < top + 240 and left <= p.x < left + 320]
            assert len(inside) >= len(first) // 6


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (1, 640), (50, 50)])
def test_the_points_lie_in_the_middle_of_square_cells(size: tuple[int, int]) -> None:
    points = grid(size, 8)
    rows, columns = ({round(p[axis], 6) for p in points} for axis in (1, 0))
    assert len(points) == len(rows) * len(columns)
    assert max(len(rows), len(columns)) == 8
    for places, length in zip((rows, columns), size, strict=True):
        edges = np.diff(
            [-1 - min(places), *sorted(places), 2 * length - 1 - max(places)]
        )  # mirrored at the ends
        assert np.allclose(edges, length / len(places))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"points_per_side": 0}, "points_per_side is a whole number, at least 1; got 0"),
        ({"points_per_side": 2.5}, "points_per_side is a whole number, at least 1; got 2.5"),
        ({"min_agreement": -1}, "min_agreement is a number from 0 to 1; got -1"),
        ({"min_score": 70}, "min_score is a number from 0 to 1; got 70"),
        ({"min_score": "high"}, "min_score is a number from 0 to 1; got 'high'"),
        ({"min_area": -1}, "min_area is a whole number, at least 0; got -1"),
        ({"max_area": 0}, "max_area is a number of at least 1; got 0"),
        ({"max_area": float("nan")}, "max_area is a number of at least 1; got nan"),
        ({"max_hole": None}, "max_hole is a whole number, at least 0; got None"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_the_call(options: dict[str, Any], problem: str) -> None:
    with session_on(Reader(on_blocks)) as session, pytest.raises(PromptError, match=problem):
        automatic_prompts(session, 0, **options)


def test_a_frame_that_is_not_there_is_refused_at_the_call() -> None:
    problem = r"there is no frame 4; the video has frames 0\.\.3"
    with session_on(Reader(on_blocks)) as session, pytest.raises(SessionError, match=problem):
        automatic_prompts(session, 4)


def test_a_frame_that_is_all_taken_is_one_step_without_a_click() -> None:
    reader = Reader(on_blocks)
    with session_on(reader) as session:
        session.add_prompt(Prompt(1, 1, mask=block(0, 0, *SIZE)))
        (step,) = automatic_prompts(session, 1)
    assert (step.done, step.total, step.prompts) == (0, 0, ())
    assert not reader.clicks


def test_closing_the_session_ends_the_grid_at_the_next_step() -> None:
    session = session_on(Reader(on_blocks))
    steps = automatic_prompts(session, 0)
    next(steps)
    session.close()
    with pytest.raises(SessionClosedError):
        last(steps)


def truth(frame_index: int) -> list[Mask]:
    labels: NDArray[np.uint8] = tifffile.imread(CELLS)[frame_index]
    return [labels == number for number in np.unique(labels[labels > 0])]


def test_nano_finds_the_cells_of_the_bundled_time_lapse(nano: VideoModel) -> None:
    with open_session(TIMELAPSE, model=nano) as session:
        prompts = last(automatic_prompts(session, 0)).prompts
    best = [max(masks.iou(cell, mask_of(prompt)) for prompt in prompts) for cell in truth(0)]
    assert len(best) == 14
    assert sum(found > 0.5 for found in best) >= 10  # 12 when it was measured
    assert len(prompts) <= 24  # 18
