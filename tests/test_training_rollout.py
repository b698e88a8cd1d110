"""Rolling the network out over clips: what is answered, what is remembered, and where gradients go."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sam2_core.models.motion import centres
from sam2_core.models.prompt_encoder import POSITIVE
from sam2_core.models.sam2 import Features
from sam2_core.training.batches import Batch, sample_batch
from sam2_core.training.clip_pool import ClipPool
from sam2_core.training.decoding import correct_mask, features_per_object
from sam2_core.training.prompts import PromptMix
from sam2_core.training.random import Random
from sam2_core.training.rollout import BatchedMemoryBank, PromptSchedule, Remembered, roll_out
from tests.training_for_tests import tiny_network

torch.set_num_threads(1)  # on a busy machine two spinning threads are slower than one

FRAMES = 5


@pytest.fixture(scope="module")
def network():
    return tiny_network()


@pytest.fixture
def batch():
    pool = ClipPool(frames=FRAMES, size=64, start=4)
    return sample_batch(Random(0), pool, 0, clips=1, frames=FRAMES, objects=2)


def gradient_per_frame(network, batch, schedule) -> list[float]:
    """How much the sum of all answers depends on each frame's picture."""
    images = batch.images.clone().requires_grad_()
    answers = roll_out(network, Batch(images, batch.masks), schedule, Random(1))
    sum(answer.prediction.all_logits_nkhw.square().mean() for answer in answers).backward()
    return images.grad.flatten(1).abs().sum(1).tolist()


def everything_said(answers) -> torch.Tensor:
    said = [
        (a.prediction.all_logits_nkhw, a.prediction.ious_nk, a.prediction.object_score_n1) for a in answers
    ]
    return sum(tensor.square().mean() for answer in said for tensor in answer)


@pytest.mark.parametrize(("kind", "corrections"), [("mask", 0), ("box", 0), ("click", 1)])
def test_a_roll_out_answers_prompts_then_tracks_and_corrects(network, batch, kind, corrections):
    answers = roll_out(network, batch, PromptSchedule(kind, corrections, corrected_frame=1), Random(1))
    prompted = [] if kind == "mask" else [(0, True)] * (1 + corrections)
    tracked = [(1, False), (1, True), (2, False), (3, False), (4, False)]
    assert [(answer.frame, answer.prompted) for answer in answers] == [*prompted, *tracked]


def test_every_weight_that_is_used_is_trained(batch):
    network = tiny_network()
    for object_score in (8.0, -8.0):  # what stands for absent objects is trained by them only
        torch.nn.init.constant_(network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, object_score)
        for kind, corrections in (("mask", 0), ("box", 0), ("click", 1)):
            schedule = PromptSchedule(kind, corrections, corrected_frame=1)
            everything_said(roll_out(network, batch, schedule, Random(1))).backward()
    weights = network.named_parameters()
    silent = {name for name, weight in weights if weight.grad is None or not bool(weight.grad.any())}
    assert silent == {"no_mem_pos_enc"}  # it is in the published files only


def test_without_burn_in_every_frame_is_learnt_from(network, batch):
    assert all(value > 0 for value in gradient_per_frame(network, batch, PromptSchedule("click")))


@pytest.mark.parametrize("kind", ["mask", "click"])
def test_burn_in_frames_carry_no_gradient_and_those_around_them_do(network, batch, kind):
    first, *burn_in, third, fourth = gradient_per_frame(network, batch, PromptSchedule(kind, burn_in=2))
    assert burn_in == [0, 0]
    assert third > 0
    assert fourth > 0
    assert first > 0  # the given mask itself is no answer: this came through its memory


def test_nothing_of_burn_in_frames_is_kept_for_the_backward_pass(network, batch, monkeypatch):
    encoded, remembered = [], []

    def encode_image(images):
        features = type(network).encode_image(network, images)
        encoded.append((len(images), features.stride16.requires_grad))
        return features

    def encode_memory(*arguments, **how):
        memory = type(network).encode_memory(network, *arguments, **how)
        remembered.append(memory.requires_grad)
        return memory

    monkeypatch.setattr(network, "encode_image", encode_image)
    monkeypatch.setattr(network, "encode_memory", encode_memory)
    list(roll_out(network, batch, PromptSchedule("mask", burn_in=2), Random(1)))
    assert encoded == [(3, True), (1, False), (1, False)]  # frames 0, 3 and 4 together; then 1; then 2
    assert remembered == [True, False, False, True]  # the last frame is read by none


