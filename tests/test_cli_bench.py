"""``sam2 bench`` in small sizes: that it works and says what it did; no figure of time is looked at."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sam2_core import Prompt, open_session
from sam2_core.bench import growth, measure, runs
from sam2_core.bench.cases import Case, Conditions, Counted, Pair
from sam2_core.bench.films import Cells
from sam2_core.bench.runs import CASES, Outcome
from sam2_core.bench.theirs import THEIR_SETTINGS, Theirs
from sam2_core.cli import main
from sam2_core.models import devices

SMALL = ("bench", "--small", "--rounds", "1")


def test_the_cases_are_listed(capsys):
    assert main(["bench", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in CASES)


def test_a_step_and_a_click_beside_transformers(capsys):
    chosen = ("--case", "step-tiny-1", "--case", "click")
    assert main([*SMALL, "--against", "transformers", *chosen, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "torch" in found["hardware"]
    assert "transformers" in found["hardware"]
    step, click = found["cases"]
    assert (step["name"], click["name"]) == ("step-tiny-1", "click")
    for case in (step, click):
        assert case["ours"] > 0
        assert case["ratio"] == pytest.approx(case["theirs"] / case["ours"])
        assert case["unit"] == "CPU-s"
        assert case["theirs_setting"] in THEIR_SETTINGS
        assert case["ours_wall_s"] > 0
    assert step["floor"] > 0
    assert step["agrees"].keys() == {"ours", "float32", "bfloat16", "bfloat16, eager"}
    assert step["agrees"]["float32"] > 0.999  # the same work
    assert min(step["agrees"].values()) > 0.98


def test_alone_a_case_has_no_ratio(capsys):
    assert main([*SMALL, "--case", "step-tiny512-20"]) == 0
    header, row, _, *legend, small, machine = capsys.readouterr().out.splitlines()
    assert header.split() == ["case", "ours", "floor", "agrees", "wall", "s"]
    assert [line.split(":")[0] for line in legend] == ["floor", "agrees", "wall s"]
    assert "--small" in small
    assert row.startswith("full step, tiny 512, 20 objects")
    assert " / " not in row
    assert "Python" in machine


@pytest.mark.parametrize("name", ["correct", "open", "nano-20", "nano-click", "nano-whole-10"])
def test_other_cases_work(name, capsys):
    assert main([*SMALL, "--against", "transformers", "--case", name, "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["ours"] > 0
    assert (case["theirs"] is None) == name.startswith("nano")


def test_nano_follows_the_cells_of_its_cases():
    """Who is lost is searched, which takes as long as tracking: then the speed would be that of a search."""
    film = Cells(4, 20)
    with open_session(film, model="nano", device="cpu") as session:
        for cell in (0, 13):
            session.add_prompt(Prompt(0, cell + 1, box=film.box(cell)))
        *_, last = session.propagate()
    assert last.scores.min() > 0.8
    for cell in (0, 13):
        middle = film.centre(cell, last.frame_index)
        assert last.mask(cell + 1)[round(middle.y), round(middle.x)]
        assert last.mask(cell + 1).sum() == pytest.approx(np.pi * film.radius**2, rel=0.2)


def test_opening_a_film_makes_no_model_in_float32(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(Theirs, "of", lambda network, setting, device: made.append(setting.dtype))
    CASES["open"].prepare(Conditions(torch.device("cpu"), tmp_path, small=True, against=True))
    assert made == [torch.bfloat16, torch.bfloat16]


def test_what_makes_no_sense_is_said(capsys):
    for arguments in (["--case", "nonsense"], ["--rounds", "0"]):
        assert main(["bench", *arguments]) == 2
    assert "there are: step-tiny-1" in capsys.readouterr().err


def test_without_transformers_it_says_what_to_install(monkeypatch, capsys):
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main([*SMALL, "--against", "transformers", "--case", "click"]) == 1
    assert "pip install 'sam2-core[bench]'" in capsys.readouterr().err


def test_who_cannot_hear_of_progress_gets_the_figures_all_the_same(monkeypatch, capsys):
    class Deaf:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Deaf())
    assert main([*SMALL, "--case", "nano-click", "--case", "nano-whole-click", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 2


def test_sides_take_turns_and_the_median_counts(monkeypatch):
    clock, turns = iter(range(1000)), []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    sides = {"one": lambda: turns.append("one"), "two": lambda: turns.append("two")}
    found = measure.alternated(sides, 2)
    assert turns == ["one", "two", "two", "one", "one", "two"]  # the first round warms up
    assert found["one"].wall == 1


def test_the_best_of_their_settings_counts(monkeypatch, tmp_path):
    fixed = {"ours": 2.0, "float32": 9.0, "bfloat16": 6.0}
    found = {name: measure.Seconds(cpu, 1.0) for name, cpu in fixed.items()}
    monkeypatch.setattr(runs, "alternated", lambda sides, rounds, warm_up: dict(found))
    case = Case("x", "x", "", lambda conditions: Pair(int, {"float32": int, "bfloat16": int}))
    (outcome,) = runs.run([case], Conditions(torch.device("cpu"), tmp_path), 1)
    assert (outcome.theirs, outcome.setting, outcome.ratio) == (6.0, "bfloat16", 3.0)


def test_state_that_does_not_grow_has_no_ratio_and_a_speed_is_better_when_larger(tmp_path):
    conditions = Conditions(torch.device("cpu"), tmp_path)
    still = Case("x", "x", "bytes", lambda conditions: Counted(0.0, 5.0))
    fast = Case("y", "y", "frames/s", lambda conditions: Counted(6.0, 3.0))
    assert [outcome.ratio for outcome in runs.run([still, fast], conditions, 1)] == [None, 2.0]


def test_our_state_does_not_grow_and_theirs_does(capsys):
    assert main([*SMALL, "--against", "transformers", "--case", "growth", "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["ours"] < case["theirs"] / 10  # restart points come and go; over 300 frames they even out
    assert case["theirs"] > 10_000
    assert case["unit"] == "bytes"


def test_a_library_that_did_other_work_is_no_comparison(monkeypatch, capsys):
    monkeypatch.setattr(Theirs, "remember", lambda *given: None)  # its bank stays empty
    monkeypatch.setattr(Theirs, "step", lambda self, session, index: torch.randn(1, 1, 32, 32))
    assert main([*SMALL, "--against", "transformers", "--case", "step-tiny-1"]) == 1
    assert "step-tiny-1 says nothing" in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_measured(monkeypatch, capsys):
    def cases(*given: object):
        yield Outcome(CASES["growth"], "bytes", 0.0, None)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run", cases)
    assert main(["bench", "--json"]) == 130
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["name"] == "growth"


def test_operations_are_counted_in_float32_as_in_bfloat16(tmp_path, monkeypatch):
    """Torch's counter does not know its fused attention of the CPU."""
    found = []
    for bfloat16 in (True, False):
        monkeypatch.setattr(devices, "prefers_bfloat16", lambda device, chosen=bfloat16: chosen)
        pair = CASES["step-tiny-1"].prepare(Conditions(torch.device("cpu"), tmp_path, small=True))
        monkeypatch.setattr(runs, "flop_per_cpu_second", lambda dtype: 1.0)
        found.append(runs._floor(pair))
    assert found[1] == pytest.approx(found[0], rel=0.1)


def test_growth_is_found_where_something_is_kept_and_not_where_nothing_is():
    kept: list[torch.Tensor] = []

    def frames(keep: bool):
        for _ in range(9):
            if keep:
                kept.append(torch.zeros(2 * 500))
            yield

    assert growth.slope(9, frames(keep=False)) == 0
    assert growth.slope(9, frames(keep=True)) == pytest.approx(4 * 1000 / len(growth.STARTS))


def test_on_a_gpu_the_clock_counts(monkeypatch, tmp_path: Path):
    seconds = {"ours": measure.Seconds(9.0, 2.0), "float32": measure.Seconds(9.0, 6.0)}
    monkeypatch.setattr(runs, "alternated", lambda sides, rounds, warm_up: dict(seconds))
    case = Case("x", "x", "", lambda conditions: Pair(int, {"float32": int}))
    (outcome,) = runs.run([case], Conditions(torch.device("cuda"), tmp_path), 1)
    assert (outcome.ours, outcome.theirs, outcome.unit) == (2.0, 6.0, "s")
