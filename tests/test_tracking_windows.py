"""Windows: small objects are followed at their own resolution, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2_core import Box, Point, Prompt, Session, load_model, masks, open_session
from sam2_core.hookspecs import Segmentation
from sam2_core.models.resampling import Affine, resampled
from sam2_core.results import RunLengths
from sam2_core.tracking.window_prompts import mirrored, mirrored_click, on_frame
from sam2_core.tracking.windows import CELL, Place, Window, Windows, axes

WINDOWS = Windows(256)
LENGTHS = st.integers(16, 5000)


class Ball:
    """A small bright ball that moves over a large textured frame; it may be away for some frames."""

    def __init__(self, centres, radius=14, size=(1024, 1280)):
        self.size, self.centres, self.radius = size, centres, radius
        noise = np.random.default_rng(3).integers(20, 90, (16, 20, 3), np.uint8)
        self.ground = np.asarray(Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC))

    def __len__(self):
        return len(self.centres)

    def mask(self, frame_index):
        centre = self.centres[frame_index]
        if centre is None:
            return np.zeros(self.size, bool)
        rows, columns = np.ogrid[: self.size[0], : self.size[1]]
        return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= self.radius**2

    def __getitem__(self, frame_index):
        image = self.ground.copy()
        image[self.mask(frame_index)] = (230, 225, 190)
        return image


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu")


def tracked(model, video, prompt):
    with Session(video, model) as session:
        session.add_prompt(prompt)
        return [result.mask(1) for result in session.propagate()]


def mean_iou(found, video):
    return float(np.mean([masks.iou(mask, video.mask(i)) for i, mask in enumerate(found)]))


# --- where windows lie -------------------------------------------------------------------------------


@st.composite
def situations(draw):
    """The height and width of a frame, and a place on it."""
    frame = draw(LENGTHS), draw(LENGTHS)
    spans = []
    for length in frame:
        low = draw(st.integers(0, length - 1))
        spans.append((low, draw(st.integers(low + 1, min(length, low + 700)))))
    (top, bottom), (left, right) = spans
    return frame, Place(top, left, bottom, right)


@given(situations())
def test_an_object_lies_in_its_window_with_ground_around_it(situation):
    frame, place = situation
    window = WINDOWS.place(place, frame)
    if window is None:
        assert 4 * place.extent > 256 or max(frame) < 512
        return
    assert place.extent <= window.side / 4
    assert max(frame) >= 2 * window.side
    room = window.side / 16
    for low, high, origin, length in (
        (place.top, place.bottom, window.top, frame[0]),
        (place.left, place.right, window.left, frame[1]),
    ):
        assert origin == 0 or low - origin >= room
        assert origin + window.side >= length or origin + window.side - high >= room
        cell = window.side // 256 * CELL
        assert origin % cell == 0
        assert 0 <= origin < length


@given(situations(), situations())
def test_a_window_is_kept_while_the_object_fits_and_left_when_it_does_not(before, now):
    frame, place = before
    current = WINDOWS.place(place, frame)
    if current is None:
        return
    assert WINDOWS.place(place, frame, current) == current
    _, moved = now
    if moved.bottom > frame[0] or moved.right > frame[1]:
        return
    window = WINDOWS.place(moved, frame, current)
    if window != current:
        assert window == WINDOWS.place(moved, frame)  # where it was before does not matter any more
    else:
        assert window.top <= moved.top
        assert window.left <= moved.left
        assert moved.bottom <= window.top + window.side
        assert moved.right <= window.left + window.side


def test_an_object_that_shrinks_or_grows_gets_a_window_of_another_size():
    frame = (2048, 2048)
    large = WINDOWS.place(Place(900, 900, 1000, 1000), frame)
    assert large.side == 512
    small = WINDOWS.place(Place(950, 950, 970, 970), frame, large)
    assert small.side == 256
    assert WINDOWS.place(Place(940, 940, 990, 990), frame, small) == small
    assert WINDOWS.place(Place(700, 700, 1000, 1000), frame, small) is not small
    assert WINDOWS.place(Place(500, 500, 1100, 1100), frame, small) is None


def test_a_frame_that_is_hardly_larger_than_the_network_has_no_windows():
    assert WINDOWS.place(Place(5, 5, 9, 9), (511, 500)) is None
    assert WINDOWS.around(Place(5, 5, 6, 6), (511, 500)) == []
    assert [w.side for w in WINDOWS.around(Place(5, 5, 6, 6), (2048, 2048))] == [256, 512, 1024]


# --- memories seen from another window ---------------------------------------------------------------


def test_whole_cells_are_moved_without_mixing_them():
    grid = torch.randn(1, 3, 16, 16)
    rows, columns = axes(Window(128, 64, 256), Window(96, 128, 256), (1000, 1000))
    seen = resampled(grid, rows, columns)
    assert torch.equal(seen[..., :14, 4:], grid[..., 2:, :12])
    assert torch.equal(seen[..., 0, :4], grid[..., 2, :1].expand(1, 3, 4))  # outside: the border
    outside = resampled(grid, rows, columns, outside=-7.0)
    assert (outside[..., :4] == -7).all()
    assert (outside[..., 14:, :] == -7).all()
    assert torch.equal(outside[..., :14, 4:], grid[..., 2:, :12])


def test_a_grid_of_another_size_is_read_where_it_lies():
    rows = torch.arange(16.0).view(1, 1, 16, 1).expand(1, 1, 16, 16)
    seen = resampled(rows, Affine(0.5, 0.25), Affine(0.5, 0.25))  # the middle half, twice as large
    expected = (torch.arange(16) + 0.5) / 2 + 4 - 0.5
    assert torch.allclose(seen[0, 0, :, 3], expected)


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
    video = Ball([(500, 400 + 30 * i) for i in range(4)], radius=260)
    for prompt in (Prompt(0, 1, box=Box(140, 240, 660, 760)), Prompt(0, 1, mask=video.mask(0))):
        with_windows = tracked(nano, video, prompt)
        for mine, theirs in zip(with_windows, tracked(nano.whole_frames, video, prompt), strict=True):
            assert np.array_equal(mine, theirs)


def test_an_object_that_was_away_is_found_again_far_from_where_it_was(nano):
    video = Ball([(200, 200), (202, 204), None, None, (800, 1000), (802, 1004)])
    found = tracked(nano, video, Prompt(0, 1, mask=video.mask(0)))
    assert not found[2].any()
    assert not found[3].any()
    assert masks.iou(found[5], video.mask(5)) > 0.6


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


def test_where_no_reading_fits_the_whole_frame_has_the_word(nano, monkeypatch):
    nothing = Segmentation(masks.encode(np.zeros((256, 256), bool)), 0.5, True)
    monkeypatch.setattr(nano.whole_frames, "candidates", lambda features, prompt: [nothing] * 3)
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
    from sam2_core.tracking.windowed_model import WindowedModel

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
    encode = type(nano.whole_frames).encode_image
    monkeypatch.setattr(
        type(nano.whole_frames),
        "encode_image",
        lambda model, image: encoded.append(image.shape) or encode(model, image),
    )
    with Session(video, nano) as session:
        for object_id, left in enumerate((250, 275, 300), 1):
            mask = np.zeros(video.size, bool)
            mask[490:512, left : left + 20] = True
            session.add_prompt(Prompt(0, object_id, mask=mask))
        encoded.clear()
        results = list(session.propagate(range(1, 3)))
        assert all(result.visible[0] for result in results)
    tracked_views = [shape for shape in encoded if shape[0] == 256]
    assert len(tracked_views) == 2


# --- the switch, saved sessions ----------------------------------------------------------------------


def test_windows_can_be_switched_off_and_exact_precision_has_none():
    assert hasattr(load_model("nano", device="cpu"), "whole_frames")
    assert not hasattr(load_model("nano", device="cpu", windows=False), "whole_frames")
    assert not hasattr(load_model("nano", device="cpu", precision="exact"), "whole_frames")
    with open_session(np.zeros((2, 64, 64), np.uint8), device="cpu", windows=False) as session:
        assert not hasattr(session.model, "whole_frames")


def test_memories_of_windows_survive_as_arrays(nano):
    video = Ball(MOVING)
    views = nano.encode_image(video[0])
    answer = nano.segment(views, Prompt(0, 1, mask=video.mask(0)), None)
    (memory,) = nano.encode_memory(views, [answer], prompted=True)
    assert memory.window == Window(384, 128, 256)
    for one in (memory, memory.faded()):
        again = nano.memory_from(nano.memory_arrays(one))
        assert (again.window, again.place, again.nbytes) == (one.window, one.place, one.nbytes)
        assert torch.equal(again.memory.pointer_1d, one.memory.pointer_1d)
        assert (again.whole is None) == (one.whole is None)
    with pytest.raises(ValueError, match="a window or place does not hold"):
        nano.memory_from(nano.memory_arrays(memory) | {"window": np.zeros(2, np.int64)})


# --- overlap -----------------------------------------------------------------------------------------


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.integers(0, 5), st.integers(0, 5))
def test_the_overlap_of_run_lengths_is_the_iou_of_their_masks(one, other, down, right):
    first, second = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    for mask, bits, top, left in ((first, one, 0, 0), (second, other, down, right)):
        mask[top : top + 4, left : left + 4] = np.array([bits >> i & 1 for i in range(16)], bool).reshape(
            4, 4
        )
    encoded: list[RunLengths] = [masks.encode(first), masks.encode(second)]
    assert masks.overlap(*encoded) == pytest.approx(masks.iou(first, second))