@pytest.mark.parametrize("kind", ["mask", "click"])
def test_burn_in_changes_what_is_answered_by_nothing_but_its_own_frames(network, batch, kind):
    whole = list(roll_out(network, batch, PromptSchedule(kind, corrected_frame=3), Random(1)))
    behind = list(roll_out(network, batch, PromptSchedule(kind, corrected_frame=3, burn_in=2), Random(1)))
    kept = [answer for answer in whole if answer.frame not in (1, 2)]
    assert [(a.frame, a.prompted) for a in behind] == [(a.frame, a.prompted) for a in kept]
    for ours, theirs in zip(behind, kept, strict=True):
        assert ours.prediction.all_logits_nkhw.requires_grad
        torch.testing.assert_close(
            ours.prediction.all_logits_nkhw, theirs.prediction.all_logits_nkhw, rtol=1e-4, atol=1e-4
        )


def test_burn_in_does_not_switch_gradients_on(network, batch):
    with torch.no_grad():
        for answer in roll_out(network, batch, PromptSchedule("box", burn_in=1), Random(1)):
            assert not answer.prediction.all_logits_nkhw.requires_grad
            assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


@torch.no_grad()
def test_tracking_equals_a_loop_over_single_frames(network, batch):
    bank, logits = BatchedMemoryBank(), []
    for frame in range(FRAMES):
        features = features_per_object(network.encode_image(batch.images[frame][None]), 0, 1, 2)
        if frame == 0:
            prediction = network.segment_mask(features, batch.masks[0][:, None].float())
            given = batch.masks[0][:, None].float() * 20 - 10
            memory = network.encode_memory(features, given, prediction.object_score_n1, binarise=True)
            bank.conditioning[0] = Remembered(memory, prediction.pointer_nd, centres(given))
            continue
        prediction = network.segment(
            features, None, bank.tokens(network, frame), multimask=False, stability_fallback=False
        )
        memory = network.encode_memory(
            features, prediction.logits_n1hw, prediction.object_score_n1, binarise=False
        )
        bank.tracked[frame] = Remembered(memory, prediction.pointer_nd, centres(prediction.logits_n1hw))
        logits.append(prediction.logits_n1hw)
    rolled_out = [
        answer.prediction.logits_n1hw
        for answer in roll_out(network, batch, PromptSchedule("mask"), Random(1))
    ]
    torch.testing.assert_close(torch.stack(rolled_out), torch.stack(logits), rtol=1e-4, atol=1e-4)


def squares(*left: int) -> torch.Tensor:
    masks = torch.zeros(len(left), 64, 64, dtype=torch.bool)
    for mask, start in zip(masks, left, strict=True):
        mask[16:40, start : start + 24] = True
    return masks


def asked_of_the_network(shown, truth, seed=0) -> SimpleNamespace:
    """What ``correct_mask`` gives to the network."""
    asked = []

    def segment(features, points, memory, previous, **how):
        asked.append(SimpleNamespace(points=points, memory=memory, previous=previous, how=how))

    features = Features(torch.zeros(1), torch.zeros(1), torch.zeros(len(shown), 4, 16, 16))
    correct_mask(SimpleNamespace(segment=segment), features, shown, truth, PromptMix(truth=0.0), Random(seed))
    return asked[0]


def test_a_correction_shows_the_wrong_mask_as_hard_logits_and_no_memory():
    shown = squares(8, 20)
    asked = asked_of_the_network(shown, squares(16, 20))
    assert asked.memory is None
    assert asked.how["multimask"] is False
    assert asked.previous.shape == (2, 1, 16, 16)
    assert [float(asked.previous.min()), float(asked.previous.max())] == pytest.approx([-10, 10])
    assert torch.equal(asked.previous[:, 0] > 0, shown[:, ::4, ::4])


def test_a_correction_clicks_on_what_is_right_and_then_on_what_is_wrong():
    shown, truth = squares(8, 8, 20), squares(16, 8, 4)
    row = torch.arange(3)
    for seed in range(10):
        points = asked_of_the_network(shown, truth, seed).points
        (right_x, right_y), (x, y) = points.coords_np2.long().permute(1, 2, 0)
        labels = points.labels_np
        assert (shown & truth)[row, right_y, right_x].all()
        assert labels[:, 0].tolist() == [POSITIVE] * 3
        assert (shown ^ truth)[row, y, x].tolist() == [True, False, True]  # the second mask is perfect
        assert torch.equal(labels[:, 1].bool(), truth[row, y, x])


def test_a_mask_beside_its_object_is_corrected_by_a_click_on_the_object():
    points = asked_of_the_network(squares(0), squares(40)).points
    x, y = points.coords_np2[0, 0].long()
    assert squares(40)[0, y, x]
