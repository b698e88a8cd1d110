"""``sam2 bench`` in small sizes: that it works and says what it did; no figure of time is looked at."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
import torch

from sam2_core.bench import counts, measure, runs
from sam2_core.bench.cases import Case, Figures, Pair, Setting
from sam2_core.bench.runs import CASES
from sam2_core.cli import main

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
        assert case["theirs_setting"] in ("float32", "bfloat16")
        assert case["ours_wall_s"] > 0
    assert step["floor"] > 0
    assert step["ours_agrees"] > 0.9
    assert step["theirs_agrees"] > 0.9


def test_alone_a_case_has_no_ratio(capsys):
    assert main([*SMALL, "--case", "step-tiny512-20"]) == 0
    header, row, _, machine = capsys.readouterr().out.splitlines()
    assert header.split() == ["case", "ours", "theirs", "setting", "ratio", "floor", "agrees"]
    assert row.startswith("full step, tiny 512, 20 objects")
    assert "x " not in row[30:]
    assert "Python" in machine


@pytest.mark.parametrize("name", ["correct", "open", "nano-20"])
def test_other_cases_work(name, capsys):
    assert main([*SMALL, "--against", "transformers", "--case", name, "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    assert case["ours"] > 0
    assert (case["theirs"] is None) == (name == "nano-20")


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


def test_sides_take_turns_and_the_median_counts(monkeypatch):
    clock, turns = iter(range(1000)), []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))
    sides = {"one": lambda: turns.append("one"), "two": lambda: turns.append("two")}
    found = measure.alternated(sides, 2)
    assert turns == ["one", "two"] * 3  # the first round warms up
    assert found["one"].wall == 1


def test_the_best_of_their_settings_counts(monkeypatch, tmp_path):
    fixed = {"ours": 2.0, "float32": 9.0, "bfloat16": 6.0}
    monkeypatch.setattr(
        runs, "alternated", lambda sides, rounds: {name: measure.Seconds(fixed[name], 1.0) for name in sides}
    )
    case = Case("x", "x", "", lambda setting: Pair(int, {"float32": int, "bfloat16": int}))
    (outcome,) = runs.run([case], Setting(torch.device("cpu"), tmp_path), 1)
    assert (outcome.theirs, outcome.setting, outcome.ratio) == (6.0, "bfloat16", 3.0)


def test_state_that_does_not_grow_has_no_ratio_and_a_speed_is_better_when_larger(tmp_path):
    setting = Setting(torch.device("cpu"), tmp_path)
    still = Case("x", "x", "bytes", lambda setting: Figures(0.0, 5.0))
    fast = Case("y", "y", "frames/s", lambda setting: Figures(6.0, 3.0))
    assert [outcome.ratio for outcome in runs.run([still, fast], setting, 1)] == [None, 2.0]


def test_growth_is_found_where_something_is_kept_and_not_where_nothing_is():
    kept: list[torch.Tensor] = []

    def frames(keep: bool):
        for _ in range(9):
            if keep:
                kept.append(torch.zeros(2 * 500))
            yield

    assert counts._slope(9, frames(keep=False)) == 0
    assert counts._slope(9, frames(keep=True)) == pytest.approx(4 * 1000 / counts._OBJECTS)


def test_on_a_gpu_the_clock_counts(monkeypatch, tmp_path: Path):
    seconds = {"ours": measure.Seconds(9.0, 2.0), "float32": measure.Seconds(9.0, 6.0)}
    monkeypatch.setattr(runs, "alternated", lambda sides, rounds: dict(seconds))
    case = Case("x", "x", "", lambda setting: Pair(int, {"float32": int}))
    (outcome,) = runs.run([case], Setting(torch.device("cuda"), tmp_path), 1)
    assert (outcome.ours, outcome.theirs, outcome.unit) == (2.0, 6.0, "s")
