"""What one step of a stage does."""

from __future__ import annotations

import pytest
import torch

from sam2_core.training import main_stages
from sam2_core.training.batches import sample_batch
from sam2_core.training.clip_pool import ClipPool
from sam2_core.training.decoding import correct_mask
from sam2_core.training.main_stages import ClipTracking, ImageSegmentation
from sam2_core.training.random import Random
from tests.training_for_tests import tiny_network


@pytest.fixture(scope="module")
def network():
    return tiny_network()


@pytest.fixture(scope="module")
def pool():
    return ClipPool(frames=4, size=64, start=4)


def step(stage, network, pool, seed=0):
    network.zero_grad(set_to_none=True)
    result = stage.training_step(network, pool, 0, Random(seed), Random(seed + 100))
    result.loss.backward()
    return result


def test_a_step_about_wrong_masks_trains_encoder_and_decoder(network, pool):
    stage = ImageSegmentation(1, images=2, objects=2, mask_correction_probability=1.0)
    result = step(stage, network, pool)
    assert set(result.metrics) == {"corrected_mask"}
    assert 0 <= result.metrics["corrected_mask"] <= 1
    assert bool(result.loss.isfinite())
    masks_in = network.sam_prompt_encoder.mask_downscaling
    for part in (network.image_encoder, network.sam_mask_decoder, masks_in):
        assert any(weight.grad is not None and bool(weight.grad.any()) for weight in part.parameters())


def test_the_masks_to_correct_are_wrong_and_their_truth_is_right(network, pool, monkeypatch):
    seen = []

    def spy(network, features, shown, truth, mix, rng):
        seen.append((shown, truth))
        return correct_mask(network, features, shown, truth, mix, rng)

    monkeypatch.setattr(main_stages, "correct_mask", spy)
    stage = ImageSegmentation(1, images=2, objects=3, mask_correction_probability=1.0)
    for seed in range(4):
        step(stage, network, pool, seed)
        batch = sample_batch(Random(seed), pool, 0, clips=2, frames=1, objects=3)
        assert torch.equal(seen[-1][1], batch.masks[0])
    wrong = torch.cat([(shown ^ truth).flatten(1).any(1) for shown, truth in seen])
    assert float(wrong.float().mean()) > 0.5


def test_wrong_masks_come_as_often_as_asked_for(network, pool):
    stage = ImageSegmentation(1, images=1, objects=1, mask_correction_probability=0.5)
    steps = [set(step(stage, network, pool, seed).metrics) for seed in range(24)]
    assert 6 <= sum(metrics == {"corrected_mask"} for metrics in steps) <= 18


def test_without_wrong_masks_no_randomness_is_spent_on_them(network, pool):
    stage = ImageSegmentation(1, images=2, objects=2, max_corrections=2)
    shared_rng, expected = Random(5), Random(5)
    result = stage.training_step(network, pool, 0, Random(0), shared_rng)
    clicks = expected.integer(0, 2)
    assert [name for name in result.metrics if name.startswith("clicks")] == [
        f"clicks{turn}" for turn in range(1, clicks + 1)
    ]
    assert shared_rng.number(0, 1) == expected.number(0, 1)


def test_half_of_the_schedules_have_a_burn_in_and_corrections_come_after_it():
    stage = ClipTracking(1, frames=4, burn_in=6, correction_probability=0.5)
    schedules = [stage.draw_schedule(Random(seed)) for seed in range(400)]
    lengths = [schedule.burn_in for schedule in schedules]
    assert set(lengths) == set(range(7))
    assert 150 < lengths.count(0) < 250
    corrected = [schedule for schedule in schedules if schedule.corrected_frame is not None]
    assert 150 < len(corrected) < 250
    assert {schedule.corrected_frame - schedule.burn_in for schedule in corrected} == {1, 2, 3}
    assert all(schedule.corrections == 0 for schedule in schedules if schedule.kind == "mask")


def test_a_stage_without_burn_in_has_none():
    stage = ClipTracking(1)
    assert {stage.draw_schedule(Random(seed)).burn_in for seed in range(50)} == {0}


def test_a_step_may_be_longer_than_its_clips(network, pool):
    stage = ClipTracking(1, clips=1, frames=3, objects=1, burn_in=6, image_probability=0.0)
    results = [step(stage, network, pool, seed) for seed in range(4)]
    assert all(bool(result.loss.isfinite()) for result in results)
