"""Procedural clips: the same for the same seed, and what their masks say is in the picture."""

from __future__ import annotations

import pytest
import torch

from sam2_core.training.bank import HELD_OUT, ClipBank, collect, disguised, draw_batch, make_clip
from sam2_core.training.microscopy import make_microscopy
from sam2_core.training.random import Dice
from sam2_core.training.scenes import make_scene

MAKERS = pytest.mark.parametrize("make", [make_scene, make_microscopy])


@MAKERS
def test_a_seed_always_gives_the_same_clip(make):
    one, two, other = make(5, 3, 96), make(5, 3, 96), make(6, 3, 96)
    assert torch.equal(one.frames, two.frames)
    assert torch.equal(one.labels, two.labels)
    assert torch.equal(one.table, two.table)
    assert not torch.equal(one.frames, other.frames)


@MAKERS
def test_a_clip_has_frames_labels_and_objects_that_are_seen(make):
    for seed in range(6):
        clip = make(seed, 4, 128)
        assert clip.frames.shape == (4, 3, 128, 128)
        assert clip.frames.dtype == torch.uint8
        assert clip.labels.shape == (4, 128, 128)
        assert clip.objects >= 1
        masks = clip.masks()
        assert masks.shape == (4, clip.objects, 128, 128)
        assert masks.flatten(2).any(2).any(0).all()  # each object is visible at some time
        assert torch.equal(masks.flatten(2).sum(2).float(), clip.areas())
        assert clip.frames.float().std() > 5


@MAKERS
def test_objects_move_but_do_not_jump(make):
    overlaps = []
    for seed in range(8):
        masks = make(seed, 4, 128).masks()
        both = (masks[0] & masks[1]).flatten(1).sum(1).float()
        either = (masks[0] | masks[1]).flatten(1).sum(1).float()
        overlaps.append((both / either.clamp(min=1))[masks[0].flatten(1).sum(1) > 60])
    mean = float(torch.cat(overlaps).mean())
    assert 0.4 < mean < 0.99


def test_cells_differ_from_the_ground_around_them():
    seen = 0
    for seed in range(10):
        clip = make_microscopy(seed, 1)
        grey = clip.frames[0].float().mean(0)
        inside, outside = grey[clip.labels[0] > 0], grey[clip.labels[0] == 0]
        seen += bool((inside.mean() - outside.mean()).abs() > 4)
    assert seen >= 8


def test_cells_do_not_share_pixels_and_parts_lie_in_their_objects():
    cells = make_microscopy(3, 2).masks()
    assert int(cells.sum(1).max()) == 1
    for seed in range(6):
        clip = make_scene(seed, 1)
        for row in clip.table:
            wholes = [
                other for other in clip.table if bool((other & row).equal(row)) and other.sum() >= row.sum()
            ]
            assert len(wholes) >= 1


def test_the_bank_makes_a_missing_clip_again():
    bank = ClipBank(seed=3, frames=2, size=64, capacity=2, start=4)
    first = bank.clip(0)
    bank.clip(1)
    bank.clip(2)
    assert bank.clip(0) is not first
    assert torch.equal(bank.clip(0).frames, first.frames)


def test_lanes_train_on_different_clips_of_both_families():
    numbers = []
    for lane in range(2):
        bank = ClipBank(lane=lane, lanes=2, frames=1, size=64)
        numbers.append([bank.clip(index).frames for index in range(4)])
    assert not any(torch.equal(a, b) for a in numbers[0] for b in numbers[1])
    assert torch.equal(numbers[1][1], make_clip(3, 1, 64).frames)  # an odd number: microscopy


def test_a_disguised_clip_keeps_its_masks_on_its_objects():
    clip = make_scene(4, 2)
    for seed in range(5):
        other = disguised(Dice(seed), clip)
        assert other.frames.shape == clip.frames.shape
        assert set(other.labels.unique().tolist()) <= set(clip.labels.unique().tolist())


def test_a_batch_holds_objects_that_are_visible_at_first():
    bank = ClipBank(frames=4, size=64, start=6)
    batch = draw_batch(Dice(1), bank, 0, clips=3, frames=2, objects=4, stride=2)
    assert batch.images.shape == (6, 3, 64, 64)
    assert batch.masks.shape == (2, 12, 64, 64)
    assert batch.visible[0].all()
    assert batch.truth(1).shape == (12, 32, 32)


def test_frame_t_of_clip_c_is_at_t_times_clips_plus_c():
    clips = [make_scene(seed, 2, 64) for seed in range(3)]
    batch = collect(Dice(0), clips, 2)
    alone = collect(Dice(0), clips[1:2], 2)
    assert torch.equal(batch.images[3 + 1], alone.images[1])


def test_held_out_numbers_are_far_from_those_of_training():
    assert HELD_OUT > 2**39
