"""The simulated user: how often what, and clicks where they belong."""

from __future__ import annotations

import pytest
import torch

from sam2_core.masks import bounding_box, encode
from sam2_core.training.decoding import box_or_click
from sam2_core.training.losses import mask_iou
from sam2_core.training.prompts import (
    PROMPT_KINDS,
    PromptMix,
    boxes,
    clicks,
    correction_clicks,
    degraded,
    noisy_boxes,
)
from sam2_core.training.random import Random


def disks(count: int, size: int = 64, smallest: float = 3, largest: float = 14) -> torch.Tensor:
    rng = Random(count)
    centre, radius = rng.uniform(10, size - 10, count, 2, 1, 1), rng.uniform(smallest, largest, count, 1, 1)
    line = torch.arange(size)
    return (line - centre[:, 0]) ** 2 + (line[:, None] - centre[:, 1]) ** 2 < radius**2


def test_first_prompts_come_as_often_as_the_mix_says():
    kinds = PromptMix().draw(Random(0), 20_000)
    share = [float((kinds == index).float().mean()) for index in range(len(PROMPT_KINDS))]
    assert share == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


def test_boxes_enclose_masks_exactly():
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[0, 4:9, 11:25] = True
    assert boxes(masks).tolist() == [[11, 4, 25, 9], [0, 0, 0, 0]]


def test_noisy_boxes_stay_near_and_inside_the_picture():
    masks, mix = disks(200), PromptMix()
    exact, noisy = boxes(masks), noisy_boxes(Random(1), masks, mix)
    assert float((noisy - exact).abs().max()) <= mix.box_limit * 64 + 1
    assert float((noisy - exact).abs().mean()) > 0.1
    assert float(noisy.min()) >= 0
    assert float(noisy.max()) <= 64
    assert bool((noisy[:, 2:] > noisy[:, :2]).all())


@pytest.mark.parametrize("central", [0.0, 0.5, 1.0])
def test_clicks_lie_inside_their_regions(central):
    masks = disks(100)
    x, y = clicks(Random(2), masks, central).long().unbind(1)
    assert bool(masks[torch.arange(100), y, x].all())


def test_central_clicks_are_nearer_to_the_middle():
    masks = disks(300)
    middle = torch.stack(
        [(boxes(masks)[:, 0] + boxes(masks)[:, 2]) / 2, (boxes(masks)[:, 1] + boxes(masks)[:, 3]) / 2], 1
    )
    far = [float((clicks(Random(3), masks, share) - middle).norm(dim=1).mean()) for share in (0.0, 1.0)]
    assert far[1] < 0.6 * far[0]


def test_corrections_lie_in_the_error_and_say_which_error():
    truth = disks(200)
    predicted = truth.roll((5, 3), (1, 2))
    places, labels = correction_clicks(Random(4), predicted, truth, PromptMix(truth=0.0))
    x, y = places.long().unbind(1)
    row = torch.arange(200)
    assert bool((predicted ^ truth)[row, y, x].all())
    assert torch.equal(labels.bool(), truth[row, y, x])
    assert 0 < int(labels.sum()) < 200


def test_some_corrections_come_from_the_object():
    truth = disks(2000, 48)
    predicted = torch.zeros_like(truth)
    predicted[:, :4] = True  # a false positive region far from most objects
    places, _ = correction_clicks(Random(5), predicted | truth, truth, PromptMix(truth=0.1))
    x, y = places.long().unbind(1)
    on_object = float(truth[torch.arange(len(truth)), y, x].float().mean())
    assert on_object == pytest.approx(0.1, abs=0.03)


def test_a_perfect_prediction_is_clicked_on_the_object():
    truth = disks(20)
    _, labels = correction_clicks(Random(6), truth, truth, PromptMix())
    assert labels.tolist() == [1] * 20


def test_degraded_masks_are_a_little_wrong():
    masks = disks(100, 128, 14, 30)
    wrong = degraded(Random(7), masks, merge_probability=0.0)
    iou = mask_iou(wrong, masks)
    assert wrong.shape == masks.shape
    assert wrong.dtype == torch.bool
    assert 0.5 < float(iou.mean()) < 0.9
    assert float((iou < 1).float().mean()) > 0.9
    assert float((iou > 0.3).float().mean()) > 0.9
    lost, leaked = masks & ~wrong, wrong & ~masks
    assert float(lost.flatten(1).any(1).float().mean()) > 0.5
    assert float(leaked.flatten(1).any(1).float().mean()) > 0.5
    assert torch.equal(wrong, degraded(Random(7), masks, merge_probability=0.0))


def test_some_small_masks_trail_behind_and_none_grows_otherwise():
    """Of small masks no bits are lost: they are moved, and in 7 % of them the old place is kept as well."""
    masks = disks(2000, 64, 6, 9)
    wrong = degraded(Random(8), masks, merge_probability=0.0)
    grown = wrong.flatten(1).sum(1) > masks.flatten(1).sum(1)
    assert 0.05 < float(grown.float().mean()) < 0.1
    assert bool((wrong | ~masks)[grown].all())
    assert torch.equal(wrong[~grown].flatten(1).sum(1), masks[~grown].flatten(1).sum(1))


def test_a_degraded_mask_may_be_merged_with_the_one_before():
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    for index, start in enumerate((2, 24, 46)):
        masks[index, start : start + 16, start : start + 16] = True
    before = masks.roll(1, 0)

    def merged(probability: float) -> float:
        """The share of the other mask that is taken along."""
        shares = []
        for seed in range(40):
            wrong = degraded(Random(seed), masks, merge_probability=probability)
            shares.append(float((wrong & before).sum()) / float(before.sum()))
        return sum(shares) / len(shares)

    assert merged(0.0) < 0.05
    assert merged(1.0) > 0.6
    assert merged(0.0) < merged(0.2) < merged(1.0)


def test_boxes_go_through_the_outer_pixels_as_those_of_a_session():
    masks, exact = disks(20), PromptMix(truth=0.0, box_noise=0.0)
    points = box_or_click(Random(1), masks, torch.ones(20, dtype=torch.bool), exact)
    sides = [bounding_box(encode(mask.numpy())) for mask in masks]
    assert points.coords_np2.flatten(1).tolist() == [list(map(float, box)) for box in sides]
