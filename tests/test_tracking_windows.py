"""Windows: objects are followed at higher resolution, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core import Box, Point, Prompt, Session, load_model, masks, open_session
from sam2_core.hookspecs import Segmentation
from sam2_core.tracking.window_prompts import mirrored, mirrored_click, on_frame
from sam2_core.tracking.windowed_model import WindowedModel
from sam2_core.tracking.windows import Window
from tests.balls_for_tests import Ball, tracked


def mean_iou(found, video):
    return float(np.mean([masks.iou(mask, video.mask(i)) for i, mask in enumerate(found)]))


# --- masks -------------------------------------------------------------------------------------------


MOVING = [(500 + 4 * i, 300 + 12 * i) for i in range(12)]


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(0, 1, (Point(300, 500),)),
        Prompt(0, 1, box=Box(286, 486, 314, 514)),
        Prompt(0, 1, mask=Ball(MOVING).mask(0)),
    ],
    ids=["click", "box", "mask"],
)
def test_a_small_object_on_a_large_frame_is_followed_through_many_windows(nano, prompt):
    video = Ball(MOVING)
    found = tracked(nano, video, prompt)
    assert mean_iou(found, video) > 0.85
    assert mean_iou(tracked(nano.whole_frames, video, prompt), video) < 0.75


def test_a_large_object_gets_the_masks_that_it_gets_without_windows(nano):
    video = Ball([(500, 400 + 30 * i) for i in range(4)], radius=400)
    for prompt in (Prompt(0, 1, box=Box(0, 100, 800, 900)), Prompt(0, 1, mask=video.mask(0))):
        with_windows = tracked(nano, video, prompt)
        for mine, theirs in zip(with_windows, tracked(nano.whole_frames, video, prompt), strict=True):
            assert np.array_equal(mine, theirs)


def test_an_object_at_the_border_keeps_a_mask_inside_the_frame(nano):
    video = Ball([(1020, 1270 + i) for i in range(5)], size=(1030, 1290))
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    assert mean_iou(found, video) > 0.75


@pytest.mark.parametrize(("top", "left"), [(0, 0), (20, 20), (31, 31), (10, 31)])
def test_what_lies_on_the_padding_of_a_window_is_cut_off(top, left):
    mask = np.zeros((32, 32), bool)
    mask[top:, left:] = True
    window, frame = Window(16, 48, 32), (40, 70)
    found = on_frame(Segmentation(masks.encode(mask), 0.9, True), window, frame)
    expected = np.zeros(frame, bool)
    expected[16:, 48:] = mask[:24, :22]
    assert np.array_equal(found.encoded.decode(), expected)
    assert found.visible == expected.any()
    assert found.score == (0.9 if expected.any() else 0.0)


def test_a_mirrored_mask_is_the_mask_of_the_mirror_image():
    mask = np.zeros((9, 12), bool)
    mask[2:5, 1:4] = mask[3, 7] = True
    assert np.array_equal(mirrored(masks.encode(mask)).decode(), mask[:, ::-1])
    click = mirrored_click(Prompt(0, 1, (Point(1.25, 3),)), 12)
    assert click.points == (Point(9.75, 3),)


def test_a_click_in_a_field_on_an_empty_canvas_is_its_object_and_not_the_field(nano):
    field = Ball([(250, 260)], size=(512, 512))
    canvas = np.zeros((2048, 2048, 3), np.uint8)
    canvas[700:1212, 600:1112] = field[0]
    truth = np.zeros((2048, 2048), bool)
    truth[700:1212, 600:1112] = field.mask(0)
    found = nano.segment(nano.encode_image(canvas), Prompt(0, 1, (Point(860, 950),)), None)
    assert masks.iou(found.encoded.decode(), truth) > 0.75


def test_clicks_and_specks_far_away_do_not_take_the_object_out_of_its_window(nano):
    video = Ball(MOVING)
    views = nano.encode_image(video[0])
    near, far = Point(300, 500), Point(1200, 40, positive=False)
    speck = video.mask(0)
    speck[1000, 1200] = True
    click = nano.segment(views, Prompt(0, 1, (near,)), None)
    refined = nano.segment(views, Prompt(0, 1, (near, far)), click)
    boxed = nano.segment(views, Prompt(0, 1, (far,), box=Box(286, 486, 314, 514)), None)
    painted = nano.segment(views, Prompt(0, 1, mask=speck), None)
    for found in (refined, boxed, painted):
        assert found.raw.window.side == 256
        assert masks.iou(found.encoded.decode(), video.mask(0)) > 0.75
    assert painted.encoded.decode()[1000, 1200]  # what was painted is kept


def test_a_box_that_leaves_the_frame_is_read_as_what_lies_on_it(nano):
    video = Ball([(500, 1270)])
    views = nano.encode_image(video[0])
    inside, beyond = (
        nano.segment(views, Prompt(0, 1, box=Box(1256, 486, right, 514)), None) for right in (1279, 4000)
    )
    assert beyond.encoded == inside.encoded
    assert masks.iou(inside.encoded.decode(), video.mask(0)) > 0.75


def test_where_no_reading_fits_the_whole_frame_has_the_word(nano, monkeypatch):
    nothing = Segmentation(masks.encode(np.zeros((256, 256), bool)), 0.5, True)
    monkeypatch.setattr(nano.whole_frames, "readings", lambda clicks: [[nothing] * 3 for _ in clicks])
    video, click = Ball(MOVING), Prompt(0, 1, (Point(300, 500),))
    found = nano.segment(nano.encode_image(video[0]), click, None)
    alone = nano.whole_frames.segment(nano.whole_frames.encode_image(video[0]), click, None)
    assert found.encoded == alone.encoded


def test_nano_reads_a_click_and_its_mirror_image_alike(nano):
    image = Ball([(128, 90)], radius=30, size=(256, 256))[0]
    answers = [
        nano.segment(nano.encode_image(np.ascontiguousarray(shown)), Prompt(0, 1, (Point(x, 128),)), None)
        for shown, x in ((image, 90), (image[:, ::-1], 165))
    ]
    assert masks.overlap(answers[0].encoded, mirrored(answers[1].encoded)) > 0.8


def test_a_correction_in_a_window_is_taken_up(nano):
    video = Ball(MOVING)
    with Session(video, nano) as session:
        session.add_prompt(Prompt(0, 1, mask=Ball(MOVING, radius=9).mask(0)))
        for _ in session.propagate():
            pass
        row, column = MOVING[4]
        shown = session.add_prompt(session.correction(4, 1, Point(column, row + 10)))
        assert shown.mask(1)[row + 10, column]
        refined = session.add_prompt(Prompt(0, 2, (Point(300, 500), Point(350, 500, positive=False))))
        assert masks.iou(refined.mask(2), video.mask(0)) > 0.8


def test_readings_of_a_click_are_offered_in_the_window_of_its_mask(nano):
    video = Ball(MOVING)
    with Session(video, nano) as session:
        readings = session.candidates(Prompt(0, 1, (Point(300, 500),)))
    assert max(masks.iou(reading.mask(), video.mask(0)) for reading in readings) > 0.8


def test_an_object_has_the_same_masks_whatever_is_tracked_beside_it():
    exact = load_model("nano", device="cpu", precision="exact")

    model, video = WindowedModel(exact), Ball(MOVING)
    alone = tracked(model, video, Prompt(0, 1, mask=video.mask(0)))
    with Session(video, model) as session:
        session.add_prompt(Prompt(0, 2, (Point(600, 200),)))
        session.add_prompt(Prompt(0, 1, mask=video.mask(0)))
        session.add_prompt(Prompt(3, 3, box=Box(322, 498, 350, 526)))
        beside = [result.mask(1) for result in session.propagate(range(len(video)))]
    assert all(np.array_equal(a, b) for a, b in zip(alone, beside, strict=True))


def test_neighbours_share_a_window_and_nobody_pays_for_the_whole_frame(nano, monkeypatch):
    video = Ball([(500, 320)] * 3)
    encoded = []
    encode = type(nano.whole_frames).encode_images
    monkeypatch.setattr(
        type(nano.whole_frames),
        "encode_images",
        lambda model, images: encoded.extend(image.shape for image in images) or encode(model, images),
    )
    with Session(video, nano) as session:
        for object_id, left in enumerate((250, 275, 300), 1):
            mask = np.zeros(video.size, bool)
            mask[490:512, left : left + 20] = True
            session.add_prompt(Prompt(0, object_id, mask=mask))
        encoded.clear()
        results = list(session.propagate(range(1, 3)))
        assert all(result.visible[0] for result in results)
    assert [shape[:2] for shape in encoded] == [(256, 256)] * 2


def test_a_video_may_use_one_buffer_for_all_its_frames(nano):
    class OneBuffer(Ball):
        buffer = np.zeros((1024, 1280, 3), np.uint8)

        def __getitem__(self, frame_index):
            self.buffer[:] = super().__getitem__(frame_index)
            return self.buffer

    prompt = Prompt(0, 1, box=Box(286, 486, 314, 514))
    with Session(OneBuffer(MOVING), nano) as session:
        session.add_prompt(Prompt(0, 2, (Point(900, 700),)))
        list(session.propagate(range(3)))
        found = session.add_prompt(prompt).mask(1)
    with Session(Ball(MOVING), nano) as session:
        assert np.array_equal(found, session.add_prompt(prompt).mask(1))


def test_an_object_keeps_its_memory_when_it_walks_out_of_the_window_of_its_prompt(nano):
    video = Ball(MOVING)
    views = nano.encode_image(video[0])
    answer = nano.segment(views, Prompt(0, 1, mask=video.mask(0)), None)
    (memory,) = nano.encode_memory(views, [answer], prompted=True)
    for window in (Window(384, 256, 256), Window(384, 640, 256)):
        seen = memory.seen_from(window, video.size)
        assert torch.equal(seen.spatial_1chw, memory.memory.spatial_1chw)
        place = memory.memory.centre_12 * 256 + torch.tensor([384.0, 128.0])
        assert torch.allclose(seen.now_12 * 256 + torch.tensor([window.top, window.left]), place, atol=1e-3)


# --- the switch, saved sessions ----------------------------------------------------------------------


def test_windows_can_be_switched_off_and_exact_precision_has_none():
    assert hasattr(load_model("nano", device="cpu"), "whole_frames")
    assert not hasattr(load_model("nano", device="cpu", windows=False), "whole_frames")
    assert not hasattr(load_model("nano", device="cpu", precision="exact"), "whole_frames")
    with open_session(np.zeros((2, 64, 64), np.uint8), device="cpu", windows=False) as session:
        assert not hasattr(session.model, "whole_frames")


def test_a_saved_session_goes_on_as_it_was_with_or_without_windows(tmp_path):
    video = Ball(MOVING[:3])
    for windows in (True, False):
        with open_session(video, device="cpu", windows=windows) as session:
            session.add_prompt(Prompt(0, 1, mask=video.mask(0)))
            list(session.propagate())
            session.save(tmp_path / "s")
        with open_session(tmp_path / "s", device="cpu", video=video) as session:
            assert hasattr(session.model, "whole_frames") is windows
            assert not any(session.masklets()[1][i].stale for i in range(3))
    with open_session(tmp_path / "s", device="cpu", video=video, windows=True) as session:
        assert all(session.masklets()[1][i].stale for i in range(1, 3))


def test_memories_of_windows_survive_as_arrays(nano):
    video = Ball(MOVING)
    views = nano.encode_image(video[0])
    answer = nano.segment(views, Prompt(0, 1, mask=video.mask(0)), None)
    (memory,) = nano.encode_memory(views, [answer], prompted=True)
    assert memory.window == Window(384, 128, 256)
    for one in (memory, memory.faded()):
        again = nano.memory_from(nano.memory_arrays(one))
        assert (again.window, again.place, again.nbytes) == (one.window, one.place, one.nbytes)
        for mine, theirs in ((again.memory, one.memory), (again.whole, one.whole)):
            assert (mine is None) == (theirs is None)
            for name in ("pointer_1d", "spatial_1chw", "mask_11hw", "centre_12") if mine is not None else ():
                first, second = getattr(mine, name), getattr(theirs, name)
                assert first is second is None or torch.equal(first, second)
    for broken in ([0, 0], [0, 0, 0], [-16, 0, 256], [0, 0, 32]):
        with pytest.raises(ValueError, match="window"):
            nano.memory_from(nano.memory_arrays(memory) | {"window": np.array(broken, np.int64)})
