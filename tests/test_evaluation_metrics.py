"""J, F and what is made of them: the fixed values of the DAVIS code, and its traps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from sam2_core import masks
from sam2_core.evaluation import metrics
from sam2_core.evaluation.clicks import next_click
from sam2_core.evaluation.scores import Counted, mean, score
from sam2_core.evaluation.truth import Truth
from sam2_core.results import Masklet, MaskletFrame

SIZE, FRAMES = (120, 160), 12
EMPTY = np.zeros(SIZE, np.bool_)


def disk(x: float, y: float = 60, radius: float = 15) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def masklet(object_id: int, by_frame: dict[int, np.ndarray]) -> Masklet:
    frames = {
        t: MaskletFrame(masks.encode(mask), 1.0, bool(mask.any()), "propagated")
        for t, mask in by_frame.items()
    }
    return Masklet(object_id, frames)


def moving(shift: float = 0, frames: range = range(FRAMES)) -> dict[int, np.ndarray]:
    """The disk of the fixed values: radius 15 at y 60, 5 pixels to the right per frame."""
    return {t: disk(40 + 5 * t + shift) for t in frames}


def truth(*objects: dict[int, np.ndarray]) -> Truth:
    return Truth(tuple(range(FRAMES)), {i: masklet(i, frames) for i, frames in enumerate(objects, 1)})


def scored(predicted: dict[int, np.ndarray], true: dict[int, np.ndarray], counted=Counted.ALL) -> tuple:
    found = score({1: masklet(1, predicted)}, truth(true), SIZE, counted)
    return tuple(round(100 * found[1].mean[name], 3) for name in ("J", "F"))


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0, (100, 100)), (1, (91.622, 100)), (2, (84.395, 100)), (3, (77.694, 62.903))],
)
def test_a_shifted_disk_has_the_values_of_the_davis_code(shift, expected):
    assert scored(moving(shift), moving()) == expected


def test_nothing_predicted_scores_nothing():
    assert scored({}, moving()) == (0, 0)
    assert scored(dict.fromkeys(range(FRAMES), EMPTY), moving()) == (0, 0)


def test_a_prediction_of_an_object_that_is_gone_is_wrong():
    gone = {t: mask for t, mask in moving().items() if t not in (6, 7, 8)}
    assert scored(moving(), gone) == (70, 70)


def test_false_positives_before_an_object_appears_are_wrong():
    assert scored(moving(), moving(frames=range(5, FRAMES))) == (60, 60)


@pytest.mark.parametrize(("counted", "expected"), [(Counted.ALL, 70), (Counted.SINCE_SEEN, 50)])
def test_late_objects_count_from_the_start_in_davis_and_from_their_appearance_in_sav(counted, expected):
    """Trap 1: truth from frame 5 on, lost from frame 8 on."""
    assert scored(moving(frames=range(5, 8)), moving(frames=range(5, FRAMES)), counted) == (
        expected,
        expected,
    )


@pytest.mark.parametrize("counted", [Counted.ALL, Counted.SINCE_SEEN])
def test_perfect_predictions_of_late_objects_are_perfect_by_both_rules(counted):
    late = moving(frames=range(5, FRAMES))
    assert scored(late, late, counted) == (100, 100)
    assert scored(moving(), late, counted) == (60, 60)


def test_an_object_that_only_the_first_frame_shows():
    """Trap 2: perfect in DAVIS; SA-V has no frame to count, and leaves it out."""
    once = {0: disk(40)}
    assert scored(once, once) == (100, 100)
    assert score({1: masklet(1, once)}, truth(once), SIZE, Counted.SINCE_SEEN) == {}


def test_a_missing_second_object_scores_nothing_and_strangers_are_not_looked_at():
    second = {t: disk(120, 60, 10) for t in range(FRAMES)}
    found = score({1: masklet(1, moving()), 3: masklet(3, second)}, truth(moving(), second), SIZE)
    assert {i: round(of.mean["J&F"], 5) for i, of in found.items()} == {1: 1, 2: 0}
    assert mean(found.values())["J"] == pytest.approx(0.5)


def test_objects_that_share_pixels_are_scored_each_on_its_own():
    """Trap 13: objects of SA-V overlap; a prediction that shares the same pixels is perfect."""
    inner = {t: disk(40 + 5 * t, radius=8) for t in range(FRAMES)}
    predicted = {1: masklet(1, moving()), 2: masklet(2, inner)}
    assert all((moving()[t] & inner[t]).any() for t in range(FRAMES))
    found = score(predicted, truth(moving(), inner), SIZE, Counted.SINCE_SEEN)
    assert {i: of.mean["J&F"] for i, of in found.items()} == {1: 1, 2: 1}


def test_the_mean_of_nothing_is_not_a_number():
    assert all(math.isnan(value) for value in mean([]).values())


@pytest.mark.parametrize(
    ("values", "expected"), [(np.linspace(1, 0.1, 10), 0.7), ([0.9, 0.8, 0.4, 0.2, 1, 1, 0, 0], 0.3667)]
)
def test_decay(values, expected):
    assert metrics.decay(values) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("frames", [255, 256, 257, 300, 600])
def test_decay_of_long_videos_is_a_number(frames):
    """Trap 3: the DAVIS code counts in 8 bits."""
    assert metrics.decay(np.linspace(1, 0, frames)) == pytest.approx(0.75, abs=0.002)


def test_recall_is_the_share_above_one_half():
    assert metrics.recall([0.5, 0.51, 1, 0]) == 0.5


@pytest.mark.parametrize(("size", "expected"), [((480, 854), 8), ((120, 160), 2)])
def test_the_tolerance_of_the_boundary(size, expected):
    assert metrics.tolerance(size) == expected


def by_shifted_copies(mask: np.ndarray) -> np.ndarray:
    """The boundary as the paper's code makes it."""
    east, south, both = (np.zeros_like(mask) for _ in range(3))
    east[:, :-1], south[:-1], both[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    found = (mask ^ east) | (mask ^ south) | (mask ^ both)
    found[-1], found[:, -1] = mask[-1] ^ east[-1], mask[:, -1] ^ south[:, -1]
    found[-1, -1] = False
    return found


def slowly(prediction: np.ndarray, true: np.ndarray) -> float:
    """F over the whole frame, by the distance of every pair of boundary pixels."""
    found, wanted = (np.argwhere(by_shifted_copies(mask)) for mask in (prediction, true))
    if not len(found) or not len(wanted):
        return float(len(found) == len(wanted))
    near = ((found[:, None] - wanted[None]) ** 2).sum(-1) <= metrics.tolerance(true.shape) ** 2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 60), st.floats(0, 1))
