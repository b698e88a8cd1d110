"""Run lengths that a caller makes: what a prompt refuses, and that nobody can write into them later."""

from __future__ import annotations

import pickle
import time
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from sam2_core import Prompt, PromptError, Session, masks
from sam2_core.results import RunLengths
from tests.conftest import model
from tests.videos_for_tests import Disks

GOOD: dict[str, Any] = {"size": (48, 64), "top": 5, "left": 6, "shape": (2, 3), "counts": [0, 2, 1, 3]}


def made(**change: Any) -> RunLengths:
    return RunLengths(**(GOOD | change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"counts": [0, 2, 1, 2]}, "counts fill 5 pixels, the rectangle has 6"),
        ({"counts": []}, "fill 0 pixels"),
        ({"counts": [-1, 7]}, "from 0 to 2**32 - 1"),
        ({"counts": np.array([-1, 7], np.int8)}, "from 0 to 2**32 - 1"),
        ({"counts": [2**32, 6]}, "from 0 to 2**32 - 1"),
        ({"counts": [2**80, 6]}, "from 0 to 2**32 - 1"),
        ({"counts": [0.0, 6.0]}, "from 0 to 2**32 - 1"),
        ({"counts": [[0, 6]]}, "a sequence"),
        ({"counts": 6}, "a sequence"),
        ({"counts": None}, "a sequence"),
        ({"counts": [[1], [2, 3]]}, "a sequence"),
        ({"top": -1}, "leaves the size of 48 x 64"),
        ({"left": -6}, "leaves"),
        ({"top": 47}, "leaves"),
        ({"left": 62}, "leaves"),
        ({"shape": (-2, -3)}, "leaves"),
        ({"size": (-48, -64)}, "leaves"),
        ({"top": 1.5}, "whole numbers"),
        ({"size": 48}, "whole numbers"),
        ({"size": None}, "whole numbers"),
        ({"shape": (2, 3, 1)}, "whole numbers"),
        ({"shape": ("2", "3")}, "whole numbers"),
    ],
)
@pytest.mark.parametrize("name", ["mask", "previous"])
def test_broken_ones_are_refused_in_one_line(name: str, change: dict[str, Any], says: str) -> None:
    points = ((10, 12),) if name == "previous" else ()
    with pytest.raises(PromptError) as error:
        Prompt(0, 1, points, **{name: made(**change)})  # type: ignore[arg-type]
    assert says in str(error.value)
    assert f"a prompt's {name}" in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_and_numbers_of_numpy_become_plain_ones() -> None:
    size, shape = [np.int64(48), np.int64(64)], np.array([2, 3])
    prompt = Prompt(0, 1, mask=made(size=size, top=np.uint8(5), shape=shape))
    assert prompt.encoded_mask == made()
    assert masks.encode(prompt.mask) == made()  # type: ignore[arg-type]
    with Session(Disks(), model("copy")) as session:
        assert session.add_prompt(prompt).encoded == (made(),)


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.int64, ">u2"])
def test_an_array_changed_later_changes_nothing(kind: Any) -> None:
    counts = np.array([0, 2, 1, 3], kind)
    view = counts.view()
    view.flags.writeable = False
    kept = [made(counts=counts), made(counts=view)]
    counts[:] = 0
    assert kept == [made(), made()]
    assert kept[0].counts.dtype == np.uint16


def test_large_runs_are_kept_and_fixed_too() -> None:
    counts = np.array([0, 2**32 - 1], np.uint32)
    kept = made(counts=counts)
    counts[:] = 0
    assert kept.counts.tolist() == [0, 2**32 - 1]
    assert kept.counts.dtype == np.uint32
    assert not kept.counts.flags.writeable


def test_what_a_session_gives_cannot_be_written() -> None:
    with Session(Disks(), model("copy")) as session:
        result = session.add_prompt(Prompt(0, 1, mask=Disks().mask(0)))
        given = result.encoded[0], session.masklets()[1][0].encoded, session.prompts[0].encoded_mask
        for mask in (*given, deepcopy(given[0]), pickle.loads(pickle.dumps(given[0]))):
            assert mask == masks.encode(Disks().mask(0))
            with pytest.raises(ValueError, match="read-only"):
                mask.counts[:] = 0


def test_runs_that_nobody_can_write_are_not_copied() -> None:
    encoded = masks.encode(Disks().mask(0))
    prompt = Prompt(0, 1, mask=encoded)
    assert prompt.encoded_mask is not None
    assert prompt.encoded_mask.counts is encoded.counts


def test_hundreds_of_large_ones_are_checked_at_once() -> None:
    """Nothing is decoded: that takes a second and more."""
    grid = np.zeros((2048, 2048), np.bool_)
    grid[:, ::64] = True
    encoded = masks.encode(grid)
    begun = time.process_time()
    for object_id in range(1, 301):
        Prompt(0, object_id, mask=encoded)
    assert time.process_time() - begun < 0.5
