"""What a prompt takes, and what it refuses before any session sees it."""

from __future__ import annotations

import pickle
import tracemalloc
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import Box, Point, Prompt, PromptError, Session, masks, open_session
from tests.conftest import model
from tests.videos_for_tests import Disks

MASK = np.ones((48, 64))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"frame_index": 1.0}, "whole number"),
        ({"frame_index": "1"}, "whole number"),
        ({"frame_index": None}, "whole number"),
        ({"object_id": 1.5}, "whole number"),
        ({"object_id": -1}, "start at 1"),
        ({"object_id": 2**31}, "end at 2147483647"),
        ({"points": Point(1, 2)}, "x, y and whether"),
        ({"points": None}, "sequence"),
        ({"points": [(1,)]}, "x, y and whether"),
        ({"points": [(1, 2, -1)]}, "1 or 0"),
        ({"points": [("a", 2)]}, "x, y and whether"),
        ({"points": [(10**400, 2)]}, "x, y and whether"),
        ({"points": [(np.nan, 2)]}, "finite"),
        ({"points": [(1e30, 2)]}, "finite"),
        ({"box": (1, 2, 3)}, "left, top, right and bottom"),
        ({"box": 5}, "left, top, right and bottom"),
        ({"box": (-1e300, 0, 1e300, 5)}, "finite"),
        ({"points": (), "mask": MASK * np.nan}, "True or False"),
        ({"points": (), "mask": MASK * -3.5}, "threshold scores and logits first"),
        ({"points": (), "mask": MASK.astype(str)}, "True or False"),
        ({"points": (), "mask": [[1, 0], [0]]}, "no array"),
        ({"points": (), "mask": MASK[..., None]}, "(height, width)"),
        ({"points": (), "mask": MASK * 0}, "empty"),
        ({"previous": MASK[0]}, "(height, width)"),
    ],
)
def test_what_is_no_prompt_is_refused_in_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(PromptError) as error:
        Prompt(**{"frame_index": 0, "object_id": 1, "points": [(10, 12)]} | given)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_become_plain_ones_and_can_be_saved(tmp_path: Path) -> None:
    points = np.array([[10, 12, 1], [40, 40, 0]], np.float32)
    prompt = Prompt(np.int64(2), np.uint8(3), points, np.array([2, 2, 30, 30]))  # type: ignore[arg-type]
    assert prompt.points == (Point(10, 12), Point(40, 40, False))
    assert prompt.box == Box(2, 2, 30, 30)
    with Session(Disks(), model("copy")) as session:
        session.add_prompt(prompt)
        session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("copy"), video=Disks()) as again:
        assert again.prompts[0].points == prompt.points
        assert again.object_ids == (3,)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_masks_of_zeros_and_ones_are_taken_whatever_their_type(kind: type) -> None:
    mask = Disks().mask(0)
    prompt = Prompt(0, 1, mask=mask.astype(kind))
    assert prompt.mask is not None
    assert np.array_equal(prompt.mask, mask)
    assert np.array_equal(Prompt(0, 1, mask=mask.astype(np.uint8) * 255).mask, mask)


def test_an_array_changed_later_does_not_change_the_prompt() -> None:
    mask = Disks().mask(0)
    prompt = Prompt(0, 1, mask=mask)
    mask[:] = True
    assert np.array_equal(prompt.mask, Disks().mask(0))  # type: ignore[arg-type]


def test_a_prompt_is_replaced_copied_and_pickled_with_its_masks() -> None:
    painted = Prompt(0, 1, mask=Disks().mask(0))
    corrected = Prompt(0, 1, (Point(10, 12),), previous=Disks().mask(0))
    for change in (lambda p: replace(p, frame_index=0), deepcopy, lambda p: pickle.loads(pickle.dumps(p))):
        assert np.array_equal(change(painted).mask, Disks().mask(0))
        assert change(painted).previous is None
        assert np.array_equal(change(corrected).previous, Disks().mask(0))
        assert repr(change(corrected)) == repr(corrected)
    assert np.array_equal(corrected.with_point(1, 2).previous, Disks().mask(0))  # type: ignore[arg-type]
    assert replace(painted, mask=None, box=Box(1, 2, 3, 4)).mask is None
    with pytest.raises(PromptError, match="the mask is empty"):
        replace(painted, mask=np.zeros((48, 64)))


def test_a_mask_may_be_given_as_run_lengths() -> None:
    encoded = masks.encode(Disks().mask(0))
    prompt = Prompt(0, 1, mask=encoded)
    assert prompt.encoded_mask == encoded == Prompt(0, 1, mask=Disks().mask(0)).encoded_mask
    assert np.array_equal(prompt.mask, Disks().mask(0))  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="the mask is empty"):
        Prompt(0, 1, mask=masks.encode(MASK * 0))
    with Session(Disks(), model("copy")) as session, pytest.raises(PromptError, match="the mask is 5 x 4"):
        session.add_prompt(Prompt(0, 1, mask=masks.encode(np.ones((4, 5)))))


def test_nothing_can_be_written_into_a_prompt() -> None:
    prompt = Prompt(0, 1, mask=Disks().mask(0))
    assert prompt.mask is not None
    with pytest.raises(ValueError, match="read-only"):
        prompt.mask[:] = True
    with pytest.raises(FrozenInstanceError):
        prompt.mask = None  # type: ignore[misc]


def test_hundreds_of_painted_prompts_are_no_hundreds_of_images(tmp_path: Path) -> None:
    """Neither the prompts of a session nor those of a saved one."""
    video = np.zeros((2, 1024, 1024), np.uint8)
    mask = np.zeros((1024, 1024), np.bool_)
    mask[100:120, 200:220] = True
    with open_session(video, model=model("copy")) as session:
        for object_id in range(1, 41):
            session.add_prompt(Prompt(0, object_id, mask=mask))
        session.save(tmp_path / "s")
        given = session.prompts
    again = open_session(tmp_path / "s", model=model("copy"), video=video)
    for prompts in (given, again.prompts):
        assert len(prompts) == 40
        assert len(pickle.dumps(prompts)) < mask.nbytes
    tracemalloc.start()
    kept = again.prompts
    assert tracemalloc.get_traced_memory()[1] < mask.nbytes
    tracemalloc.stop()
    assert all(np.array_equal(prompt.mask, mask) for prompt in kept)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["copy", "flow"])
@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (3, 5)])
def test_tiny_frames_are_tracked(name: str, size: tuple[int, int]) -> None:
    with open_session(np.zeros((3, *size, 3), np.uint8), model=name) as session:
        session.add_prompt(Prompt(0, 1, (Point(0, 0),)))
        assert [result.visible.all() for result in session.propagate()] == [True] * 3