def test_the_boundary_and_its_accuracy_are_those_of_the_whole_frame(seed, height, width, share):
    """Trap 4: looking at the part around the masks changes nothing."""
    rng = np.random.default_rng(seed)
    one, two = np.zeros((2, height, width), np.bool_)
    for mask in (one, two):
        top, left = rng.integers(0, height), rng.integers(0, width)
        part = mask[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)]
        part[:] = rng.random(part.shape) < share
        assert np.array_equal(metrics.boundary(mask), by_shifted_copies(mask))
    assert metrics.contour_accuracy(one, two) == pytest.approx(slowly(one, two))


def test_annotations_may_differ_from_frames_by_a_pixel():
    """Trap 12: 853 and 854 columns occur in published data."""
    wide = truth({t: np.pad(disk(40), ((0, 0), (0, 1)), mode="edge") for t in range(FRAMES)})
    assert np.array_equal(wide.mask(1, 3, SIZE), disk(40))
    assert np.array_equal(truth({0: disk(40)}).mask(1, 0, (120, 161))[:, :160], disk(40))


def test_annotations_of_another_video_are_refused():
    with pytest.raises(
        Exception, match=r"the annotation of frame 3 is 160 x 120 pixels, the frame 320 x 240"
    ):
        truth(moving()).mask(1, 3, (240, 320))


def test_mose_v2_has_one_pixel_more_in_intersection_and_union():
    nine, four = EMPTY.copy(), EMPTY.copy()
    nine[:3, :3], four[:2, :2] = True, True
    assert metrics.smoothed_iou(four, nine) == 5 / 10
    assert metrics.smoothed_iou(EMPTY, nine) == 1 / 10
    assert metrics.smoothed_iou(EMPTY, EMPTY) == 1


@pytest.mark.parametrize(
    ("side", "size", "expected"),
    [
        (10, (480, 854), 1),  # a tenth of the root of 100
        (41, (480, 854), 5),  # 4.1, rounded up
        (200, (480, 854), 0.008 * math.hypot(480, 854)),  # no wider than the share of the diagonal
        (0, (480, 854), 0.008 * math.hypot(480, 854)),
    ],
)
def test_the_tolerance_of_mose_v2_is_narrower_for_small_objects(side, size, expected):
    mask = np.zeros(size, np.bool_)
    mask[:side, :side] = True
    assert metrics.adaptive_tolerance(mask) == pytest.approx(expected)


def test_a_small_object_that_is_two_pixels_off_is_right_for_davis_and_not_for_mose_v2():
    wanted, shown = disk(60, radius=4), disk(62, radius=4)
    assert metrics.contour_accuracy(shown, wanted) == 1
    assert metrics.contour_accuracy(shown, wanted, metrics.adaptive_tolerance(wanted)) < 0.8
    small = {t: disk(40 + 5 * t, radius=4) for t in range(FRAMES)}
    shifted = {t: disk(42 + 5 * t, radius=4) for t in range(FRAMES)}
    davis, mose = (scored(shifted, small, rule) for rule in (Counted.ALL, Counted.MOSE2))
    assert (davis[1], mose[1] < 80) == (100, True)
    assert mose[0] > davis[0]  # one pixel more in both


