"""Objects change their ids; what any session must do then, whatever its model."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from sam2_core import (
    Point,
    Prompt,
    PromptError,
    Session,
    SupersededError,
)
from tests.biographies_for_tests import Open, alike, family
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def test_another_id_keeps_all_that_is_known(open_it: Open) -> None:
    session = family(open_it(Disks()))
    session.divide(6, 1, [2, 3])
    session.set_lifetime(2, range(6, 10))
    session.add_prompt(click(4))
    before, asked = session.masklets(), dict(cast(Counting, session.model).calls)
    session.rename_object(1, 8)
    session.rename_object(2, 1)
    assert session.object_ids == (8, 1, 3)
    assert session.lineage == {1: 8, 3: 8}
    assert [p.object_id for p in session.prompts] == [8, 8, 1, 3]
    assert session.lifetime(1) == range(6, 10)
    after = session.masklets()
    assert alike({8: before[1], 1: before[2], 3: before[3]}, after)
    assert [after[i].object_id for i in (8, 1, 3)] == [8, 1, 3]
    assert cast(Counting, session.model).calls == asked


def test_clicks_of_objects_that_change_their_ids_are_not_mixed_up(open_it: Open) -> None:
    """One more click goes on from the steps of its own object, whatever that was called before."""
    one, two = Point(12, 12), Point(16, 38)
    session, fresh = open_it(Disks()), open_it(Disks())
    session.add_prompt(Prompt(0, 1, (one,)))
    session.add_prompt(Prompt(0, 2, (two,)))
    for old, new in ((1, 3), (2, 1), (3, 2)):
        session.rename_object(old, new)
    calls = cast(Counting, session.model).calls
    asked = calls["segment"]
    for object_id, first in ((2, one), (1, two)):
        prompt = Prompt(0, object_id, (first, Point(20, 20, False)))
        found, expected = session.add_prompt(prompt), fresh.add_prompt(prompt)
        assert np.array_equal(found.mask(object_id), expected.mask(object_id))
    assert calls["segment"] == asked + 2
    session.rename_object(1, 5)
    session.add_prompt(Prompt(0, 1, (one,)))
    for each in (session, fresh):
        list(each.propagate())
    assert same({1: fresh.masklets()[2]}, {1: session.masklets()[2]})
    assert same({1: fresh.masklets()[1]}, {1: session.masklets()[5]})


def test_an_id_in_use_and_one_that_is_none_are_refused(session: Session) -> None:
    family(session)
    before = session.masklets()
    for old, new, says in (
        (1, 2, "there is an object 2 already"),
        (1, 0, "object ids start at 1"),
        (1, 1.5, "whole number"),
        (9, 4, "no object 9"),
    ):
        with pytest.raises(PromptError, match=says):
            session.rename_object(old, cast(int, new))
    running = session.propagate()
    next(running)
    session.rename_object(1, 1)
    next(running)
    assert alike(before, session.masklets())
    session.rename_object(1, 4)
    with pytest.raises(SupersededError):
        next(running)
