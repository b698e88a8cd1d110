"""Frames of any size at the network's size: whole, and in part."""

from __future__ import annotations

import numpy as np
import torch

from sam2_core.models.preprocess import normalise, preprocess
from sam2_core.training.clips import Clip
from sam2_core.training.crops import cropped, squashed
from sam2_core.training.random import Random


def clip_of(frames: int = 3, height: int = 120, width: int = 200, label: int = 5) -> Clip:
    """A ramp of grey to the right, and a square that moves; its pixels are white."""
    ramp = torch.arange(width).expand(frames, 3, height, width).clone().to(torch.uint8)
    labels = torch.zeros(frames, height, width, dtype=torch.uint8)
    for t in range(frames):
        labels[t, 60:84, 100 + 4 * t : 124 + 4 * t] = label
        ramp[t, :, labels[t] == label] = 255
    table = torch.zeros(1, 256, dtype=torch.bool)
    table[0, label] = True
    return Clip(ramp, labels, table)


def test_whole_frames_are_squashed_as_inference_does():
    clip = clip_of()
    found = squashed(clip, 64)
    assert found.frames.shape == (3, 3, 64, 64)
    image = clip.frames[1].permute(1, 2, 0).numpy()
    assert torch.equal(
        normalise(found.frames[1:2].permute(0, 2, 3, 1)), preprocess(np.ascontiguousarray(image), 64)
    )
    share = 64 * 64 / (120 * 200)
    assert abs(float(found.areas()[0, 0]) - 24 * 24 * share) < 0.15 * 24 * 24 * share


def test_a_part_shows_the_object_larger_and_the_mask_on_it():
    clip = clip_of()
    whole = float(squashed(clip, 64).areas()[0, 0])
    ratios = []
    for seed in range(40):
        part = cropped(Random(seed), clip, 64)
        assert part.frames.shape == (3, 3, 64, 64)
        mask = part.labels[0] == 5
        assert bool(mask.any())
        inner = mask & ~torch.nn.functional.max_pool2d((~mask)[None].float(), 5, 1, 2)[0].bool()
        assert part.frames[0, 0][inner].float().mean() > 245 or not bool(inner.any())
        ratios.append(float(mask.sum()) / whole)
    assert max(ratios) > 4  # 64 of 200 columns: pixel by pixel
    assert min(ratios) < 2.5


def test_a_frame_smaller_than_the_network_is_shown_whole_or_nearly():
    clip = clip_of(height=100, width=130)
    for seed in range(10):
        part = cropped(Random(seed), clip, 256)
        assert float(part.areas()[0, 0]) > 0.7 * float(squashed(clip, 256).areas()[0, 0])


def test_an_empty_first_frame_gives_a_part_of_it():
    clip = clip_of(label=0)
    assert cropped(Random(1), clip, 32).frames.shape == (3, 3, 32, 32)
