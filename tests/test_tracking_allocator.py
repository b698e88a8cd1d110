"""Memory that is freed goes back to the system while a video is tracked."""

import os
import subprocess
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

    unset(monkeypatch)
    monkeypatch.setattr(allocator.ctypes, "CDLL", Other)
    allocator.give_back()
    allocator.keep_blocks.__wrapped__()
    assert asked == [None, None]


def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in allocator._CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (2**31, [(-3, 256 * 2**20), (-1, 2**30)]),
        (32 * 2**20, [(-3, 256 * 2**20), (-3, 32 * 2**20), (-1, 2**30)]),
        (0, [(-3, 256 * 2**20), (-3, 32 * 2**20)]),
    ],
)
def test_one_threshold_is_not_set_without_the_other(
    monkeypatch: pytest.MonkeyPatch, most: int, expected: list[tuple[int, int]]
) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        def __init__(self, _: object) -> None:
            pass

        def mallopt(self, option: int, value: int) -> bool:
            asked.append((option, value))
            return option != -3 or value <= most

    unset(monkeypatch)
    monkeypatch.setattr(allocator.ctypes, "CDLL", Library)
    allocator.keep_blocks.__wrapped__()
    assert asked == expected


FAULTS = """
import platform, resource, torch
from sam2_core.bench.random_networks import random_network
from sam2_core.models.config import config
from sam2_core.tracking.sam2_model import Sam2Model
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.set_num_threads(1)
first = faults()
Sam2Model(random_network(config("{name}").at_size(64)), "", torch.device("cpu"), "auto")
faults()
print(platform.libc_ver()[0], first, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason=f"{PLATFORM}it counts page faults of glibc")
@pytest.mark.parametrize(
    ("name", "chosen", "kept"),
    [
        ("sam2.1-tiny", {}, True),
        ("nano", {}, False),
        ("sam2.1-tiny", {"MALLOC_TRIM_THRESHOLD_": "131072"}, False),
    ],
)
def test_large_blocks_are_kept_for_large_networks_and_for_whoever_did_not_choose(
    name: str, chosen: dict[str, str], kept: bool
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))} | chosen
    script = FAULTS.replace("{name}", name)
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    library, before, after = run.stdout.split()
    if library != "glibc":
        pytest.skip(f"{PLATFORM}it counts page faults of glibc")
    assert (int(after) < 0.1 * int(before)) is kept
