"""Simulated divisions: what a mother leaves behind, in pictures and in masks."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from sam2_core.training.clips import Clip
from sam2_core.training.divisions import with_divisions
from sam2_core.training.random import Random

GROUND, CELL = 40, 200


def cells(frames: int = 4, size: int = 96) -> Clip:
    """Three bright disks that stay where they are, on a dark ground with noise."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    labels = torch.zeros(size, size, dtype=torch.uint8)
    for label, (column, row) in enumerate([(25, 30), (70, 30), (45, 72)], 1):
        labels[(x - column) ** 2 + (y - row) ** 2 <= 11**2] = label
    noise = torch.randn(frames, 1, size, size, generator=torch.Generator().manual_seed(0)) * 3
    picture = torch.where(labels > 0, CELL, GROUND) + noise
    table = torch.zeros(3, 256, dtype=torch.bool)
    table[torch.arange(3), torch.arange(1, 4)] = True
    shown = picture.clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
    return Clip(shown, labels.expand(frames, -1, -1).contiguous(), table)


@pytest.mark.parametrize("seed", range(6))
def test_a_mother_ends_and_two_smaller_ones_appear(seed):
    clip = cells()
    clip.table[1:] = False  # one mother only
    one = Clip(clip.frames, clip.labels, clip.table[:1])
    found = with_divisions(Random(seed), one, 1.0)
    there = [bool((labels == 1).any()) for labels in found.labels]
    first = there.index(False)
    assert not any(there[first:])
    daughters = found.masks()[:, 1:]
    assert daughters.shape[1] == 2
    assert not bool(daughters[:first].any())
    assert torch.equal(found.frames[:first], clip.frames[:first])
    for frame, born in zip(found.frames[first:], daughters[first:], strict=True):
        bright = frame[0].float() > (GROUND + CELL) / 2
        _, count = ndimage.label(bright.numpy())
        assert count in (3, 4)  # the two other cells, and the daughters, which may touch
        mother = float((clip.labels[0] == 1).sum())
        assert all(0.15 * mother < float(mask.sum()) < 0.75 * mother for mask in born)
        overlaps = [
            int((mask & bright).sum()) / int((mask | (bright & (clip.labels[0] < 2))).sum()) for mask in born
        ]
        assert sum(overlaps) > 0.8  # the bright pixels are those of the two


def test_other_objects_are_left_as_they_are():
    clip = cells()
    found = with_divisions(Random(3), Clip(clip.frames, clip.labels, clip.table[:1]), 1.0)
    for label in (2, 3):
        mask = clip.labels == label
        assert torch.equal(found.labels == label, mask)
        assert torch.equal(found.frames[:, 0][mask], clip.frames[:, 0][mask])


def test_the_ground_is_like_the_ground_where_the_mother_was():
    clip = cells(frames=2)
    found = with_divisions(Random(0), Clip(clip.frames, clip.labels, clip.table[:1]), 1.0)
    assert bool((found.labels[1] != 1).all())
    gone = (clip.labels[1] == 1) & (found.frames[1, 0] < 100)
    values = found.frames[1, 0][gone].float()
    assert len(values) > 50
    assert abs(float(values.mean()) - GROUND) < 2
    assert 2 < float(values.std()) < 5


def test_the_share_says_how_many_divide_and_clips_stay_unchanged():
    clip = cells()
    before = clip.frames.clone(), clip.labels.clone()
    ended = 0
    for seed in range(60):
        found = with_divisions(Random(seed), clip, 0.25)
        ended += sum(not bool((found.labels[-1] == label).any()) for label in (1, 2, 3))
    assert 25 <= ended <= 65  # 45 of 180
    assert torch.equal(clip.frames, before[0])
    assert torch.equal(clip.labels, before[1])


def test_on_a_single_frame_it_has_happened_before():
    found = with_divisions(Random(0), cells(frames=1), 1.0)
    areas = found.areas()[0]
    assert areas[:3].tolist() == [0, 0, 0]
    assert len(areas) == 9
    assert int((areas[3:] > 40).sum()) == 6


def test_without_free_labels_daughters_are_nobodys():
    clip = cells(frames=2)
    table = torch.zeros(255, 256, dtype=torch.bool)
    table[torch.arange(255), torch.arange(1, 256)] = True
    found = with_divisions(Random(0), Clip(clip.frames, clip.labels, table), 1.0)
    assert found.objects == 255
    assert set(found.labels[-1].unique().tolist()) == {0}


def test_objects_at_the_edge_divide_too():
    clip = cells(frames=3)
    rolled = Clip(clip.frames.roll((-22, -12), (-2, -1)), clip.labels.roll((-22, -12), (-2, -1)), clip.table)
    for seed in range(10):
        found = with_divisions(Random(seed), rolled, 1.0)
        assert not bool((found.labels[-1] == 1).any())
