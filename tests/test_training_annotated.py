"""Annotated videos of a user as training clips."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sam2_core import Prompt, open_session
from sam2_core.errors import VideoError
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.training.annotated import LABELS, AnnotatedClips, AnnotatedData, Mixed, split
from sam2_core.training.clips import Clip
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
    clip = video.clip(1, 3, 64)
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
    lengths = {len(clips.sample(Random(seed), 0).frames) for seed in range(30)}
    assert lengths == {3, 4}
    assert split(only(tmp_path), 0.05)[1] is None


def test_runs_cover_every_annotated_frame(tmp_path):
    video, _ = split(only(make_annotated(tmp_path, 7)), 0.0)
    for length in (2, 3, 4, 16):
        clips = AnnotatedClips([video], length, 64, CPU)
        starts = [start for _, start in clips._runs]
        assert {i for start in starts for i in range(start, start + length)} >= set(range(7))


def test_one_annotated_frame_is_too_few(tmp_path):
    with pytest.raises(VideoError, match="1 annotated frames, 1 objects to train on"):
        split(only(make_annotated(tmp_path, 4, range(1))), 0.0)


def test_of_very_many_objects_the_largest_are_kept(tmp_path):
    import numpy as np
    from PIL import Image

    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20).repeat(4, 0).repeat(4, 1)
    mask[:20] = 9  # one is large
    for t in range(2):
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "images" / f"{t}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{t}.png")
    video, _ = split(only(tmp_path), 0.0)
    clip = video.clip(0, 2, 64)
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
    assert len(video.clip(0, 16, 64).frames) == 2


class Constant:
    def __init__(self, value):
        self.value = value

    def sample(self, rng, clips_made):
        return Clip(torch.full((1, 3, 8, 8), self.value), torch.zeros(1, 8, 8), torch.zeros(1, 256))


def test_some_clips_are_of_the_other_source():
    mixed = Mixed(Constant(1), Constant(2), 0.25)
    rng = Random(0)
    second = sum(int(mixed.sample(rng, 0).frames[0, 0, 0, 0]) == 2 for _ in range(400))
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


def test_validation_says_that_nothing_is_to_be_seen_first(tmp_path, monkeypatch):
    monkeypatch.setattr("sam2_core.training.annotated.anything_visible", lambda clip: False)
    trained, _ = split(only(make_annotated(tmp_path, 4)), 0.0)
    with pytest.raises(VideoError, match="hold out more"):
        AnnotatedData([trained]).validation_batch(0, annotated_plan(), CPU)
