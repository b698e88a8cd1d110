"""Procedural clips: the same for the same seed, and what their masks say is in the picture."""

from __future__ import annotations

import itertools

import pytest
import torch

from sam2_core.training import clip_pool
from sam2_core.training.augmentation import augmented
from sam2_core.training.batches import collate, sample_batch
from sam2_core.training.clip_pool import FIRST_HELD_OUT_SEED, ClipPool, make_clip
from sam2_core.training.clips import Clip, frame_indices
from sam2_core.training.microscopy import make_microscopy
from sam2_core.training.parallel import Processes
from sam2_core.training.plan import nano_plan
from sam2_core.training.random import Random
from sam2_core.training.scenes import make_scene
from sam2_core.training.trainer import Trainer

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


def test_the_pool_makes_a_missing_clip_again():
    pool = ClipPool(seed=3, frames=2, size=64, capacity=2, start=4)
    first = pool.clip(0)
    pool.clip(1)
    pool.clip(2)
    assert pool.clip(0) is not first
    assert torch.equal(pool.clip(0).frames, first.frames)


def test_the_pool_moves_on_with_the_clips_made_and_forgets_the_first():
    pool = ClipPool(frames=1, size=64, capacity=3, start=2)
    made = []
    pool.clip = made.append
    for clips_made, expected in ((0, {0, 1}), (1, {0, 1, 2}), (7, {6, 7, 8})):
        made.clear()
        for seed in range(40):
            pool.sample(Random(seed), clips_made)
        assert set(made) == expected


def test_a_clip_in_the_folder_is_read_back_and_a_later_one_takes_its_place(tmp_path):
    def pool(seed: int) -> ClipPool:
        return ClipPool(seed=seed, frames=1, size=64, capacity=2, folder=tmp_path)

    first, later = pool(0).clip(0), pool(8).clip(0)  # 8 = 4 * capacity: the same file
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    assert torch.equal(pool(8).clip(0).frames, later.frames)
    assert file.stat().st_mtime_ns == before  # it was not made again
    assert torch.equal(pool(0).clip(0).frames, first.frames)
    assert not torch.equal(first.frames, later.frames)


def test_processes_train_on_different_clips_of_both_families():
    frames = []
    for rank in range(2):
        pool = ClipPool(rank=rank, world_size=2, frames=1, size=64)
        frames.append([pool.clip(index).frames for index in range(4)])
    assert not any(torch.equal(a, b) for a in frames[0] for b in frames[1])
    assert torch.equal(frames[1][1], make_clip(3, 1, 64).frames)  # an odd seed: microscopy


def test_an_augmented_clip_keeps_its_masks_on_its_objects():
    clip = make_scene(4, 2)
    for seed in range(5):
        other = augmented(Random(seed), clip)
        assert other.frames.shape == clip.frames.shape
        assert set(other.labels.unique().tolist()) <= set(clip.labels.unique().tolist())


def test_a_batch_holds_objects_that_are_visible_at_first():
    pool = ClipPool(frames=4, size=64, start=6)
    batch = sample_batch(Random(1), pool, 0, clips=3, frames=2, objects=4, stride=2)
    assert batch.images.shape == (6, 3, 64, 64)
    assert batch.masks.shape == (2, 12, 64, 64)
    assert batch.visible[0].all()
    assert batch.truth(1).shape == (12, 32, 32)


@pytest.mark.parametrize(("available", "wanted"), [(8, 1), (8, 3), (8, 8), (8, 14), (8, 40), (2, 5), (1, 4)])
def test_a_run_of_frames_stays_in_the_clip_and_turns_round_at_its_ends(available, wanted):
    for seed in range(30):
        indices = frame_indices(Random(seed), available, wanted, stride=1)
        assert len(indices) == wanted
        assert 0 <= min(indices) <= max(indices) < available
        steps = [b - a for a, b in itertools.pairwise(indices)]
        if available == 1:
            assert set(indices) == {0}
        elif wanted <= available:  # it fits: forward
            assert set(steps) <= {1}
        else:  # it does not: every frame in turn, back and forth
            assert {abs(step) for step in steps} == {1}
            turns = [i for i, (a, b) in enumerate(itertools.pairwise(steps), 1) if a != b]
            assert {indices[turn] for turn in turns} <= {0, available - 1}


def test_a_run_with_a_stride_goes_on_by_it_behind_the_turn():
    runs = [frame_indices(Random(seed), 8, 9, stride=3) for seed in range(200)]
    assert {frozenset(run) for run in runs if run[0] == 0} >= {frozenset(range(8)), frozenset({0, 2, 4, 6})}
    assert [0, 3, 6, 5, 2, 1, 4, 7, 4] in runs


def test_short_runs_that_fit_go_forward_and_start_anywhere():
    runs = [frame_indices(Random(seed), 8, 3, stride=3) for seed in range(200)]
    assert {run[1] - run[0] for run in runs} == {1, 2, 3}
    assert min(run[0] for run in runs) == 0
    assert max(run[-1] for run in runs) == 7


def test_a_batch_may_have_more_frames_than_its_clips():
    pool = ClipPool(frames=3, size=64, start=4)
    batch = sample_batch(Random(2), pool, 0, clips=1, frames=5, objects=1)
    assert torch.equal(batch.masks[0], batch.masks[4])  # 0 1 2 1 0
    assert torch.equal(batch.masks[1], batch.masks[3])
    assert not torch.equal(batch.images[0], batch.images[2])


def test_a_clip_with_nothing_on_its_first_frame_is_not_taken():
    pool = ClipPool(frames=1, size=64, start=4)
    clip = make_clip(0, 1, 64)
    empty = Clip(clip.frames, torch.zeros_like(clip.labels), clip.table)
    pool.clip = lambda index: clip if index else empty
    batch = sample_batch(Random(0), pool, 0, clips=8, frames=1, objects=1)
    assert batch.visible.all()


def test_frame_t_of_clip_c_is_at_t_times_clips_plus_c():
    clips = [make_scene(seed, 2, 64) for seed in range(3)]
    batch = collate(Random(0), clips, 2)
    alone = collate(Random(0), clips[1:2], 2)
    assert torch.equal(batch.images[3 + 1], alone.images[1])


def test_the_last_clip_of_the_longest_run_is_not_held_out(tmp_path, monkeypatch):
    plan, seeds = nano_plan(seed=100_000), []
    pool = Trainer(plan, tmp_path, Processes(63, 64, torch.device("cpu"))).pool
    pool.folder = None
    monkeypatch.setattr(clip_pool, "make_clip", lambda seed, *arguments: seeds.append(seed))
    clips_made = sum(stage.steps * stage.new_clips for stage in plan.stages)
    pool.clip(pool.start + int(clips_made) - 1)
    assert plan.seed < seeds[0] < FIRST_HELD_OUT_SEED
