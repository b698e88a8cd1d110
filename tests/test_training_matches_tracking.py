"""What nano meets in training is what it meets in a session: the same prompts, memories and masks."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sam2_core import Prompt, load_model, open_session
from sam2_core.hookspecs import Memories
from sam2_core.models import motion
from sam2_core.tracking import sam2_prompts
from sam2_core.tracking.sam2_values import Sam2Memory
from sam2_core.training.batches import collate
from sam2_core.training.clip_pool import make_clip
from sam2_core.training.decoding import upsampled_masks
from sam2_core.training.losses import mask_iou
from sam2_core.training.random import Random
from sam2_core.training.rollout import PromptSchedule, roll_out

FRAMES, OBJECTS = 7, 3


@dataclass
class Answers:
    """The masks of all objects on each tracked frame, and the earlier masks that the decoder was given."""

    masks: dict[int, torch.Tensor]
    given: torch.Tensor


def rolled_out(model, batch, given) -> Answers:
    with torch.no_grad():
        answers = list(roll_out(model.network, batch, PromptSchedule("mask"), Random(1)))
    masks = {a.frame: upsampled_masks(a.prediction.logits_n1hw, 256) for a in answers}
    return Answers(masks, torch.cat(given))


def tracked(model, clip, batch, given) -> Answers:
    with open_session(clip.frames.permute(0, 2, 3, 1).numpy(), model=model) as session:
        for index in range(OBJECTS):
            session.add_prompt(Prompt(0, index + 1, mask=batch.masks[0, index].numpy()))
        shown = {
            r.frame_index: np.stack([r.mask(i + 1) for i in range(OBJECTS)]) for r in session.propagate()
        }
    del shown[0]
    return Answers({frame: torch.from_numpy(masks) for frame, masks in shown.items()}, torch.cat(given))


@pytest.mark.parametrize("loudness", [1, 8])
@pytest.mark.parametrize("seed", [6, 7])
def test_a_roll_out_of_the_training_gives_the_masks_of_a_session(seed, loudness, monkeypatch):
    """Layered scenes have even seeds, cells odd ones. A loud network gives logits that have to be clamped.

    Clips on which nano loses nothing: where it wavers, rounding decides (seed 4, weights of step 13520).
    """
    clip = make_clip(seed, FRAMES)
    batch = collate(Random(1), [clip], OBJECTS)
    model = load_model("nano", "cpu", "exact")
    with torch.no_grad():
        for mlp in model.network.sam_mask_decoder.output_hypernetworks_mlps:
            for weight in mlp.layers[-1].parameters():
                weight.mul_(loudness)
    given, segment = [], model.network.segment

    def spy(features, points=None, memory=None, previous=None, **how):
        if previous is not None:
            given.append(previous)
        return segment(features, points, memory, previous, **how)

    monkeypatch.setattr(model.network, "segment", spy)
    moves, moved = [], motion.moved

    def spy_on_motion(memory, made_at, now_at):
        result = moved(memory, made_at, now_at)
        moves.append(float((result - memory).abs().max()))
        return result

    monkeypatch.setattr(motion, "moved", spy_on_motion)
    training = rolled_out(model, batch, given)
    given.clear()
    session = tracked(model, clip, batch, given)
    assert sorted(training.masks) == sorted(session.masks) == list(range(1, FRAMES))
    for frame, masks in training.masks.items():
        assert bool((mask_iou(masks, session.masks[frame]) > 0.97).all()), frame
        assert bool(masks.flatten(1).any(1).all()), frame
    assert any(moves)  # memories went along with what moved by a cell or more
    assert float((training.given - session.given).abs().max()) < 0.5 * loudness
    assert (float(session.given.abs().max()) == 32) == (loudness == 8)


class Recalled(Memories):
    """What one frame reads, made by hand."""

    def __init__(self, conditioning, recent):
        self.conditioning, self.recent = conditioning, recent

    conditioning = recent = ()


def remembered(value):
    mask, centre = torch.full((1, 1, 16, 16), float(value)), torch.zeros(1, 2)
    return Sam2Memory(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8), mask, centre)


def test_the_last_mask_is_that_of_one_step_back_tracked_or_prompted():
    tracked = Recalled([(3.0, remembered(3))], [(1, remembered(1)), (2, remembered(2))])
    prompted = Recalled([(1.0, remembered(5)), (-1.0, remembered(9))], [])
    assert sam2_prompts.previous_masks([tracked]).unique().tolist() == [1]
    assert sam2_prompts.previous_masks([prompted]).unique().tolist() == [5]
    assert sam2_prompts.previous_masks([Recalled([(2.0, remembered(3))], [])]) is None


def test_a_memory_that_fades_keeps_its_pointer_alone():
    memory = remembered(1)
    assert memory.faded().mask_11hw is None
    assert memory.faded().centre_12 is None
    assert memory.nbytes - memory.faded().nbytes == 4 * (2 * 4 * 4 + 16 * 16 + 2)
