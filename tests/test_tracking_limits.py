"""What is kept and what runs at once is counted in bytes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch

from sam2_core import Limits, Session, load_model, masks
from sam2_core.hookspecs import Memory, VideoModel
from sam2_core.models import devices
from sam2_core.models.config import config
from sam2_core.models.sam2 import SAM2
from sam2_core.tracking import sam2_model
from sam2_core.tracking.bank import MemoryBank
from sam2_core.tracking.restart import NEWEST, RestartPoints
from sam2_core.tracking.sam2_model import BATCH, Sam2Model, batch_of
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import Tracker
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks


@cache
def nano() -> VideoModel:
    return load_model("nano", "cpu", "exact")


@cache
def nano_memory() -> Memory:
    """What the bundled model really remembers of a frame."""
    features = nano().encode_image(Disks()[0])
    (memory,) = nano().encode_memory(features, [nano().segment(features, click(0), None)], prompted=False)
    return memory


def tracker_of(objects: int, limits: Limits) -> tuple[Tracker, list[ObjectTrack]]:
    tracker = Tracker(nano(), Disks(), limits)
    return tracker, [ObjectTrack(i, tracker.spans) for i in range(objects)]


def passed(objects: int, passes: list[range], limits: Limits) -> list[ObjectTrack]:
    """Objects with the restart points that passes of nano over so many frames leave."""
    tracker, tracks = tracker_of(objects, limits)
    for frames in passes:
        banks = [MemoryBank(tracker.spans) for _ in tracks]
        for i in frames:
            banks = [bank.remember(i, replace(nano_memory()), frames.step) for bank in banks]  # type: ignore[type-var]
            for track, bank in zip(tracks, banks, strict=True):
                tracker.add_restart(track, i, bank, frames.step, objects)
    return tracks


def thinned(points: RestartPoints, frames: range) -> tuple[int, dict[int, MemoryBank]]:
    """The interval of the points that a pass over these frames left, and their banks.

    The newest, which are kept whatever the budget, count if they lie on the interval.
    """
    ahead = frames[-1] + frames.step
    found = [points.before(i) for i in range(frames.start, ahead + frames.step, frames.step)]
    banks = {point.frame_index: point.bank for point in found if point is not None}
    (interval,) = {abs(b - a) for a, b in pairwise(list(banks)[:-NEWEST])}
    banks = {i: bank for i, bank in banks.items() if i % interval == 0}
    assert len(banks) == len(points)
    return interval, banks


def kept(tracks: list[ObjectTrack], passes: list[range]) -> int:
    banks = [
        b for t in tracks for frames in passes for b in thinned(t.restart[frames.step], frames)[1].values()
    ]
    return sum({id(m): m.nbytes for bank in banks for m in bank.recent.values()}.values())


@pytest.mark.parametrize(("objects", "interval"), [(1, 32), (3, 64), (10, 256)])
def test_the_interval_of_nano_on_three_thousand_frames(objects: int, interval: int) -> None:
    for track in passed(objects, [range(3000)], Limits()):
        assert thinned(track.restart[1], range(3000))[0] == interval  # as docs/adr/0004 says


@pytest.mark.parametrize(
    "passes", [[range(900)], [range(450, 900), range(449, -1, -1)], [range(899, -1, -1), range(900)]]
)
def test_both_directions_together_keep_to_the_budget(passes: list[range]) -> None:
    limits = Limits(restart_bytes=4 * 2**20)
    tracks = passed(2, passes, limits)
    assert limits.restart_bytes is not None
    assert kept(tracks, passes) <= limits.restart_bytes
    assert kept(tracks, passes) >= limits.restart_bytes / 5
    for frames in passes:
        assert len(tracks[0].restart[frames.step]) >= 7


def test_the_batch_is_chosen_by_bytes() -> None:
    assert batch_of(config("nano")) == BATCH
    for name in ("sam2-tiny", "sam2.1-large"):
        assert 8 <= batch_of(config(name)) <= 16
        assert batch_of(config(name).at_size(512)) > 2 * batch_of(config(name))
        assert batch_of(config(name).at_size(4096)) == 1


def test_bfloat16_on_a_cpu_takes_few_objects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "prefers_bfloat16", lambda device: True)
    batches = [
        Sam2Model(SAM2(config("sam2.1-tiny").at_size(size)), "tiny", torch.device("cpu"), "auto").batch
        for size in (1024, 512, 256)
    ]
    assert batches == [1, 2, 10]
    assert load_model("nano", "cpu", "auto").batch == BATCH


def test_the_size_of_a_restart_point_of_nano() -> None:
    newest = passed(1, [range(40)], Limits())[0].restart[1].newest
    assert newest is not None
    assert 103 * 1024 < newest.bank.nbytes < 104 * 1024  # as docs/adr/0004 says


def test_in_exact_precision_nothing_is_batched() -> None:
    assert load_model("nano", precision="exact").batch == 1
    assert load_model("nano", precision="auto").batch == BATCH


def test_precisions_have_identities_of_their_own_even_with_one_object_in_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sam2_model, "BATCH", 1)
    network = SAM2(config("sam2.1-tiny").at_size(64))
    identities = []
    for precision, bfloat16 in (("exact", True), ("auto", True), ("auto", False)):
        monkeypatch.setattr(devices, "prefers_bfloat16", lambda device, chosen=bfloat16: chosen)
        model = Sam2Model(network, "tiny", torch.device("cpu"), precision)
        assert model.batch == 1
        identities.append(model.identity)
    assert len(set(identities)) == 3


def test_the_batch_changes_masks_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(batch: int) -> Session:
        monkeypatch.setattr(sam2_model, "BATCH", batch)
        network = load_model("nano", "cpu").network  # type: ignore[attr-defined]
        session = Session(Disks(5), Sam2Model(network, "nano", torch.device("cpu"), "auto"))
        assert session.model.batch == batch
        for object_id in range(1, 6):
            session.add_prompt(click(0, object_id, disk=object_id % 2))
        list(session.propagate())
        return session

    alone, together = run(1), run(64)
    in_twos = run(2)
    for i in range(5):
        for object_id in alone.object_ids:
            expected = alone.result(i).mask(object_id)
            for other in (together, in_twos):
                assert masks.iou(expected, other.result(i).mask(object_id)) > 0.99
