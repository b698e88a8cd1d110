"""Whatever is said of lives, undone and done again: the canonical result is that of a fresh session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sam2_core import Limits, Masklet, Point, Prompt, PromptError, Session, SessionError
from sam2_core import open_session as open_saved
from sam2_core.session_document import Snapshot
from tests.biographies_for_tests import FRAMES, Biography, Storing, alike, stale
from tests.hashing_for_tests import SIZE, Numbers
from tests.sessions_for_tests import same

OBJECTS = st.integers(1, 4)
PLACES = st.integers(0, FRAMES - 1)
CLICKS = st.builds(Point, st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1), st.booleans())
RANGES = st.builds(range, PLACES, st.integers(0, FRAMES))


class Kept(NamedTuple):
    """A snapshot, what was said and known then, and what a correction gave right after it."""

    snapshot: Snapshot
    said: Biography
    known: dict[int, Masklet]
    tracked_only: bool
    corrected: dict[int, Masklet]


class History(RuleBasedStateMachine):
    """A session to which anything may happen, on a model whose masks show everything that they were given."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self) -> None:
        super().__init__()
        self.session = self.opened()
        self.said = Biography()
        self.kept: list[Kept] = []
        self.running: list[object] = []
        self.tracked_only = False  # whether all masks are of canonical results of the present prompts

    def opened(self) -> Session:
        return Session(Numbers(FRAMES), Storing(), self.limits)

    def draw(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.said.objects)))

    def refused(self, what: Callable[[], object]) -> None:
        before = self.session.masklets()
        with pytest.raises(PromptError):
            what()
        assert alike(before, self.session.masklets())

    # --- prompts and masks -------------------------------------------------------------------------

    @rule(frame=PLACES, number=OBJECTS, points=st.lists(CLICKS, min_size=1, max_size=2))
    def click(self, frame: int, number: int, points: list[Point]) -> None:
        self.say(Prompt(frame, number, tuple(points)))

    @rule(frame=PLACES, number=OBJECTS, pixels=st.integers(1, 2**32 - 1))
    def paint(self, frame: int, number: int, pixels: int) -> None:
        mask = np.array([pixels >> bit & 1 for bit in range(32)], bool).reshape(SIZE)
        self.say(Prompt(frame, number, mask=mask))

    def say(self, prompt: Prompt) -> None:
        number, frame = prompt.object_id, prompt.frame_index
        if number in self.said.objects and frame not in self.said.lifetime(number):
            self.refused(lambda: self.session.add_prompt(prompt))
            return
        self.session.add_prompt(prompt)
        self.said.prompts[number, frame] = prompt
        self.tracked_only = False

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data())
    def take_a_prompt_back(self, data: st.DataObject) -> None:
        number, frame = data.draw(st.sampled_from(sorted(self.said.prompts)))
        self.session.remove_prompt(frame, number)
        if len(self.said.prompted(number)) == 1:
            self.said.remove(number)
        else:
            del self.said.prompts[number, frame]
        self.tracked_only = False

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data())
    def remove_an_object(self, data: st.DataObject) -> None:
        number = self.draw(data)
        self.session.remove_object(number)
        self.said.remove(number)
        self.check_what_is_fresh()

    @precondition(lambda self: self.said.prompts)
    @rule(frames=RANGES, step=st.sampled_from([1, -1, 2, -3]), count=st.integers(1, 12))
    def correct_a_range(self, frames: range, step: int, count: int) -> None:
        if step < 0:
            frames = frames[::-1]
        for _ in zip(range(count), self.session.propagate(frames[:: abs(step)]), strict=False):
            self.tracked_only = False

    @precondition(lambda self: self.said.prompts)
    @rule(count=st.integers(1, 18))
    def track_a_part(self, count: int) -> None:
        for _ in zip(range(count), self.session.propagate(), strict=False):
            pass

    @precondition(lambda self: self.said.prompts)
    @rule()
    def track(self) -> None:
        list(self.session.propagate())
        assert same(self.said.told_to(self.opened()), self.session.masklets())
        assert not any(stale(self.session.masklets()).values())
        self.tracked_only = True

    # --- lives -------------------------------------------------------------------------------------

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data(), frames=st.none() | RANGES)
    def live(self, data: st.DataObject, frames: range | None) -> None:
        number = self.draw(data)
        if frames is not None and not (frames and self.said.may_live(number, frames)):
            self.refused(lambda: self.session.set_lifetime(number, frames))
            return
        self.live_so(number, frames)

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data(), before=st.integers(0, 4), behind=st.integers(0, 4))
    def live_near_the_prompts(self, data: st.DataObject, before: int, behind: int) -> None:
        number = self.draw(data)
        prompted = self.said.prompted(number)
        start = max(self.said.born(number), prompted[0] - before)
        self.live_so(number, range(start, min(self.said.divides(number), prompted[-1] + 1 + behind)))

    def live_so(self, number: int, frames: range | None) -> None:
        before, lived = self.session.masklets()[number], self.said.lifetime(number)
        self.session.set_lifetime(number, frames)
        self.said.live(number, frames)
        after, first = self.session.masklets()[number], self.said.prompted(number)[0]
        for i in {*lived} & {*self.said.lifetime(number)} & before.keys():
            assert after[i].encoded == before[i].encoded
            assert after[i].stale >= before[i].stale
            assert after[i].stale == before[i].stale or i < first
        self.check_what_is_fresh()

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data(), frame=PLACES)
    def divide(self, data: st.DataObject, frame: int) -> None:
        mother = self.draw(data)
        daughters = data.draw(st.lists(st.sampled_from(sorted(self.said.objects)), max_size=2, unique=True))
        if self.said.divisions.get(mother) == (frame, tuple(daughters)):
            return
        if not self.said.may_divide(frame, mother, daughters):
            there = self.said.divisions.get(mother)
            if there is None or (there[0], {*there[1]}) != (frame, {*daughters}):
                self.refused(lambda: self.session.divide(frame, mother, daughters))
            return
        self.session.divide(frame, mother, daughters)
        self.said.divisions[mother] = frame, tuple(daughters)
        self.check_what_is_fresh()

    @precondition(lambda self: len(self.said.objects) > 1)
    @rule(data=st.data())
    def divide_if_it_can_be(self, data: st.DataObject) -> None:
        possible = [
            (frame, mother, daughter)
            for mother in sorted(self.said.objects)
            for daughter in sorted(self.said.objects - {mother})
            for frame in range(1, FRAMES)
            if self.said.may_divide(frame, mother, [daughter])
        ]
        if possible:
            frame, mother, daughter = data.draw(st.sampled_from(possible))
            self.session.divide(frame, mother, [daughter])
            self.said.divisions[mother] = frame, (daughter,)
            self.check_what_is_fresh()

    @precondition(lambda self: self.said.divisions)
    @rule(data=st.data())
    def take_a_division_back(self, data: st.DataObject) -> None:
        mother = data.draw(st.sampled_from(sorted(self.said.divisions)))
        self.session.undivide(mother)
        del self.said.divisions[mother]
        self.check_what_is_fresh()

    @precondition(lambda self: self.said.prompts)
    @rule(data=st.data(), new=st.integers(1, 6))
    def rename(self, data: st.DataObject, new: int) -> None:
        old = self.draw(data)
        if new in self.said.objects - {old}:
            self.refused(lambda: self.session.rename_object(old, new))
            return
        before = self.session.masklets()
        self.session.rename_object(old, new)
        self.said.rename(old, new)
        named = {new if number == old else number: masklet for number, masklet in before.items()}
        assert alike(named, self.session.masklets())

    # --- undo, redo, and another day ---------------------------------------------------------------

    @rule()
    def keep(self) -> None:
        known, snapshot = self.session.masklets(), self.session.snapshot()
        corrected = self.corrected()
        self.session.restore(snapshot)
        self.kept.append(Kept(snapshot, self.said.copy(), known, self.tracked_only, corrected))

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        kept = data.draw(st.sampled_from(self.kept))
        self.session.restore(kept.snapshot)
        self.said, self.tracked_only = kept.said.copy(), kept.tracked_only
        assert alike(kept.known, self.session.masklets())
        assert alike(kept.corrected, self.corrected())
        self.session.restore(kept.snapshot)
        assert alike(kept.known, self.session.masklets())

    def corrected(self) -> dict[int, Masklet]:
        """What comes of one more prompt and corrections of ranges, from the memories as they are."""
        for number in sorted(self.said.objects):
            lived = self.said.lifetime(number)
            self.session.add_prompt(Prompt(lived[len(lived) // 2], number, (Point(3, 3),)))
        if self.said.prompts:
            list(self.session.propagate(range(4, FRAMES)))
            list(self.session.propagate(range(7, -1, -1)))
        return self.session.masklets()

    @rule()
    def save_and_open_again(self) -> None:
        before = self.session.masklets()
        with TemporaryDirectory() as folder:
            self.session.save(Path(folder, "s"))
            self.session.close()
            self.session = open_saved(
                Path(folder, "s"),
                model=Storing(),
                video=Numbers(FRAMES),
                limits=self.limits,
            )
        assert alike(before, self.session.masklets())
        for kept in self.kept:
            with pytest.raises(SessionError):
                self.session.restore(kept.snapshot)
        self.kept.clear()
        self.said.prompts = {(p.object_id, p.frame_index): p for p in self.session.prompts}

    # --- what must hold ----------------------------------------------------------------------------

    def check_what_is_fresh(self) -> None:
        """Without another prompt or a correction, what is not stale is what a fresh session gives."""
        if self.tracked_only and self.said.prompts:
            expected = self.said.told_to(self.opened())
            for number, masklet in self.session.masklets().items():
                for i, frame in masklet.items():
                    assert frame.stale or frame.encoded == expected[number][i].encoded

    @invariant()
    def the_document_is_what_was_said(self) -> None:
        assert {(p.object_id, p.frame_index) for p in self.session.prompts} == {*self.said.prompts}
        assert {*self.session.object_ids} == self.said.objects
        assert self.session.lineage == self.said.mothers
        for number in self.said.objects:
            assert self.session.lifetime(number) == self.said.lifetime(number)

    @invariant()
    def masks_are_in_lifetimes_and_say_who_the_mother_is(self) -> None:
        masklets = self.session.masklets()
        assert {number: m.mother for number, m in masklets.items() if m.mother} == self.said.mothers
        for number, masklet in masklets.items():
            assert {*self.said.prompted(number)} <= {*masklet} <= {*self.said.lifetime(number)}
        for i in range(FRAMES):
            assert {*self.session.result(i).object_ids} == {n for n, m in masklets.items() if i in m}

    def teardown(self) -> None:
        if self.said.prompts:
            self.track()
        self.session.close()


@pytest.mark.parametrize("limits", [Limits(), Limits(0, 0)], ids=["roomy", "tight"])
def test_no_history_of_lives_shows_in_the_canonical_result(limits: Limits) -> None:
    run_state_machine_as_test(
        type("Machine", (History,), {"limits": limits}),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
