"""Whatever is done to a session: its canonical result is that of a fresh one, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

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

from sam2_core import (
    Box,
    FrameResult,
    Limits,
    Point,
    Prompt,
    PromptError,
    Session,
    SessionError,
    SupersededError,
    open_session,
)
from tests.conftest import model
from tests.sessions_for_tests import same
from tests.videos_for_tests import Disks

FRAMES = 9
OBJECTS = st.integers(1, 3)
PLACES = st.integers(0, FRAMES - 1)
STEPS = st.sampled_from([1, 1, -1, -1, 2, -2, 3, -4])
CLICKS = st.builds(Point, st.integers(0, 63), st.integers(0, 47), st.booleans())


class History(RuleBasedStateMachine):
    """A session to which anything may happen; every model and size of the stores of memories must pass."""

    name: ClassVar[str] = "copy"
    limits: ClassVar[Limits] = Limits()

    def __init__(self) -> None:
        super().__init__()
        self.session = self.opened()
        self.said: dict[tuple[int, int], Prompt] = {}
        self.running: list[tuple[Iterator[FrameResult], int]] = []
        self.changes = 0

    def opened(self) -> Session:
        return Session(Disks(FRAMES), model(self.name), self.limits)

    def say(self, prompt: Prompt) -> None:
        before = self.session.prompts
        self.session.add_prompt(prompt)
        self.said[prompt.object_id, prompt.frame_index] = prompt
        self.changes += self.session.prompts != before

    # --- what a user does --------------------------------------------------------------------------

    @rule(frame=PLACES, number=OBJECTS, points=st.lists(CLICKS, min_size=1, max_size=3))
    def click(self, frame: int, number: int, points: list[Point]) -> None:
        self.say(Prompt(frame, number, tuple(points)))

    @rule(frame=PLACES, number=OBJECTS, left=st.integers(0, 50), top=st.integers(0, 40))
    def draw_a_box(self, frame: int, number: int, left: int, top: int) -> None:
        self.say(Prompt(frame, number, box=Box(left, top, left + 13, top + 9)))

    @rule(frame=PLACES, number=OBJECTS, disk=st.integers(0, 1))
    def paint(self, frame: int, number: int, disk: int) -> None:
        mask = Disks(FRAMES).mask(frame, disk)
        self.say(Prompt(frame, number, mask=mask))
        mask[:] = True  # the caller's array is the caller's

    @rule(frame=PLACES, number=OBJECTS, point=CLICKS)
    def correct(self, frame: int, number: int, point: Point) -> None:
        if number not in self.session.object_ids:
            with pytest.raises(PromptError):
                self.session.correction(frame, number, point)
            return
        self.say(self.session.correction(frame, number, point))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def take_a_prompt_back(self, data: st.DataObject) -> None:
        number, frame = data.draw(st.sampled_from(sorted(self.said)))
        self.session.remove_prompt(frame, number)
        del self.said[number, frame]
        self.changes += 1

    @rule(number=OBJECTS)
    def remove_an_object(self, number: int) -> None:
        if number not in self.session.object_ids:
            with pytest.raises(PromptError):
                self.session.remove_object(number)
            return
        self.session.remove_object(number)
        self.said = {key: prompt for key, prompt in self.said.items() if key[0] != number}
        self.changes += 1

    @rule(frame=st.sampled_from([-1, FRAMES, 99]), number=OBJECTS)
    def err(self, frame: int, number: int) -> None:
        with pytest.raises(PromptError):
            self.session.add_prompt(Prompt(frame, number, (Point(1, 1),)))

    @precondition(lambda self: self.said)
    @rule(start=PLACES, stop=st.integers(-1, FRAMES), step=STEPS, count=st.integers(1, 20), data=st.data())
    def correct_a_range(self, start: int, stop: int, step: int, count: int, data: st.DataObject) -> None:
        chosen = data.draw(st.none() | st.lists(st.sampled_from(self.session.object_ids), min_size=1))
        frames = range(start, stop, step)
        for result, expected in zip(self.session.propagate(frames, object_ids=chosen), frames, strict=False):
            assert result.frame_index == expected
            reached = {i for i, f in self.said if (expected - f) * step >= 0} & {*(chosen or (1, 2, 3))}
            assert reached <= set(result.object_ids)
            count -= 1
            if not count:
                break

    @precondition(lambda self: self.said)
    @rule(frames=st.none() | st.builds(range, PLACES, st.just(FRAMES)))
    def start_a_propagation(self, frames: range | None) -> None:
        self.running.append((self.session.propagate(frames), self.changes))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on_with_a_propagation(self, data: st.DataObject, steps: int) -> None:
        results, changes = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        for _ in range(steps):
            try:
                if (result := next(results, None)) is None:
                    return
            except SupersededError:
                assert changes < self.changes
                return
            result.scores[:] = -1  # the caller's too
            result.label_image()[:] = 0
        self.running.append((results, changes))

    @rule()
    def save_and_open_again(self) -> None:
        with TemporaryDirectory() as folder:
            self.session.save(Path(folder, "s"))
            before = self.session.masklets()
            self.session.close()
            self.session = open_session(
                Path(folder, "s"), model=model(self.name), video=Disks(FRAMES), limits=self.limits
            )
        assert same(before, self.session.masklets())
        assert _stale(before) == _stale(self.session.masklets())
        self.running.clear()

    # --- what must hold ----------------------------------------------------------------------------

    @invariant()
    def the_document_is_what_was_said(self) -> None:
        assert {(p.object_id, p.frame_index) for p in self.session.prompts} == set(self.said)
        assert set(self.session.object_ids) == {number for number, _ in self.said}

    @invariant()
    def a_prompted_frame_shows_its_prompt(self) -> None:
        masklets = self.session.masklets()
        for (number, frame), prompt in self.said.items():
            shown = masklets[number][frame]
            assert shown.source == "prompted"
            assert not shown.stale
            if prompt.mask is not None:
                assert np.array_equal(shown.mask(), prompt.mask)

    @rule()
    def the_result_is_canonical(self) -> None:
        if not self.said:
            with pytest.raises(SessionError):
                self.session.propagate()
            return
        for _ in self.session.propagate():
            pass
        fresh = Session(Disks(FRAMES), model(self.name))
        for _, prompt in sorted(self.said.items(), key=lambda item: item[0]):
            fresh.add_prompt(prompt)
        for _ in fresh.propagate():
            pass
        assert same(fresh.masklets(), self.session.masklets())
        assert not any(map(any, _stale(self.session.masklets()).values()))

    def teardown(self) -> None:
        self.the_result_is_canonical()
        self.session.close()


def _stale(masklets: dict[int, object]) -> dict[int, list[bool]]:
    return {i: [frame.stale for frame in masklet.values()] for i, masklet in masklets.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "examples", "steps"), [("copy", 40, 40), ("sam2", 5, 15)], ids=["copy", "sam2"]
)
@pytest.mark.parametrize("limits", [Limits(), Limits(0, 0)], ids=["roomy", "tight"])
def test_no_history_of_a_session_shows_in_its_canonical_result(
    name: str, examples: int, steps: int, limits: Limits
) -> None:
    machine = type("Machine", (History,), {"name": name, "limits": limits})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
