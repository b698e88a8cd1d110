"""What a saved session may claim to hold, and what a killed save leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sam2_core import Session, SessionError, open_session, saved
from sam2_core.files import new_file
from sam2_core.saved.file import memory_room
from sam2_core.saved.rows import to_columns
from tests.conftest import model
from tests.saved_for_tests import again, going_on, run, started, whole
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks

BOMB = 100 * 2**20


def bombed(path: Path, **changes: Any) -> None:
    with np.load(path) as file:
        arrays = dict(file) | changes
    with path.open("wb") as target:
        np.savez_compressed(target, **arrays)
    assert path.stat().st_size < 2**20


def refused_within(path: Path, limit: int, says: str) -> None:
    tracemalloc.start()
    with pytest.raises(SessionError, match=says) as error:
        saved.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < limit
    assert "\n" not in str(error.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    session = started("copy")
    run(session, 5)
    session.save(tmp_path / "s")
    return tmp_path / "s"


def test_memories_above_their_limit_are_not_read(path: Path) -> None:
    bombed(path, memories=np.zeros(2 * BOMB, np.uint8))
    tracemalloc.start()
    assert saved.read(path).memories is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23
    other, counting = again(path, "copy")
    assert going_on(other, counting) == []
    list(other.propagate())
    assert same(whole("copy"), other.masklets())


def test_a_higher_limit_reads_larger_memories() -> None:
    assert memory_room(None) == memory_room(0) == 2 * 2**26 + 2**24
    assert memory_room(2**30) > 2**31


@pytest.mark.parametrize(
    ("name", "kind"), [("frame", np.int64), ("score", np.float32), ("runs", np.int64), ("counts", np.uint32)]
)
def test_columns_larger_than_what_they_belong_to_are_refused(name: str, kind: type, path: Path) -> None:
    bombed(path, **{name: np.zeros(BOMB // np.dtype(kind).itemsize, kind)})
    refused_within(path, 2**23, f"claims to hold .*'{name}'")


def test_a_document_above_its_bound_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam2_core.saved.file.LARGEST_DOCUMENT", 2**20)
    bombed(path, document=np.full(BOMB, ord(" "), np.uint8))
    refused_within(path, 2**23, "claims to hold .*'document'")
    monkeypatch.setattr("sam2_core.saved.file.LARGEST_DOCUMENT", 10)
    with pytest.raises(SessionError, match="its prompts take more than 10 bytes; remove some"):
        started("copy").save(path.with_name("other"))


def test_rows_that_repeat_themselves_are_refused(path: Path) -> None:
    with np.load(path) as file:
        document, rows = json.loads(file["document"].tobytes()), len(file["frame"])
        repeated = {name: np.repeat(file[name], 9, axis=0) for name in ("frame", "object")}
    document["video"]["frames"] = 9 * rows
    bombed(path, document=np.frombuffer(json.dumps(document).encode(), np.uint8), **repeated)
    refused_within(path, 2**23, "many masks of one object on one frame")


def test_more_runs_than_pixels_are_refused(path: Path) -> None:
    with np.load(path) as file:
        runs = file["runs"] + 2**40
    bombed(path, runs=runs)
    refused_within(path, 2**23, "more runs than pixels")


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.5, 1.5])
def test_scores_that_cannot_be_are_damage(score: float, path: Path) -> None:
    with np.load(path) as file:
        scores = file["score"].copy()
    scores[-1] = score
    bombed(path, score=scores)
    refused_within(path, 2**23, "a score is not between 0 and 1")


def test_scores_of_a_model_that_cannot_be_are_saved_as_what_can_be(path: Path) -> None:
    rows = saved.read(path).rows
    odd = [replace(rows[0].frame, score=score) for score in (np.nan, -0.5, 1.5, 0.25)]
    assert to_columns([rows[0]._replace(frame=frame) for frame in odd])["score"].tolist() == [0, 0, 1, 0.25]


# --- what a killed save leaves --------------------------------------------------------------------------


def short(path: Path) -> None:
    with Session(Disks(3), model("copy")) as session:
        session.add_prompt(click(0))
        session.save(path)


CODE = """
import pathlib, sys, time
from sam2_core.files import new_file
with new_file(pathlib.Path(sys.argv[1]), tidy=True) as part:
    part.write_bytes(b"half")
    print("half", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_save_left_goes_with_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "s.sam2"
    with subprocess.Popen([sys.executable, "-c", CODE, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (part,) = tmp_path.glob(".s.sam2.*.part")
        short(path)
        assert part.exists()  # its process lives
        process.kill()
        process.wait()
    short(tmp_path / "sam2")
    short(tmp_path / "s")
    assert part.exists()  # it is of another file
    short(path)
    assert not part.exists()
    with open_session(path, model=model("copy"), video=Disks(3)) as opened:
        assert opened.object_ids == (1,)


def test_what_may_be_in_work_elsewhere_stays_for_a_day(tmp_path: Path) -> None:
    gone = 2**22 + 1  # above the highest number of a process
    names = [f".s.{gone}.deadbeef.part", f".s.{gone}.deadbeef00000000.part"]
    others = [f".s.{gone}.other.part", ".s.part", f".t.{gone}.deadbeef.part", f"s.{gone}.deadbeef.part"]
    others += [f".s.{os.getpid()}.deadbeef.part"]
    for name in (*names, *others):
        (tmp_path / name).write_bytes(b"half")
    short(tmp_path / "s")
    assert all((tmp_path / name).exists() for name in (*names, *others))
    yesterday = time.time() - 25 * 3600
    for name in (*names, *others):
        os.utime(tmp_path / name, (yesterday, yesterday))
    with new_file(tmp_path / "s") as part:  # one file of many: the folder is not listed
        part.write_bytes(b"")
    assert (tmp_path / names[0]).exists()
    short(tmp_path / "s")
    assert {path.name for path in tmp_path.iterdir()} == {"s", *others}
