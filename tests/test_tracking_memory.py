"""Memory is bounded, and what is forgotten is never missed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_core import FrameResult, Limits, LiveVideo, Point, Prompt, Session, SessionError, VideoError
from sam2_core.tracking import passes
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.sam2_values import Decoded, Frame, Sam2Memory
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import KEPT_CLICKS, Step, Tracker
from tests.conftest import model
from tests.sessions_for_tests import click, clicked, held, same, state_bytes
from tests.videos_for_tests import Disks

COPY, SAM2 = model("copy"), model("sam2")


class Note:
    """A memory that says which frame it is of."""

    def __init__(self, name: str, nbytes: int = 100) -> None:
        self.name, self.nbytes = name, nbytes

    def faded(self) -> Note:
        return Note(f"faded {self.name.removeprefix('faded ')}", 1)


def bank_after(frames: range, prompted: tuple[int, ...]) -> MemoryBank:
    bank = MemoryBank(Spans(6, 15), {i: Note(f"prompted {i}") for i in prompted})
    for i in frames:
        bank = bank.remember(i, Note(str(i)), frames.step)
    return bank


def names(pairs: object) -> list[tuple[float, str]]:
    return [(steps, memory.name) for steps, memory in pairs]  # type: ignore[attr-defined]


def test_a_frame_reads_six_memories_and_fifteen_pointers_the_nearest_first() -> None:
    recalled = bank_after(range(1, 40), (0,)).recall(40, 1)
    near = [(steps, str(40 - steps)) for steps in range(1, 7)]
    far = [(steps, f"faded {40 - steps}") for steps in range(7, 16)]
    assert names(recalled.recent) == near + far
    assert names(recalled.conditioning) == [(40, "prompted 0")]


def test_backward_a_frame_reads_the_frames_after_it() -> None:
    recalled = bank_after(range(30, 10, -1), (31,)).recall(10, -1)
    assert [steps for steps, _ in recalled.recent] == list(range(1, 16))
    assert names(recalled.recent)[0] == (1, "11")
    assert names(recalled.conditioning) == [(21, "prompted 31")]


def test_a_prompted_frame_ahead_is_read_with_a_negative_distance() -> None:
    assert names(bank_after(range(1, 5), (0, 9)).recall(5, 1).conditioning) == [
        (5, "prompted 0"),
        (-4, "prompted 9"),
    ]


def test_with_a_limit_the_closest_prompted_frames_are_read_and_others_count_as_recent() -> None:
    recalled = bank_after(range(0), (0, 10, 18, 30, 50)).recall(20, 1, limit=2)
    assert names(recalled.conditioning) == [(2, "prompted 18"), (-10, "prompted 30")]
    assert names(recalled.recent) == [(10, "faded prompted 10")]


def test_with_a_stride_the_frames_visited_before_are_the_recent_ones() -> None:
    recalled = bank_after(range(2, 40, 3), (0,)).recall(41, 3)
    assert names(recalled.recent)[:2] == [(1, "38"), (2, "35")]


def test_a_bank_does_not_grow() -> None:
    sizes = {bank_after(range(1, n), (0,)).nbytes for n in (30, 300, 3000)}
    assert len(sizes) == 1


def test_the_bounded_bank_gives_the_same_masks_as_an_unbounded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> Session:
        session = Session(Disks(30), SAM2)
        session.add_prompt(click(3))
        session.add_prompt(click(11))
        list(session.propagate())
        return session

    def keep_everything(self: MemoryBank, frame_index: int, memory: object, step: int) -> MemoryBank:
        return replace(self, recent=dict(self.recent) | {frame_index: memory})

    bounded = run().masklets()
    monkeypatch.setattr(MemoryBank, "remember", keep_everything)
    assert same(bounded, run().masklets())


def canonical_pass(session: Session) -> Iterator[FrameResult]:
    yield from session.propagate()


def quick_passes(session: Session) -> Iterator[FrameResult]:
    """After a correction of each object, one object after another."""
    session.add_prompt(Prompt(1, 1, (Point(12, 12),)))
    session.add_prompt(Prompt(1, 2, (Point(14, 36),)))
    for object_id in session.object_ids:
        yield from session.propagate(range(2, 161), object_ids=[object_id])


@pytest.mark.parametrize("run", [canonical_pass, quick_passes])
def test_state_is_the_same_at_frame_60_and_at_frame_160(
    run: Callable[[Session], Iterator[FrameResult]],
) -> None:
    limits = Limits(feature_bytes=2**18, restart_bytes=2**18)
    session = Session(Disks(161), SAM2, limits)
    session.add_prompt(Prompt(0, 1, (Point(10, 10),)))
    session.add_prompt(Prompt(0, 2, (Point(10, 36),)))
    sizes: dict[int, int] = {}
    for result in run(session):
        if result.frame_index in (60, 110, 160):
            sizes[result.frame_index] = max(sizes.get(result.frame_index, 0), state_bytes(session))
    assert max(sizes.values()) <= 1.3 * sizes[60]
    assert max(sizes.values()) <= 3 * 2**18  # features, restart points, and what each object needs


def test_a_restart_in_the_middle_has_the_same_memories() -> None:
    tracker, track = clicked(60, Limits(restart_bytes=0))  # as few restart points as can be
    wanted: dict[int, MemoryBank] = {}
    for frame_index in passes.canonical(tracker, [track]):
        wanted[frame_index + 1] = track.canonical_pass().banks[1]
    assert len(track.restart[1]) <= 2  # beside the newest
    for frame_index in (7, 33, 51, 59):
        (bank,) = tracker.banks_before([track], frame_index, 1)
        assert bank.recent.keys() == wanted[frame_index].recent.keys()
        for i, memory in bank.recent.items():
            assert torch.equal(memory.pointer_1d, wanted[frame_index].recent[i].pointer_1d)  # type: ignore[attr-defined]


def test_quick_corrections_of_several_frames_go_on_from_each_other() -> None:
    tracker, track = clicked(30)
    list(passes.canonical(tracker, [track]))
    before = track.restart[1].before(16)
    assert before is not None
    assert before.frame_index == 15
    old = before.bank.recent[14]
    tracker.prompt(track, click(10))
    tracker.prompt(track, click(16))
    frames = passes.quick(tracker, [track], range(10, 30))
    while next(frames) < 17:
        pass
    after = track.restart[1].before(18)
    assert after is not None
    assert after.frame_index == 17
    new = after.bank.recent
    assert 14 in new
    assert new[14] is not old  # the memories of this pass, not those before the corrections


def test_a_quick_pass_leaves_what_is_up_to_date() -> None:
    session = Session(Disks(30), SAM2)
    session.add_prompt(click(5))
    list(session.propagate(range(5, 20)))
    session.add_prompt(click(12))
    list(session.propagate(range(12, 20)))
    before = session.masklets()[1]
    list(session.propagate(range(5, 30)))
    after = session.masklets()[1]
    assert all(before[i].encoded is after[i].encoded for i in range(12, 20))
    assert not any(frame.stale for frame in after.values())


def test_a_quick_correction_tracks_on_from_the_memories_before_it() -> None:
    """It equals tracking by hand: the old memories up to the corrected frame, then the new prompt as well."""
    session = Session(Disks(20), SAM2)
    session.add_prompt(click(0))
    list(session.propagate())
    session.add_prompt(click(8))
    list(session.propagate(range(8, 20)))
    quick = session.masklets()
    tracker, track = clicked(20)
    list(passes.canonical(tracker, [track]))
    (before,) = tracker.banks_before([track], 8, 1)
    tracker.prompt(track, click(8))
    tracker.condition([track])
    bank = before.conditioned_on(track.conditioning)
    for i in range(9, 20):
        ((segmentation, bank),) = tracker.track(i, [Step(track, bank)], 1)
        assert segmentation.encoded == quick[1][i].encoded


def test_an_image_is_encoded_once_for_all_its_objects() -> None:
    video = Disks(10)
    session = Session(video, SAM2)
    for object_id in range(1, 6):
        session.add_prompt(click(0, object_id))
    list(session.propagate())
    assert sorted(video.reads) == list(range(10))


def test_a_click_on_an_encoded_frame_is_one_decode_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for verb in ("encode_image", "segment", "encode_memory", "track"):
        original = getattr(SAM2, verb)

        def counted(*args: object, verb: str = verb, original: object = original, **kwargs: object) -> object:
            calls.append(verb)
            return original(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(SAM2, verb, counted)
    session = Session(Disks(), SAM2)
    prompt = click(0)
    session.add_prompt(prompt)
    assert calls == ["encode_image", "segment"]
    session.add_prompt(prompt := prompt.with_point(12, 12))
    session.add_prompt(prompt.with_point(40, 40, positive=False))
    assert calls[2:] == ["segment", "segment"]


def test_the_feature_cache_keeps_to_its_budget() -> None:
    session = Session(Disks(30), SAM2, Limits(feature_bytes=200_000))
    session.add_prompt(click(0))
    for _ in session.propagate():
        kept = [features for features in held(session) if isinstance(features, Frame)]
        assert 0 < sum(features.nbytes for features in kept) <= 200_000


def test_the_logits_of_the_clicks_given_last_are_kept_and_no_others() -> None:
    session = Session(Disks(30), SAM2)
    for i in range(30):
        session.add_prompt(click(i, 1 + i % 3))
    list(session.propagate())
    assert sum(isinstance(kept, Decoded) for kept in held(session)) == KEPT_CLICKS


def test_closed_sessions_leave_nothing_behind() -> None:
    gone = []
    for _ in range(5):
        session = Session(Disks(), SAM2)
        session.add_prompt(click(0))
        list(session.propagate())
        large = [
            kept for kept in held(session) if isinstance(kept, (Tracker, ObjectTrack, Frame, Sam2Memory))
        ]
        assert {type(kept) for kept in large} == {Tracker, ObjectTrack, Frame, Sam2Memory}
        gone += [weakref.ref(session), *map(weakref.ref, large)]
        session.close()
        del session, large
    gc.collect()
    assert not any(ref() for ref in gone)


def test_ambient_autocast_changes_nothing() -> None:
    def masklets() -> object:
        session = Session(Disks(6), SAM2)
        session.add_prompt(click(0))
        list(session.propagate())
        return session.masklets()

    plain = masklets()
    with torch.autocast("cpu", torch.bfloat16):
        assert same(plain, masklets())  # type: ignore[arg-type]


# --- live video ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["copy", "sam2"])
def test_a_live_video_gives_the_masks_of_a_recorded_one(name: str) -> None:
    video, live = Disks(20), LiveVideo(keep=8)
    recorded, session = Session(video, model(name)), None
    recorded.add_prompt(click(0))
    list(recorded.propagate())
    for i in range(len(video)):
        live.append(video[i])
        if session is None:
            session = Session(live, model(name))
            session.add_prompt(click(0))
        (result,) = session.propagate(range(i, i + 1))
        assert np.array_equal(result.mask(1), recorded.masklets()[1].mask(i))
    assert session is not None
    assert same(recorded.masklets(), session.masklets())
    assert [r.frame_index for r in session.propagate()] == list(range(20))  # served: nothing is read


def test_a_live_video_that_grew_has_the_masks_of_a_recorded_one() -> None:
    video, live = Disks(30), LiveVideo(keep=64)
    for i in range(8):
        live.append(video[i])
    session = Session(live, SAM2)
    session.add_prompt(click(5))
    list(session.propagate())
    for i in range(8, 30):
        live.append(video[i])
    list(session.propagate())
    recorded = Session(video, SAM2)
    recorded.add_prompt(click(5))
    list(recorded.propagate())
    assert same(recorded.masklets(), session.masklets())


def test_a_long_live_video_can_be_corrected() -> None:
    video, live = Disks(100), LiveVideo(keep=8)
    session = None
    for i in range(100):
        live.append(video[i])
        if session is None:
            session = Session(live, SAM2, Limits(restart_bytes=0))
            session.add_prompt(click(0))
        list(session.propagate(range(i, i + 1)))
    assert session is not None
    session.add_prompt(Prompt(97, 1, (Point(30, 12),)))
    assert [r.frame_index for r in session.propagate(range(97, 100))] == [97, 98, 99]
    assert not session.result(99).stale.any()


def test_a_frame_that_a_live_video_dropped_is_named() -> None:
    live = LiveVideo(keep=4)
    for i in range(10):
        live.append(Disks(20)[i])
    with pytest.raises(VideoError, match="2"):
        Session(live, COPY).add_prompt(click(2))


def test_a_frame_that_cannot_be_read_stops_the_pass_and_loses_nothing() -> None:
    class Broken(Disks):
        broken = True

        def __getitem__(self, frame_index: int) -> np.ndarray:  # type: ignore[type-arg]
            if frame_index == 5 and self.broken:
                raise VideoError("frame 5 cannot be read")
            return super().__getitem__(frame_index)

    video = Broken()
    session = Session(video, SAM2)
    session.add_prompt(click(0))
    with pytest.raises(VideoError, match="frame 5"):
        list(session.propagate())
    assert list(session.masklets()[1]) == [0, 1, 2, 3, 4]
    video.broken = False
    list(session.propagate())
    whole = Session(Disks(), SAM2)
    whole.add_prompt(click(0))
    list(whole.propagate())
    assert same(whole.masklets(), session.masklets())


def test_limits_that_cannot_be_kept_are_refused() -> None:
    for limits in ({"feature_bytes": -1}, {"restart_bytes": -1}, {"max_conditioning_frames": 0}):
        with pytest.raises(SessionError):
            Limits(**limits)  # type: ignore[arg-type]


def test_results_do_not_depend_on_the_limits() -> None:
    results = []
    for limits in (Limits(), Limits(feature_bytes=0, restart_bytes=0), Limits(feature_bytes=2**30)):
        session = Session(Disks(24), SAM2, limits)
        session.add_prompt(click(3))
        list(session.propagate())
        session.add_prompt(click(12))
        list(session.propagate(range(12, 24)))
        results.append(session.masklets())
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_a_refined_prompt_has_one_candidate_its_mask() -> None:
    session = Session(Disks(), SAM2)
    prompt = click(0).with_point(20, 12).with_point(40, 40, positive=False)
    (reading,) = session.candidates(prompt)
    assert np.array_equal(reading.mask(), session.add_prompt(prompt).mask(1))


def test_a_painted_object_smaller_than_a_pixel_of_the_network_does_not_vanish() -> None:
    mask = np.zeros((480, 640), bool)
    mask[100:103, 200:203] = True
    features = SAM2.encode_image(Disks(1, (480, 640))[0])
    painted = SAM2.segment(features, Prompt(0, 1, mask=mask), None).raw.logits_11hw
    assert (painted > 0).any()


def test_painted_prompts_are_kept_small() -> None:
    video = Disks(1, (1024, 1024))
    session = Session(video, COPY)
    for object_id in range(1, 41):
        mask = np.zeros(video.size, bool)
        mask[20 * object_id : 20 * object_id + 12, 100:120] = True
        session.add_prompt(Prompt(0, object_id, mask=mask))
    gc.collect()
    seen = session.video.size[0] * session.video.size[1] * 3  # the frame, of which the model keeps features
    kept = [array for array in held(session) if isinstance(array, np.ndarray) and array.base is None]
    assert sum(array.nbytes for array in kept) < seen + 10_000
    assert np.array_equal(session.prompts[-1].mask, mask)
