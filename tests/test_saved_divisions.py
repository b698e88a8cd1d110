"""A saved session keeps lifetimes and divisions, and refuses those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sam2_core import Point, Prompt, Session, SessionError, open_session
from tests.biographies_for_tests import FRAMES, Biography, Storing, alike, opened, stale
from tests.conftest import MODELS, model
from tests.hashing_for_tests import Numbers
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def again(path: Path, name: str) -> Session:
    return open_session(path, model=model(name), video=Disks())


def family(name: str) -> Session:
    session = Session(Disks(), model(name))
    for prompt in (click(2), click(6, 2), click(7, 3, disk=1), click(3, 4)):
        session.add_prompt(prompt)
    session.divide(6, 1, [2, 3])
    session.set_lifetime(3, range(7, 10))
    session.set_lifetime(4, range(2, 12))
    return session


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [0, 5, 12, 40])
def test_lifetimes_and_divisions_are_kept(name: str, steps: int, tmp_path: Path) -> None:
    session = family(name)
    for _ in zip(range(steps), session.propagate(), strict=False):
        pass
    session.save(tmp_path / "s")
    with again(tmp_path / "s", name) as opened_again:
        for each in (session, opened_again):
            assert each.lineage == {2: 1, 3: 1}
            assert [each.lifetime(i) for i in each.object_ids] == [
                range(6),
                range(6, 12),
                range(7, 10),
                range(2, 12),
            ]
        assert alike(session.masklets(), opened_again.masklets())
        for each in (session, opened_again):
            list(each.propagate())
        assert alike(session.masklets(), opened_again.masklets())
        for each in (session, opened_again):
            each.undivide(1)
            assert [each.lifetime(i) for i in (1, 2, 3)] == [range(12), range(12), range(7, 10)]
            each.set_lifetime(3, None)
            each.set_lifetime(4, None)
            list(each.propagate())
        assert alike(session.masklets(), opened_again.masklets())


@pytest.mark.parametrize("steps", [4, 9, 14, 40])
def test_masks_outside_of_lifetimes_are_kept(steps: int, tmp_path: Path) -> None:
    """A pass that came farther than the lifetime that was said later goes on when that is widened."""
    session = opened()
    session.add_prompt(Prompt(3, 1, (Point(1, 1),)))
    for _ in zip(range(steps), session.propagate(), strict=False):
        pass
    before = session.masklets()
    session.set_lifetime(1, range(2, 9))
    session.save(tmp_path / "s")
    model = Storing()
    with open_session(tmp_path / "s", model=model, video=Numbers(FRAMES)) as reopened:
        assert alike(session.masklets(), reopened.masklets())
        reopened.set_lifetime(1, None)
        assert alike(before, reopened.masklets())
        list(reopened.propagate())
        fresh = opened()
        fresh.add_prompt(Prompt(3, 1, (Point(1, 1),)))
        list(fresh.propagate())
        assert alike(fresh.masklets(), reopened.masklets())


def test_what_another_model_saw_is_stale_in_its_lifetime_only(tmp_path: Path) -> None:
    family("copy").save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("sam2"), video=Disks()) as other:
        assert stale(other.masklets()) == {1: [2], 2: [6], 3: [7], 4: [3]}
        list(other.propagate())
        fresh = family("sam2")
        list(fresh.propagate())
        assert alike(fresh.masklets(), other.masklets())


def test_a_session_without_lives_is_written_as_older_versions_read_it(tmp_path: Path) -> None:
    session = Session(Disks(), model("copy"))
    session.add_prompt(click(2))
    session.save(tmp_path / "s")
    assert document(tmp_path / "s")["version"] == 1
    assert not {"lifetimes", "divisions"} & document(tmp_path / "s").keys()
    session.set_lifetime(1, range(1, 5))
    session.save(tmp_path / "s")
    assert document(tmp_path / "s")["version"] == 2


# --- damaged -----------------------------------------------------------------------------------------


def document(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        said: dict[str, Any] = json.loads(file["document"].tobytes())
    return said


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    said = json.loads(arrays["document"].tobytes())
    change(said)
    arrays["document"] = np.frombuffer(json.dumps(said).encode(), np.uint8)
    with path.open("wb") as target:
        np.savez(target, **arrays)


def division(frame: object, mother: object, *daughters: object) -> dict[str, object]:
    return {"frame": frame, "mother": mother, "daughters": [*daughters]}


@pytest.mark.parametrize(
    "broken",
    [
        {"lifetimes": [[1, 0, 2]]},  # its prompt is on frame 2
        {"lifetimes": [[1, 3, None]]},
        {"lifetimes": [[1, 0, 13]]},
        {"lifetimes": [[1, -1, 5]]},
        {"lifetimes": [[1, 2, 2]]},
        {"lifetimes": [[1, 1, 5], [1, 1, 6]]},
        {"lifetimes": [[9, 0, 5]]},
        {"lifetimes": [[True, 0, 5]]},
        {"lifetimes": [["1", 0, 5]]},
        {"lifetimes": [[1, 0.0, 5]]},
        {"lifetimes": [[1, 0]]},
        {"lifetimes": 7},
        {"lifetimes": None},
        {"lifetimes": [[[1], 0, 5]]},
        {"divisions": [division(6, 1)]},
        {"divisions": [division(2, 1, 2)]},
        {"divisions": [division(7, 1, 2)]},
        {"divisions": [division(6, 1, 1)]},
        {"divisions": [division(6, 1, 2, 2)]},
        {"divisions": [division(6, 1, 2), division(5, 1, 3)]},
        {"divisions": [division(6, 1, 2), division(6, 4, 2)]},
        {"divisions": [division(6, 1, 2), division(6, 2, 1)]},
        {"divisions": [division(6, 1, 9)]},
        {"divisions": [division(6, 9, 2)]},
        {"divisions": [division(6.0, 1, 2)]},
        {"divisions": [division(10**30, 1, 2)]},
        {"divisions": [division(-3, 1, 2)]},
        {"divisions": [division(6, True, 2)]},
        {"divisions": [{"frame": 6, "mother": 1, "daughters": "23"}]},
        {"divisions": [{"frame": 6, "mother": 1}]},
        {"divisions": ["6"]},
        {"version": 3},
    ],
    ids=json.dumps,
)
def test_lives_that_cannot_be_are_refused(broken: dict[str, object], tmp_path: Path) -> None:
    family("copy").save(tmp_path / "s")
    rewritten(tmp_path / "s", lambda said: said.update(broken))
    with pytest.raises(SessionError, match="cannot be read as a saved session") as error:
        again(tmp_path / "s", "copy")
    assert "\n" not in str(error.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 14) | st.floats(0, 12) | st.sampled_from(["frame", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["frame", "mother"]), inner),
    max_leaves=6,
)
LIFETIMES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-1, 8), st.none() | st.integers(0, 13)), max_size=3
)
DIVISIONS = st.lists(
    st.builds(
        lambda frame, mother, daughters: division(frame, mother, *daughters),
        st.integers(-1, 12),
        st.integers(0, 5),
        st.lists(st.integers(0, 5), max_size=3),
    ),
    max_size=3,
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(lifetimes=LIFETIMES | VALUES, divisions=DIVISIONS | VALUES)
def test_whatever_a_file_says_of_lives_is_refused_or_makes_a_whole_session(
    lifetimes: object, divisions: object
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "s")
        family("copy").save(path)
        rewritten(path, lambda said: said.update(lifetimes=lifetimes, divisions=divisions))
        try:
            session = again(path, "copy")
        except SessionError:
            return
        fresh = Session(Disks(), model("copy"))
        for prompt in session.prompts:
            fresh.add_prompt(prompt)
            assert prompt.frame_index in session.lifetime(prompt.object_id)
        born: dict[int, list[int]] = {}
        for daughter, mother in session.lineage.items():
            born.setdefault(mother, []).append(daughter)
        for mother, daughters in born.items():
            assert session.lifetime(mother).stop <= min(session.lifetime(i).start for i in daughters)
        for object_id in session.object_ids:
            fresh.set_lifetime(object_id, session.lifetime(object_id))
        list(session.propagate())
        list(fresh.propagate())
        assert same(fresh.masklets(), session.masklets())


def test_the_biography_of_the_tests_says_what_a_session_does() -> None:
    said = Biography({(1, 2): Prompt(2, 1, (Point(1, 1),)), (2, 6): Prompt(6, 2, (Point(2, 2),))})
    said.divisions[1] = 5, (2,)
    assert {i: [*masklet] for i, masklet in said.told_to(opened()).items()} == {
        1: [*range(5)],
        2: [*range(5, FRAMES)],
    }
