"""What nano meets in training is what it meets in a session: the same prompts, memories and masks."""

import numpy as np
import pytest
import torch

from sam2_core import Prompt, load_model, open_session
from sam2_core.hookspecs import Memories
from sam2_core.tracking import sam2_prompts
from sam2_core.tracking.sam2_model import Sam2Memory
from sam2_core.training.batches import collate
from sam2_core.training.clip_pool import make_clip
from sam2_core.training.decoding import upsampled_masks
from sam2_core.training.random import Random
from sam2_core.training.rollout import PromptSchedule, roll_out

FRAMES, OBJECTS = 7, 3


@pytest.mark.parametrize("seed", [4, 7])
def test_a_roll_out_of_the_training_gives_the_masks_of_a_session(seed):
    """Layered scenes have even seeds, cells odd ones."""
    clip = make_clip(seed, FRAMES)
    batch = collate(Random(1), [clip], OBJECTS)
    model = load_model("nano", "cpu")
    with torch.no_grad():
        rolled = {
            d.frame: upsampled_masks(d.prediction.logits_n1hw, 256).numpy()
            for d in roll_out(model.network, batch, PromptSchedule("mask"), Random(1))
        }
    video = clip.frames.permute(0, 2, 3, 1).numpy()
    with open_session(video, model="nano", device="cpu", precision="exact") as session:
        for index in range(OBJECTS):
            session.add_prompt(Prompt(0, index + 1, mask=batch.masks[0, index].numpy()))
        shown = {
            r.frame_index: np.stack([r.mask(i + 1) for i in range(OBJECTS)]) for r in session.propagate()
        }
    assert sorted(rolled) == list(range(1, FRAMES))
    for frame, masks in rolled.items():
        assert (masks == shown[frame]).mean() > 0.999, frame
    assert any(masks.any() for masks in rolled.values())


class Recalled(Memories):
    """What one frame reads, made by hand."""

    def __init__(self, conditioning, recent):
        self.conditioning, self.recent = conditioning, recent

    conditioning = recent = ()


def remembered(value):
    return Sam2Memory(torch.zeros(1, 2, 4, 4), torch.zeros(1, 8), torch.full((1, 1, 16, 16), float(value)))


def test_the_last_mask_is_that_of_one_step_back_tracked_or_prompted():
    tracked = Recalled([(3.0, remembered(3))], [(1, remembered(1)), (2, remembered(2))])
    prompted = Recalled([(1.0, remembered(5)), (-1.0, remembered(9))], [])
    assert sam2_prompts.previous_masks([tracked]).unique().tolist() == [1]
    assert sam2_prompts.previous_masks([prompted]).unique().tolist() == [5]
    assert sam2_prompts.previous_masks([Recalled([(2.0, remembered(3))], [])]) is None


def test_a_memory_that_fades_keeps_no_mask():
    memory = remembered(1)
    assert memory.faded().mask_11hw is None
    assert memory.nbytes - memory.faded().nbytes == 4 * (2 * 4 * 4 + 16 * 16)
