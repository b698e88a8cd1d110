"""Memory that is freed goes back to the system while a video is tracked."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sam2_core import Session
from sam2_core.tracking import allocator
from tests.conftest import model
from tests.sessions_for_tests import click
from tests.skips import PLATFORM
from tests.videos_for_tests import Disks


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason=f"{PLATFORM}it reads /proc")
def test_what_lies_between_kept_blocks_goes_back_to_the_system() -> None:
    blocks = [np.ones(60_000, np.uint8) for _ in range(2000)]
    kept = blocks[::2]
    del blocks
    before = resident()
    allocator.give_back()
    assert before - resident() > 30e6
    assert all(block.all() for block in kept)


def test_it_is_asked_for_as_frames_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(allocator, "give_back", lambda: calls.append(1))
    session = Session(Disks(3 * allocator.EVERY + 1), model("copy"))
    session.add_prompt(click(0))
    list(session.propagate())
    assert len(calls) == 3


def test_with_another_library_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Other:
        def __init__(self, name: object) -> None:
            asked.append(name)

    monkeypatch.setattr(allocator.ctypes, "CDLL", Other)
    allocator.give_back()
    assert asked == [None]
