"""Objects that leave their windows, are lost, and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_core import Prompt, masks
from sam2_core.models import motion
from sam2_core.models.checkpoints import build
from sam2_core.models.config import config
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_prompts import previous_masks
from sam2_core.tracking.sam2_values import Sam2Memory
from sam2_core.tracking.views import WindowedMemory
from sam2_core.tracking.window_search import Lost, as_prompted
from sam2_core.tracking.windowed_model import WindowedModel
from sam2_core.tracking.windows import Place, Window, Windows
from tests.balls_for_tests import Ball, tracked


@pytest.mark.parametrize("there", [(206, 216), (200, 900), (500, 700)])
def test_an_object_that_was_away_is_not_seen_meanwhile_and_found_again_anywhere(nano, there):
    later = [(there[0] + 2 * i, there[1] + 4 * i) for i in range(14)]
    video = Ball([(200, 200), (202, 204), None, None, *later])
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    assert not found[2].any()
    assert not found[3].any()
    assert all(masks.iou(found[i], video.mask(i)) > 0.6 for i in range(4, len(video)) if found[i].any())
    assert found[-1].any()


@pytest.mark.parametrize("radius", [60, 90])
def test_an_object_that_leaves_its_window_within_a_frame_is_followed(nano, radius):
    step = int(0.6 * radius)
    video = Ball([(400, 200 + step * i) for i in range(8)], radius=radius, size=(900, 1100))
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    assert min(masks.iou(mask, video.mask(i)) for i, mask in enumerate(found)) > 0.85


def test_a_scrap_of_ground_does_not_keep_an_object_from_being_found(nano, monkeypatch):
    video = Ball([(200, 200), (202, 204), None, None, *[(500 + 2 * i, 700 + 4 * i) for i in range(14)]])
    track = Sam2Model.track_each

    def with_scraps(model, frames, memories):
        answers = track(model, frames, memories)
        scrap = masks.encode(np.pad(np.ones((4, 4), bool), 126))
        return [
            one if one.visible else replace(one, encoded=scrap, score=0.1, visible=True) for one in answers
        ]

    monkeypatch.setattr(Sam2Model, "track_each", with_scraps)
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    assert 0 < found[3].sum() < 50  # what was seen stays if nothing is found
    assert masks.iou(found[-1], video.mask(17)) > 0.6


@pytest.mark.parametrize("others", [[], [(260, 710), (320, 645)]])
def test_among_look_alikes_nobody_is_taken_for_an_object_that_is_gone(nano, others):
    alike = [(260, 645), *others]
    video = Ball([(200, 200), (202, 204), *[None] * 12], others=alike)
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    taken = any(mask.any() for mask in found[2:])
    assert taken is not bool(others)  # a single one may be it


def test_a_network_whose_memories_stay_searches_the_whole_frame_for_it_as_it_was_prompted(monkeypatch):
    torch.manual_seed(0)
    network = build(config("sam2.1-tiny").at_size(64))
    model = WindowedModel(Sam2Model(network, "random", torch.device("cpu"), "exact"), Windows(64))
    video = Ball([(100, 100), (101, 103)], radius=6, size=(200, 240))
    views = model.encode_image(video[0])
    painted = model.segment(views, Prompt(0, 1, mask=Ball([(100, 100)], 60, (200, 240)).mask(0)), None)
    (large,) = model.encode_memory(views, [painted], prompted=True)
    small = model.segment(views, Prompt(0, 1, mask=video.mask(0)), None)
    (prompted,) = model.encode_memory(views, [small], prompted=True)
    (last,) = model.encode_memory(views, [small], prompted=False)
    assert large.window is None
    assert prompted.window is not None
    read, answers = [], iter([False, True, True])
    there = masks.encode(Ball([(20, 200)], 6, (200, 240)).mask(0))

    def spied(sam2, frames, memories):
        if not frames:  # nobody is cut
            return []
        (frame,) = frames
        read.append((frame, memories))
        visible = next(answers)
        (found,) = track(sam2, frames, memories)
        return [replace(found, visible=visible, encoded=there if frame.size == video.size else near)]

    near = masks.encode(np.ones((64, 64), bool))
    track = Sam2Model.track_each
    monkeypatch.setattr(Sam2Model, "track_each", spied)
    recalled = Recalled([(3.0, large), (2.0, prompted)], [(1, last)])
    (found,) = model.track(model.encode_image(video[1]), [recalled])
    (_, first), (whole, search), (_, close) = read
    assert len(first[0].recent) == 1
    assert whole.size == video.size
    assert [memory for _, memory in search[0].conditioning] == [large.memory, prompted.whole]
    assert not search[0].recent
    assert not close[0].recent  # where it was last says nothing any more
    assert found.visible
    window = found.raw.window
    assert window.side == 64
    assert window.top <= 14
    assert window.left + window.side >= 206


def test_what_is_read_on_a_tour_lies_at_the_spot_with_its_surroundings_and_its_mask():
    torch.manual_seed(0)
    made, place = Window(128, 128, 256), Place(200, 210, 240, 230)
    mask = torch.full((1, 1, 64, 64), -20.0)
    mask[0, 0, 18:28, 20:26] = 20  # there, in the window
    memory = Sam2Memory(torch.randn(1, 3, 16, 16), torch.zeros(1, 4), mask, motion.centres(mask))
    lost = Lost(Recalled([(1.0, WindowedMemory(made, memory, place))], []), made)
    for there in (Window(900, 900, 256), Window(900, 900, 368)):
        read = as_prompted(lost, there, (2000, 2000), (1 / 8, 7 / 8))
        ((_, seen),) = read.conditioning
        assert seen.now_12.tolist() == [[1 / 8, 7 / 8]]
        assert motion.centres(previous_masks([read])).numpy() == pytest.approx(
            np.array([[1 / 8, 7 / 8]]), abs=1 / 32
        )
        assert seen.spatial_1chw.std() > 0.3


def test_a_wider_look_that_sees_nothing_does_not_take_away_what_was_seen(nano, monkeypatch):
    video = Ball([(400, 200), (400, 254)], radius=90, size=(900, 1100))
    prompt, track, looks = Prompt(0, 1, mask=video.mask(0)), Sam2Model.track_each, []

    def blind_at_second_sight(model, frames, memories):
        looks.append(len(memories))
        answers = track(model, frames, memories)
        return answers if len(looks) == 1 else [replace(one, visible=False) for one in answers]

    monkeypatch.setattr(Sam2Model, "track_each", blind_at_second_sight)
    found = tracked(nano, video, prompt)
    assert looks[:2] == [1, 1]
    assert masks.iou(found[1], video.mask(1)) > 0.5
