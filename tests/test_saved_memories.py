"""A session that stopped in the middle goes on with the next frame, and nothing about that can go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import Limits, Point, Prompt, Session, load_model, open_session
from tests.conftest import MODELS, model
from tests.models_for_tests import Counting
from tests.saved_for_tests import FRAMES, again, going_on, run, started, whole
from tests.sessions_for_tests import click, same, state_bytes
from tests.videos_for_tests import Disks


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("first", "steps", "frames"),
    [(0, 5, 5), (3, 4, 6), (3, 6, 4), (3, 8, 2)],
    ids=["forward", "forward, the backward pass to come", "backward, one object to come", "backward"],
)
def test_only_the_missing_frames_are_computed(
    name: str, first: int, steps: int, frames: int, tmp_path: Path
) -> None:
    session = started(name, first)
    run(session, steps)
    session.save(tmp_path / "s")
    other, counting = again(tmp_path / "s", name)
    missing = sum(FRAMES - len(masklet) for masklet in other.masklets().values())
    list(other.propagate())
    assert same(whole(name, first), other.masklets())
    assert counting.calls == {"encode_image": frames, "track": missing, "segment": 0}


def test_the_bundled_model_goes_on_bit_for_bit(tmp_path: Path) -> None:
    for precision in ("auto", "exact"):
        session = open_session(Disks(FRAMES), precision=precision)
        session.add_prompt(click(1))
        session.add_prompt(click(0, 2, disk=1))
        run(session, 5)
        session.save(tmp_path / "s")
        list(session.propagate())
        other = open_session(tmp_path / "s", precision=precision, video=(video := Disks(FRAMES)))
        video.reads.clear()
        list(other.propagate())
        assert video.reads == [5, 6, 7, 0]  # the last is before the prompt of object 1
        assert same(session.masklets(), other.masklets())


def test_memories_in_a_file_know_where_the_object_was() -> None:
    model = load_model("nano", "cpu", windows=False)
    image = Disks()[0]
    features = model.encode_image(image)
    answer = model.segment(features, Prompt(0, 1, mask=Disks().mask(0)), None)
    (memory,) = model.encode_memory(features, [answer], prompted=True)
    again = model.memory_from(model.memory_arrays(memory))
    assert set(model.memory_arrays(memory)) == {"spatial", "pointer", "mask"}  # as files have them
    assert again.centre_12.tolist() == memory.centre_12.tolist()
    assert model.memory_from(model.memory_arrays(memory.faded())).centre_12 is None


@pytest.mark.parametrize("name", MODELS)
def test_the_correction_of_a_range_goes_on_too(name: str, tmp_path: Path) -> None:
    session = started(name)
    list(session.propagate())
    session.add_prompt(Prompt(2, 1, mask=Disks().mask(2)))
    list(session.propagate(range(2, 5)))
    session.save(tmp_path / "s")
    other, counting = again(tmp_path / "s", name)
    for each in (session, other):
        list(each.propagate(range(5, FRAMES)))
    assert same(session.masklets(), other.masklets())
    assert counting.calls["encode_image"] == FRAMES - 5
    list(session.propagate())
    list(other.propagate())
    assert same(session.masklets(), other.masklets())


def test_a_session_may_be_saved_and_opened_at_every_frame(tmp_path: Path) -> None:
    session = started("sam2", 3)
    for steps in range(1, FRAMES + 3):  # forward 3..7, backward 4..0
        run(session, steps)
        session.save(tmp_path / "s")
        session, _ = again(tmp_path / "s", "sam2")
        if steps > 1:
            assert len(session.masklets()[1]) == min(steps, 5) + max(0, steps - 7)
    assert same(whole("sam2", 3), session.masklets())


def test_over_the_budget_objects_are_tracked_again(tmp_path: Path) -> None:
    sizes = []
    for budget in (0, 30_000, 2**26):  # of some 18,600 bytes for each object
        session = started("copy", limits=Limits(saved_bytes=budget))
        run(session, 6)
        session.save(tmp_path / "s")
        sizes.append((tmp_path / "s").stat().st_size)
        other, counting = again(tmp_path / "s", "copy")
        assert going_on(other, counting) == {0: [], 30_000: [1], 2**26: [1, 2]}[budget]
        list(other.propagate())
        assert same(whole("copy"), other.masklets())
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_budget_goes_to_the_object_with_most_to_lose(ahead: int, tmp_path: Path) -> None:
    session = Session(Disks(FRAMES), model("copy"), Limits(saved_bytes=30_000))
    for object_id in (1, 2):
        session.add_prompt(click(0, object_id, disk=object_id - 1))
        list(session.propagate(range(3), object_ids=[object_id]))
    for result in session.propagate(object_ids=[1, 2]):
        if result.frame_index == 2:
            break
    for result in session.propagate(object_ids=[ahead]):
        if result.frame_index == 5:
            break
    session.save(tmp_path / "s")
    assert going_on(*again(tmp_path / "s", "copy")) == [ahead]


def test_a_finished_session_carries_no_memories(tmp_path: Path) -> None:
    session = started("copy")
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


def stopped(folder: Path, name: str, steps: int = 5) -> tuple[Path, dict[str, Any]]:
    session = started(name)
    run(session, steps)
    path = folder / f"{steps}.sam2"
    session.save(path)
    with np.load(path) as file:
        return path, dict(file)


def goes_on(path: Path, arrays: dict[str, Any], name: str) -> bool:
    """Whether the memories were taken; the masks are right in any case."""
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    other, counting = again(path, name)
    taken = bool(going_on(other, counting))
    list(other.propagate())
    assert same(whole(name), other.masklets())
    return taken


def test_damaged_memories_are_left_alone(tmp_path: Path) -> None:
    path, arrays = stopped(tmp_path, "copy")
    data = arrays["memories"]
    assert goes_on(path, arrays, "copy")
    for damaged in (
        data[:-5],
        data[:4],
        data[:0],
        data[::-1],
        np.zeros(3),
        np.full(data.size, 255, np.uint8),
    ):
        assert not goes_on(path, arrays | {"memories": np.ascontiguousarray(damaged)}, "copy")


def test_memories_of_another_session_are_left_alone(tmp_path: Path) -> None:
    path, arrays = stopped(tmp_path, "copy")
    _, later = stopped(tmp_path, "copy", 7)
    assert not goes_on(path, arrays | {"memories": later["memories"]}, "copy")


def test_memories_that_fit_no_memory_of_the_model_are_left_alone(tmp_path: Path) -> None:
    from safetensors.numpy import load, save

    path, arrays = stopped(tmp_path, "sam2")
    packed = load(arrays["memories"].tobytes())
    document = json.loads(packed["document"].tobytes())
    first = next(name for name in packed if name != "document")
    for broken in (
        {first: packed[first][..., :3]},
        {first: packed[first].astype(np.float64)},
        {"document": document | {"version": 99}},
        {"document": document | {"objects": [{"object": 77}]}},
        {"document": document | {"memories": 3}},
        {"document": json.loads(json.dumps(document).replace('"forward": 5', '"forward": "5"'))},
    ):
        if isinstance(entry := broken.get("document"), dict):
            broken["document"] = np.frombuffer(json.dumps(entry).encode(), np.uint8)
        data = save({n: np.ascontiguousarray(a) for n, a in (packed | broken).items()})
        assert not goes_on(path, arrays | {"memories": np.frombuffer(data, np.uint8)}, "sam2")


def test_no_flipped_bit_of_the_memories_makes_the_file_unreadable(tmp_path: Path) -> None:
    path, _ = stopped(tmp_path, "copy")
    good = path.read_bytes()
    start, end = good.index(b"memories.npy") + 80, good.rindex(b"PK\x01\x02document.npy"[:4])
    for place in np.random.default_rng(0).integers(start, end - 2000, 5):
        damaged = bytearray(good)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        other, _ = again(path, "copy")
        list(other.propagate())
        assert same(whole("copy"), other.masklets())


def test_another_model_or_precision_leaves_the_memories_alone(tmp_path: Path) -> None:
    session = open_session(Disks(6), precision="exact")
    session.add_prompt(click(0))
    run(session, 3)
    session.save(tmp_path / "s")
    for other in (load_model("nano", precision="auto"), model("copy")):
        counting = Counting(other)
        with open_session(tmp_path / "s", model=counting, video=Disks(6)) as opened:
            assert all(frame.stale for frame in opened.masklets()[1].values())
            list(opened.propagate())
        assert counting.calls["track"] == 5  # all frames but the prompted one


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
    limits = Limits(feature_bytes=2**18, restart_bytes=2**16)
    session = Session(Disks(121), model("sam2"), limits)
    session.add_prompt(Prompt(0, 1, (Point(10, 10),)))
    run(session, 20)
    session.save(tmp_path / "s")
    other = open_session(tmp_path / "s", model=model("sam2"), video=Disks(121), limits=limits)
    sizes = {r.frame_index: state_bytes(other) for r in other.propagate() if r.frame_index in (60, 120)}
    assert sizes[120] <= 1.3 * sizes[60]
