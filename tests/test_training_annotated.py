"""Annotated videos of a user as training clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sam2_core import Prompt, open_session
from sam2_core.cli.datasets import find_all
from sam2_core.errors import ExportError, ModelError, VideoError
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.truth import Truth
from sam2_core.results import Masklet
from sam2_core.training.annotated import LABELS, split
from sam2_core.training.annotated_data import AnnotatedClips, AnnotatedData, Mixed, Views
from sam2_core.training.batches import anything_visible
from sam2_core.training.clips import Clip
from sam2_core.training.crops import squashed
from sam2_core.training.main_stages import ClipTracking
from sam2_core.training.random import Random
from sam2_core.training.trainer import Trainer
from tests.annotated_for_tests import SIZE, labels, make_annotated
from tests.training_for_tests import tiny_network, tiny_plan

CPU = torch.device("cpu")


def only(place):
    (sequence,), _ = find_sequences(place)
    return sequence


def test_a_clip_holds_the_annotated_frames_and_their_objects(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 9, range(0, 9, 2))), 0.0)
    clip = squashed(video.clip(1, 3), 64)
    assert clip.frames.shape == (3, 3, 64, 64)
    assert clip.table.shape == (2, LABELS + 1)
    areas, scale = clip.areas(), 64 * 64 / (SIZE[0] * SIZE[1])
    for place, t in enumerate((2, 4, 6)):
        expected = [float((labels(t) == object_id).sum()) * scale for object_id in (3, 7)]
        assert areas[place].tolist() == pytest.approx(expected, rel=0.15)
        bright = clip.frames[place].float().mean(0)[clip.masks()[place, 0]]
        assert 205 < float(bright.mean()) <= 221  # the masks lie on what they are about


def test_the_last_annotated_frames_are_held_out_and_never_trained_on(tmp_path):
    trained, held = split(only(make_annotated(tmp_path, 10)), 0.3)
    assert trained.truth.frames == tuple(range(7))
    assert held.truth.frames == (7, 8, 9)
    clips = AnnotatedClips([trained], 4, 64, CPU)
    lengths = {len(clips.sample(Random(seed)).frames) for seed in range(30)}
    assert lengths == {3, 4}
    assert split(only(tmp_path), 0.05)[1] is None


def test_runs_cover_every_annotated_frame(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 7)), 0.0)
    whole = {frame.numpy().tobytes() for frame in squashed(video.clip(0, 7), 64).frames}
    for length in (2, 3, 4, 16):
        clips = AnnotatedClips([video], length, 64, CPU)
        sampled = [clips.sample(Random(seed)) for seed in range(60)]
        assert {frame.numpy().tobytes() for clip in sampled for frame in clip.frames} == whole


def test_one_annotated_frame_is_too_few(tmp_path):
    with pytest.raises(VideoError, match="1 annotated frames, 1 objects to train on"):
        split(only(make_annotated(tmp_path, 4, range(1))), 0.0)


def test_of_very_many_objects_the_largest_are_kept(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20).repeat(4, 0).repeat(4, 1)
    mask[:20] = 9  # one is large
    for t in range(2):
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "images" / f"{t}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{t}.png")
    video, _ = split(only(tmp_path), 0.0)
    clip = squashed(video.clip(0, 2), 64)
    assert clip.objects == LABELS
    assert float(clip.areas()[0, 0]) == pytest.approx(64 * 64 / 4, rel=0.05)


def test_the_prompted_frames_of_a_saved_session_are_annotated(tmp_path):
    root = make_annotated(tmp_path / "video", 6)
    with open_session(root / "images", model="copy") as session:
        for t in (0, 3):
            session.add_prompt(Prompt(t, 1, mask=labels(t) == 3))
        list(session.propagate())
        session.save(tmp_path / "s.sam2")
    sequence = only(tmp_path / "s.sam2")
    truth, frames = sequence.whole_truth()
    assert (truth.frames, frames, sequence.name) == ((0, 3), 6, "s")
    assert (truth.mask(1, 3, SIZE) == (labels(3) == 3)).all()
    video, _ = split(sequence, 0.0)
    assert len(video.clip(0, 16).frames) == 2


def test_clips_in_memory_have_a_budget_in_bytes(tmp_path):
    """Of runs of 4 frames of 60 x 90 pixels, 4 bytes a pixel, two fit; the latest used are kept."""
    video, _ = split(only(make_annotated(tmp_path, 12)), 0.0)
    one = 4 * 60 * 90 * 4
    clips = AnnotatedClips([video], 4, 64, CPU, held_bytes=2 * one + 100)
    first, second = clips.clip(0), clips.clip(1)
    assert clips.held_bytes == 2 * one
    assert clips.clip(0) is first
    clips.clip(2)
    assert clips.held_bytes == 2 * one
    assert clips.clip(0) is first
    assert clips.clip(1) is not second
    small = AnnotatedClips([video], 4, 64, CPU, held_bytes=10)
    assert small.clip(0) is small.clip(0)  # one is always kept
    assert small.held_bytes == one


def test_what_is_drawn_is_whole_or_a_part_and_of_the_networks_size(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 5)), 0.0)
    areas = {}
    for parts in (0.0, 1.0):
        clips = AnnotatedClips([video], 16, 32, CPU, Views(parts))
        drawn = [clips.draw(Random(seed), 0, 7, 2) for seed in range(20)]
        assert {clip.frames.shape for clip in drawn} == {(7, 3, 32, 32)}  # 7 of 5: it turns round
        areas[parts] = sum(float(clip.areas()[0].max()) for clip in drawn)
    assert areas[1.0] > 1.2 * areas[0.0]


def test_drawn_objects_divide_where_that_is_asked_for(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 6, range(2, 6))), 0.0)  # all seen from the first on

    def ended(share):
        clips = AnnotatedClips([video], 16, 64, CPU, Views(0.0, share))
        drawn = [clips.draw(Random(seed), 0, 4, 1) for seed in range(30)]
        return sum(int(((clip.areas()[0] > 0) & (clip.areas()[-1] == 0)).sum()) for clip in drawn)

    assert ended(0.0) < 8  # what a zoom loses
    assert ended(1.0) > 25
    plain, divided = (AnnotatedData([video], views=Views(0.5, share)).identity for share in (0.0, 0.2))
    assert divided == f"{plain}; 0.2 divided"


class Constant:
    def __init__(self, value):
        self.value = value

    def draw(self, rng, clips_made, frames, stride):
        return Clip(torch.full((1, 3, 8, 8), self.value), torch.zeros(1, 8, 8), torch.zeros(1, 256))


def test_some_clips_are_of_the_other_source():
    mixed = Mixed(Constant(1), Constant(2), 0.25)
    rng = Random(0)
    second = sum(int(mixed.draw(rng, 0, 1, 1).frames[0, 0, 0, 0]) == 2 for _ in range(400))
    assert 70 < second < 130


def annotated_plan():
    images = replace(tiny_plan().stages[2], steps=0)
    stage = ClipTracking(4, clips=2, frames=3, objects=2, image_probability=0.3, image_stage=images)
    return tiny_plan(stages=(stage,))


def test_a_stopped_run_ends_with_the_same_weights_and_starts_from_the_given_ones(tmp_path):
    trained, held = split(only(make_annotated(tmp_path / "data", 6)), 0.5)
    data, start = AnnotatedData([trained], [held], procedural_share=0.3), tiny_network()
    fresh = Trainer(annotated_plan(), tmp_path / "fresh", data=data, start=start)
    for name, value in start.state_dict().items():
        assert torch.equal(fresh.network.state_dict()[name], value)
    whole = Trainer(annotated_plan(), tmp_path / "whole", data=data, start=start)
    list(whole.run())
    trainer = Trainer(annotated_plan(), tmp_path / "stopped", data=data, start=start)
    for _ in trainer.run():
        if trainer.step == 2:
            trainer.save()
            break
    resumed = Trainer(annotated_plan(), tmp_path / "stopped", data=data, start=start)
    assert resumed.step == 2
    list(resumed.run())
    for name, value in whole.averaged.items():
        assert torch.equal(resumed.averaged[name], value), name
    assert any(not torch.equal(v, start.state_dict()[n]) for n, v in whole.averaged.items())
    assert set(whole.validate(2)) == {"click", "clicks3", "box", "mask", "copy"}


def test_a_run_on_other_annotations_says_so(tmp_path):
    data = [AnnotatedData([split(only(make_annotated(tmp_path / str(n), n)), 0.0)[0]]) for n in (4, 5)]
    Trainer(annotated_plan(), tmp_path / "run", data=data[0], start=tiny_network()).save()
    with pytest.warns(UserWarning, match="other data"):
        Trainer(annotated_plan(), tmp_path / "run", data=data[1], start=tiny_network())


def test_weights_that_are_trained_already_are_left_as_they_are_before_the_first_step(tmp_path):
    """No part is rescaled, as fresh ones are: a step that learns nothing changes nothing."""
    plan = annotated_plan()
    still = replace(plan.stages[0], steps=1, learning_rate=0.0, final_learning_rate=0.0)
    data = AnnotatedData([split(only(make_annotated(tmp_path / "data", 4)), 0.0)[0]], procedural_share=0.0)
    start = tiny_network()
    trainer = Trainer(replace(plan, stages=(still,)), tmp_path / "run", data=data, start=start)
    list(trainer.run())
    assert trainer.step == 1
    for name, value in start.state_dict().items():
        assert torch.equal(trainer.network.state_dict()[name], value), name
        assert torch.allclose(trainer.averaged[name], value), name


@pytest.mark.parametrize("other", ["data", "seed", "starting weights"])
def test_a_strict_run_refuses_a_folder_of_another_run(tmp_path, other):
    first, second = (
        AnnotatedData([split(only(make_annotated(tmp_path / str(n), n)), 0.0)[0]]) for n in (4, 5)
    )
    plan, start = annotated_plan(), tiny_network()
    Trainer(plan, tmp_path / "run", data=first, start=start).save()
    longer = replace(plan, stages=(replace(plan.stages[0], steps=9),))
    Trainer(longer, tmp_path / "run", data=first, start=start, strict=True)  # more steps are no other run
    changed = tiny_network()
    torch.nn.init.ones_(next(changed.parameters()))
    data = second if other == "data" else first
    plan = replace(plan, seed=7) if other == "seed" else plan
    start = changed if other == "starting weights" else start
    with pytest.raises(ModelError, match=f"holds a run with other {other}; give another folder"):
        Trainer(plan, tmp_path / "run", data=data, start=start, strict=True)


def test_a_checkpoint_of_something_else_is_said(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"something else")
    with pytest.raises(ModelError, match="is of no run of test"):
        Trainer(annotated_plan(), tmp_path, start=tiny_network())


def moved(truth, by):
    one = {
        t: replace(k, encoded=replace(k.encoded, left=k.encoded.left + by))
        for t, k in truth.objects[3].items()
    }
    return Truth(truth.frames, {**truth.objects, 3: Masklet(3, one)})


def test_the_identity_tells_annotations_apart(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 4)), 0.0)
    others = (moved(video.truth, 1), Truth((*video.truth.frames, 9), video.truth.objects))
    identities = {replace(video, truth=truth).identity for truth in (video.truth, *others)}
    assert len(identities) == 3


def test_clips_begin_where_something_is_to_be_seen(tmp_path):
    root = make_annotated(tmp_path, 12)
    for t in (*range(5), 8, 9):
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(root / "masks" / f"{t:04d}.png")
    trained, held = split(only(root), 0.34)
    assert held.truth.frames == (10, 11)
    clips = AnnotatedClips([trained], 4, 64, CPU)
    firsts = [clips.sample(Random(seed)) for seed in range(10)]
    assert all(anything_visible(clip) for clip in firsts)
    batch = AnnotatedData([trained], [held]).validation_batch(0, annotated_plan(), CPU)
    assert bool(batch.visible[0].all())


def saved(tmp_path, session):
    session.save(tmp_path / "s.sam2")
    return only(tmp_path / "s.sam2").whole_truth()[0]


def test_a_corrected_mask_is_the_truth_and_not_what_it_corrected(tmp_path):
    root = make_annotated(tmp_path / "video", 6)
    right = labels(3) == 3
    with open_session(root / "images", model="copy") as session:
        session.add_prompt(Prompt(0, 1, mask=labels(0) == 3))
        list(session.propagate())
        assert (session.masklets()[1].mask(3) != right).any()
        session.add_prompt(Prompt(3, 1, mask=right))
        truth = saved(tmp_path, session)
    assert truth.frames == (0, 3)
    assert (truth.mask(1, 3, SIZE) == right).all()


def test_frames_on_which_not_all_objects_are_up_to_date_are_no_truth(tmp_path):
    root = make_annotated(tmp_path / "video", 6)
    with open_session(root / "images", model="copy") as session:
        session.add_prompt(Prompt(0, 1, mask=labels(0) == 3))
        session.add_prompt(Prompt(3, 2, mask=labels(3) == 7))
        with pytest.raises(ExportError, match=r"propagate\(\) the session and save it again"):
            saved(tmp_path, session)
        list(session.propagate())
        assert saved(tmp_path, session).frames == (0, 3)
        session.add_prompt(Prompt(2, 2, mask=labels(2) == 7))  # object 2 is stale elsewhere now
        assert saved(tmp_path, session).frames == (2, 3)


def test_a_session_on_an_array_says_what_to_do(tmp_path):
    with open_session(np.zeros((3, *SIZE, 3), np.uint8), model="copy") as session:
        session.add_prompt(Prompt(0, 1, mask=labels(0) == 3))
        with pytest.raises(ExportError, match=r"save the array as \.npy"):
            saved(tmp_path, session)


def test_saved_sessions_of_one_name_are_told_apart_by_their_folders(tmp_path):
    root = make_annotated(tmp_path / "video", 3)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with open_session(root / "images", model="copy") as session:
            session.add_prompt(Prompt(0, 1, mask=labels(0) == 3))
            session.save(tmp_path / name / "s.sam2")
    found = find_all([tmp_path / name / "s.sam2" for name in ("one", "two")])
    assert [sequence.name for sequence, _ in found] == ["s", "two/s"]