def test_stretches_without_an_object_and_after_them_are_averaged_each():
    """Gone on frames 2, 3 (mean .5) and 6 (.1), back on 4, 5 (.3) and 7 (.9); not so the first stretch."""
    shown = [True, True, False, False, True, True, False, True]
    assert metrics.after_absence([1, 1, 1, 0, 0.2, 0.4, 0.1, 0.9], shown) == pytest.approx((0.3, 0.6))


@pytest.mark.parametrize(
    ("shown", "gone", "back"),
    [([True] * 3, False, False), ([True, False], True, False), ([False, True], False, True)],
)
def test_an_object_that_never_goes_or_never_comes_back_has_no_such_number(shown, gone, back):
    found = metrics.after_absence(np.ones(len(shown)), shown)
    assert [not math.isnan(value) for value in found] == [gone, back]


def test_mose_v2_says_how_good_tracking_is_while_an_object_is_gone_and_once_it_is_back():
    """Gone on frames 4 to 6, where the prediction keeps it; not found again."""
    there = {t: mask for t, mask in moving().items() if t not in (4, 5, 6)}
    kept = {t: mask for t, mask in moving().items() if t < 7}
    found = score({1: masklet(1, kept)}, truth(there), SIZE, Counted.MOSE2)[1].details
    assert found["J&F-gone"] == pytest.approx(0.5 * (1 / (moving()[0].sum() + 1)), rel=0.01)
    assert found["J&F-back"] == found["J&F-gone"]
    assert "J&F-gone" not in score({1: masklet(1, kept)}, truth(there), SIZE)[1].details


def test_lvos_counts_the_frames_between_the_first_and_the_last_of_an_object():
    """Shown on frames 3 to 8: 4 to 7 count, whatever is predicted before and after."""
    found = score({1: masklet(1, moving())}, truth(moving(frames=range(3, 9))), SIZE, Counted.LVOS)
    assert (len(found[1].j), found[1].mean["J&F"]) == (4, 1)


def test_the_variability_of_lvos_is_how_far_frames_are_from_their_mean():
    """J&F .2 .4 .6 .8: mean .5, variance .05."""
    assert metrics.variability([0.1, 0.4, 0.7, 1], [0.3, 0.4, 0.5, 0.6]) == pytest.approx(math.sqrt(0.05))
    assert metrics.variability([0.4, 0.4], [0.2, 0.2]) == 0
    lost = {t: mask for t, mask in moving().items() if t < 6}
    details = score({1: masklet(1, lost)}, truth(moving()), SIZE, Counted.LVOS)[1].details
    assert details["V"] == pytest.approx(0.5)  # right on half of the frames
    assert "V" not in score({1: masklet(1, lost)}, truth(moving()), SIZE)[1].details


def test_the_first_click_is_the_point_farthest_from_the_border():
    x, y, positive = next_click(EMPTY, disk(40))
    assert (x, y, positive) == (40, 60, True)


def test_the_next_click_mends_the_deepest_error():
    left = disk(40) & (np.arange(160) < 38)
    point = next_click(left, disk(40))
    assert point.positive
    assert point.x > 40
    extra = disk(40) | disk(110, 60, 20)
    assert next_click(extra, disk(40)) == (110, 60, False)


def test_a_tie_is_a_negative_click():
    missed, surplus = disk(40, 60, 5), disk(110, 60, 5)
    assert next_click(surplus, missed) == (110, 60, False)


def test_a_border_of_the_frame_is_a_border_of_the_error():
    corner = EMPTY.copy()
    corner[:21, :21] = True
    assert next_click(EMPTY, corner) == (10, 10, True)


@pytest.mark.parametrize("mask", [EMPTY, disk(40)])
def test_there_is_no_click_where_nothing_is_wrong(mask):
    """Trap 6: the reference clicks (0, 0)."""
    assert next_click(mask, mask) is None


def test_the_same_masks_give_the_same_click_each_time_whatever_ties_there_are():
    """Trap 5: OpenCV's distances differ from call to call; in a band many pixels are equally deep."""
    band = EMPTY.copy()
    band[50:59, 5:155] = True
    clicks = {next_click(EMPTY, band.copy()) for _ in range(50)}
    assert clicks == {(9, 54, True)}  # the first of them, in rows


@given(st.integers(0, 2**32 - 1))
def test_clicks_are_those_of_the_whole_frame(seed):
    rng = np.random.default_rng(seed)
    shown, true = (np.pad(rng.random((9, 14)) < 0.6, ((3, 5), (2, 0))) for _ in range(2))
    depths = [
        ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        for error in (true & ~shown, shown & ~true)
    ]
    positive = depths[0].max() > depths[1].max()
    deepest = depths[0] if positive else depths[1]
    y, x = np.unravel_index(deepest.argmax(), deepest.shape)
    assert next_click(shown, true) == (x, y, positive)
