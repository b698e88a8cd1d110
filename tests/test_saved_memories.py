"""A session that stopped in the middle goes on with the next frame, and nothing about that can go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import Point, Prompt, Session, load_model, open_session
from sam2_core.hookspecs import VideoModel
from sam2_core.tracking.tracker import Limits
from tests.conftest import MODELS, model
from tests.test_session_contract import click, same
from tests.test_tracking_memory import state_bytes
from tests.videos_for_tests import Disks

FRAMES = 24


class Counting:
    """A model that notes what is asked of it."""

    def __init__(self, wrapped: VideoModel) -> None:
        self._wrapped, self.calls = wrapped, dict.fromkeys(("encode_image", "track", "segment"), 0)

    def __getattr__(self, name: str) -> Any:
        if name in self.calls:
            self.calls[name] += 1
        return getattr(self._wrapped, name)


def started(name: str, first: int = 0) -> Session:
    session = Session(Disks(FRAMES), model(name))
    session.add_prompt(click(first).with_point(40, 40, positive=False))
    session.add_prompt(click(first + 2, 2, disk=1))
    return session


def run(session: Session, steps: int) -> None:
    for _, _ in zip(range(steps), session.propagate(), strict=False):
        pass


def again(path: Path, name: str, **options: Any) -> tuple[Session, Counting]:
    counting = Counting(model(name))
    session = open_session(path, model=counting, video=Disks(FRAMES), **options)
    counting.calls = dict.fromkeys(counting.calls, 0)
    return session, counting


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("first", "steps", "frames"),
    [(0, 14, 12), (9, 12, 14), (9, 16, 10), (9, 20, 6)],
    ids=["forward", "forward, the backward pass to come", "backward, one object to come", "backward"],
)
def test_only_the_missing_frames_are_computed(
    name: str, first: int, steps: int, frames: int, tmp_path: Path
) -> None:
    session = started(name, first)
    run(session, steps)
    session.save(tmp_path / "s")
    list(session.propagate())
    other, counting = again(tmp_path / "s", name)
    missing = sum(FRAMES - len(masklet) for masklet in other.masklets().values())
    list(other.propagate())
    assert same(session.masklets(), other.masklets())
    assert counting.calls == {"encode_image": frames, "track": missing, "segment": 0}


def test_the_bundled_model_goes_on_bit_for_bit(tmp_path: Path) -> None:
    for precision in ("auto", "exact"):
        session = open_session(Disks(10), precision=precision)
        session.add_prompt(click(1))
        session.add_prompt(click(0, 2, disk=1))
        run(session, 5)
        session.save(tmp_path / "s")
        list(session.propagate())
        other = open_session(tmp_path / "s", precision=precision, video=Disks(10))
        track = other._tracks[1]
        assert track.present_pass is not None
        assert track.present_pass.forward == 5
        list(other.propagate())
        assert same(session.masklets(), other.masklets())


@pytest.mark.parametrize("name", MODELS)
def test_the_correction_of_a_range_goes_on_too(name: str, tmp_path: Path) -> None:
    session = started(name)
    list(session.propagate())
    session.add_prompt(Prompt(6, 1, mask=Disks().mask(6)))
    list(session.propagate(range(6, 14)))
    session.save(tmp_path / "s")
    other, counting = again(tmp_path / "s", name)
    for each in (session, other):
        list(each.propagate(range(14, FRAMES)))
    assert same(session.masklets(), other.masklets())
    assert counting.calls["encode_image"] == FRAMES - 14
    list(session.propagate())
    list(other.propagate())
    assert same(session.masklets(), other.masklets())


def test_a_session_may_be_saved_and_opened_at_every_frame(tmp_path: Path) -> None:
    session = started("sam2", 4)
    whole = started("sam2", 4)
    list(whole.propagate())
    for steps in range(1, FRAMES + 3):  # forward 4..23, backward 5..0
        run(session, steps)
        session.save(tmp_path / "s")
        session, _ = again(tmp_path / "s", "sam2")
        if steps > 1:
            assert len(session.masklets()[1]) == min(steps, 20) + max(0, steps - 22)
    assert same(whole.masklets(), session.masklets())


def test_over_the_budget_the_objects_with_least_to_lose_are_tracked_again(tmp_path: Path) -> None:
    session = started("sam2")
    run(session, 14)
    sizes = []
    for budget in (0, 20_000, 2**26):
        session._tracker.limits = Limits(saved_bytes=budget)
        session.save(tmp_path / "s")
        sizes.append((tmp_path / "s").stat().st_size)
        other, _ = again(tmp_path / "s", "sam2")
        kept = [i for i, track in other._tracks.items() if track.present_pass is not None]
        assert kept == {0: [], 20_000: [1], 2**26: [1, 2]}[budget]
        list(other.propagate())
        whole = started("sam2")
        list(whole.propagate())
        assert same(whole.masklets(), other.masklets())
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2] < 200_000


def test_a_finished_session_carries_no_memories(tmp_path: Path) -> None:
    session = started("sam2")
    list(session.propagate())
    session.save(tmp_path / "s")
    with np.load(tmp_path / "s") as file:
        assert "memories" not in file


def test_stale_masks_do_not_count_as_finished(tmp_path: Path) -> None:
    session = started("copy")
    list(session.propagate())
    session.add_prompt(Prompt(5, 1, mask=Disks().mask(5, 1)))
    run(session, 3)
    session.save(tmp_path / "s")
    other, _ = again(tmp_path / "s", "copy")
    for each in (session, other):
        list(each.propagate())
    assert not any(frame.stale for frame in other.masklets()[1].values())
    assert same(session.masklets(), other.masklets())


# --- what is damaged or foreign is left alone ----------------------------------------------------------


def stopped(folder: Path, steps: int = 14) -> tuple[Path, dict[str, Any]]:
    session = started("sam2")
    run(session, steps)
    path = folder / f"{steps}.sam2"
    session.save(path)
    with np.load(path) as file:
        return path, dict(file)


def goes_on(path: Path, arrays: dict[str, Any], name: str = "sam2") -> bool:
    """Whether the memories were taken; the masks are right in any case."""
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    other, _ = again(path, name)
    taken = any(track.present_pass is not None for track in other._tracks.values())
    list(other.propagate())
    whole = started(name)
    list(whole.propagate())
    assert same(whole.masklets(), other.masklets())
    return taken


def test_damaged_memories_are_left_alone(tmp_path: Path) -> None:
    path, arrays = stopped(tmp_path)
    data = arrays["memories"]
    assert goes_on(path, arrays)
    for damaged in (
        data[:-5],
        data[:4],
        data[:0],
        data[::-1],
        np.zeros(3),
        np.full(data.size, 255, np.uint8),
    ):
        assert not goes_on(path, arrays | {"memories": np.ascontiguousarray(damaged)})


def test_memories_of_another_session_are_left_alone(tmp_path: Path) -> None:
    path, arrays = stopped(tmp_path)
    _, later = stopped(tmp_path, 20)
    assert not goes_on(path, arrays | {"memories": later["memories"]})


def test_memories_that_fit_no_memory_of_the_model_are_left_alone(tmp_path: Path) -> None:
    from safetensors.numpy import load, save

    path, arrays = stopped(tmp_path)
    packed = load(arrays["memories"].tobytes())
    document = json.loads(packed["document"].tobytes())
    first = next(name for name in packed if name != "document")
    for broken in (
        {first: packed[first][:, :3]},
        {first: packed[first].astype(np.float64)},
        {"document": document | {"version": 99}},
        {"document": document | {"objects": [{"object": 77}]}},
        {"document": document | {"memories": 3}},
        {"document": json.loads(json.dumps(document).replace('"forward": 14', '"forward": "14"'))},
    ):
        if isinstance(entry := broken.get("document"), dict):
            broken["document"] = np.frombuffer(json.dumps(entry).encode(), np.uint8)
        data = save({n: np.ascontiguousarray(a) for n, a in (packed | broken).items()})
        assert not goes_on(path, arrays | {"memories": np.frombuffer(data, np.uint8)})


def test_no_flipped_bit_of_the_memories_makes_the_file_unreadable(tmp_path: Path) -> None:
    path, _ = stopped(tmp_path)
    good = path.read_bytes()
    start, end = good.index(b"memories.npy") + 80, good.rindex(b"PK\x01\x02document.npy"[:4])
    whole = started("sam2")
    list(whole.propagate())
    for place in np.random.default_rng(0).integers(start, end - 2000, 5):
        damaged = bytearray(good)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        other, _ = again(path, "sam2")
        list(other.propagate())
        assert same(whole.masklets(), other.masklets())


def test_another_model_or_precision_leaves_the_memories_alone(tmp_path: Path) -> None:
    session = open_session(Disks(6), precision="exact")
    session.add_prompt(click(0))
    run(session, 3)
    session.save(tmp_path / "s")
    for other in (load_model("nano", precision="auto"), model("copy")):
        with open_session(tmp_path / "s", model=other, video=Disks(6)) as opened:
            assert opened._tracks[1].present_pass is None
            list(opened.propagate())


def test_a_model_that_cannot_store_its_memories_is_saved_without(tmp_path: Path) -> None:
    class Plain:
        """Five verbs and no more."""

        name = identity = "plain"
        memory_span = pointer_span = batch = 1

        def __init__(self) -> None:
            for verb in ("encode_image", "segment", "candidates", "track", "encode_memory"):
                setattr(self, verb, getattr(model("copy"), verb))

    session = Session(Disks(), Plain())  # type: ignore[arg-type]
    session.add_prompt(click(0))
    run(session, 3)
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=Plain(), video=Disks()) as other:  # type: ignore[arg-type]
        list(other.propagate())
        list(session.propagate())
        assert same(session.masklets(), other.masklets())


def test_a_session_that_was_opened_again_does_not_grow(tmp_path: Path) -> None:
    limits = Limits(feature_bytes=2**20, restart_bytes=2**20)
    session = Session(Disks(301), model("sam2"), limits)
    session.add_prompt(Prompt(0, 1, (Point(10, 10),)))
    run(session, 20)
    session.save(tmp_path / "s")
    other = open_session(tmp_path / "s", model=model("sam2"), video=Disks(301), limits=limits)
    sizes = {r.frame_index: state_bytes(other) for r in other.propagate() if r.frame_index in (100, 300)}
    assert sizes[300] <= 1.3 * sizes[100]
