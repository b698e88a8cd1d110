"""Losses against the formulas, written as slowly as possible."""

from __future__ import annotations

import math

import pytest
import torch

from sam2_core.training.losses import LossWeights, balanced_loss, dice_loss, focal_loss, mask_iou, step_loss


@pytest.fixture
def masks():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 6, 5, generator=generator) * 3
    truth = (torch.rand(3, 6, 5, generator=generator) > 0.6).float()
    return logits, truth


def slow_focal(logits, truth):
    total = 0.0
    for x, t in zip(logits.flatten().tolist(), truth.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        pt, alpha = (p, 0.25) if t else (1 - p, 0.75)
        total += alpha * (1 - pt) ** 2 * -math.log(pt)
    return total / logits.numel()


def slow_dice(logits, truth):
    p = [1 / (1 + math.exp(-x)) for x in logits.flatten().tolist()]
    t = truth.flatten().tolist()
    both = sum(a * b for a, b in zip(p, t, strict=True))
    return 1 - (2 * both + 1) / (sum(p) + sum(t) + 1)


def test_focal_and_dice_equal_the_formulas(masks):
    logits, truth = masks
    for n in range(3):
        assert float(focal_loss(logits[n, 0], truth[n])) == pytest.approx(
            slow_focal(logits[n, 0], truth[n]), rel=1e-4
        )
        assert float(dice_loss(logits[n, 0], truth[n])) == pytest.approx(
            slow_dice(logits[n, 0], truth[n]), rel=1e-4
        )


def test_balanced_loss_counts_a_small_object_as_much_as_the_background():
    truth = torch.zeros(1, 10, 10)
    truth[0, 0, 0] = 1
    nothing = torch.full((1, 10, 10), -8.0)
    assert float(balanced_loss(nothing, truth)) == pytest.approx(4, abs=0.01)


def test_only_the_best_eligible_mask_is_trained(masks):
    logits, truth = masks
    logits = logits.clone().requires_grad_()
    with torch.no_grad():
        logits[0, 0] = truth[0] * 20 - 10  # perfect, but it is not eligible
        logits[0, 2] = truth[0] * 6 - 3
    eligible = torch.tensor([[False, True, True, True]] * 3)
    loss = step_loss(
        logits, torch.rand(3, 4), torch.zeros(3), truth, torch.ones(3).bool(), eligible, LossWeights()
    )
    loss.total.backward()
    assert int(loss.best[0]) == 2
    touched = logits.grad.abs().sum((2, 3)) > 0
    assert touched.sum(1).tolist() == [1, 1, 1]
    assert bool(touched[0, 2])


def test_the_total_is_the_sum_of_sam2s_terms(masks):
    logits, truth = masks
    ious, score = torch.rand(3, 4), torch.randn(3)
    eligible = torch.tensor([[True, False, False, False]]).expand(3, -1)
    loss = step_loss(logits, ious, score, truth, torch.ones(3).bool(), eligible, LossWeights())
    expected = 0.0
    for n in range(3):
        reached = float(mask_iou(logits[n, 0] > 0, truth[n] > 0.5))
        expected += 20 * slow_focal(logits[n, 0], truth[n]) + slow_dice(logits[n, 0], truth[n])
        expected += abs(float(ious[n, 0]) - reached) + math.log(1 + math.exp(-float(score[n])))
    assert float(loss.total) == pytest.approx(expected / 3, rel=1e-4)


def test_an_absent_object_only_trains_the_object_score(masks):
    logits, truth = masks
    logits = logits.clone().requires_grad_()
    score = torch.zeros(3, requires_grad=True)
    eligible = torch.ones(3, 4, dtype=torch.bool)
    loss = step_loss(
        logits, torch.rand(3, 4), score, truth * 0, torch.zeros(3).bool(), eligible, LossWeights()
    )
    loss.total.backward()
    assert float(logits.grad.abs().sum()) == 0
    assert float(score.grad.min()) > 0
    assert float(loss.total.detach()) == pytest.approx(math.log(2), rel=1e-5)


def test_logits_are_enlarged_to_the_size_of_the_truth(masks):
    logits, _ = masks
    truth = torch.zeros(3, 12, 10)
    truth[:, 3:8, 2:7] = 1
    eligible = torch.ones(3, 4, dtype=torch.bool)
    loss = step_loss(
        logits, torch.rand(3, 4), torch.zeros(3), truth, torch.ones(3).bool(), eligible, LossWeights()
    )
    assert bool(loss.total.isfinite())


def test_two_empty_masks_overlap_completely():
    empty = torch.zeros(2, 4, 4, dtype=torch.bool)
    assert mask_iou(empty, empty).tolist() == [1, 1]
    assert mask_iou(empty, ~empty).tolist() == [0, 0]
