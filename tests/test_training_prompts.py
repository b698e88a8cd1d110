"""The simulated user: how often what, and clicks where they belong."""

from __future__ import annotations

import pytest
import torch

from sam2_core.training.prompts import KINDS, PromptMix, boxes, clicks, corrections, noisy_boxes
from sam2_core.training.random import Dice


def disks(count: int, size: int = 64) -> torch.Tensor:
    dice = Dice(count)
    centre, radius = dice.uniform(10, size - 10, count, 2, 1, 1), dice.uniform(3, 14, count, 1, 1)
    line = torch.arange(size)
    return (line - centre[:, 0]) ** 2 + (line[:, None] - centre[:, 1]) ** 2 < radius**2


def test_first_prompts_come_as_often_as_the_mix_says():
    kinds = PromptMix().draw(Dice(0), 20_000)
    share = [float((kinds == index).float().mean()) for index in range(len(KINDS))]
    assert share == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


def test_boxes_enclose_masks_exactly():
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[0, 4:9, 11:25] = True
    assert boxes(masks).tolist() == [[11, 4, 25, 9], [0, 0, 0, 0]]


def test_noisy_boxes_stay_near_and_inside_the_picture():
    masks, mix = disks(200), PromptMix()
    exact, noisy = boxes(masks), noisy_boxes(Dice(1), masks, mix)
    assert float((noisy - exact).abs().max()) <= mix.box_limit * 64 + 1
    assert float((noisy - exact).abs().mean()) > 0.1
    assert float(noisy.min()) >= 0
    assert float(noisy.max()) <= 64
    assert bool((noisy[:, 2:] > noisy[:, :2]).all())


@pytest.mark.parametrize("central", [0.0, 0.5, 1.0])
def test_clicks_lie_inside_their_regions(central):
    masks = disks(100)
    x, y = clicks(Dice(2), masks, central).long().unbind(1)
    assert bool(masks[torch.arange(100), y, x].all())


def test_central_clicks_are_nearer_to_the_middle():
    masks = disks(300)
    middle = torch.stack(
        [(boxes(masks)[:, 0] + boxes(masks)[:, 2]) / 2, (boxes(masks)[:, 1] + boxes(masks)[:, 3]) / 2], 1
    )
    far = [float((clicks(Dice(3), masks, share) - middle).norm(dim=1).mean()) for share in (0.0, 1.0)]
    assert far[1] < 0.6 * far[0]


def test_corrections_lie_in_the_error_and_say_which_error():
    truth = disks(200)
    predicted = truth.roll((5, 3), (1, 2))
    places, labels = corrections(Dice(4), predicted, truth, PromptMix(truth=0.0))
    x, y = places.long().unbind(1)
    row = torch.arange(200)
    assert bool((predicted ^ truth)[row, y, x].all())
    assert torch.equal(labels.bool(), truth[row, y, x])
    assert 0 < int(labels.sum()) < 200


def test_some_corrections_come_from_the_object():
    truth = disks(2000, 48)
    predicted = torch.zeros_like(truth)
    predicted[:, :4] = True  # a false positive region far from most objects
    places, _ = corrections(Dice(5), predicted | truth, truth, PromptMix(truth=0.1))
    x, y = places.long().unbind(1)
    on_object = float(truth[torch.arange(len(truth)), y, x].float().mean())
    assert on_object == pytest.approx(0.1, abs=0.03)


def test_a_perfect_prediction_is_clicked_on_the_object():
    truth = disks(20)
    _, labels = corrections(Dice(6), truth, truth, PromptMix())
    assert labels.tolist() == [1] * 20
