"""The command that trains nano."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from sam2_core import load_model
from sam2_core.cli import commands, main, train
from sam2_core.models import checkpoints
from sam2_core.training.events import Events
from sam2_core.training.plan import Plan, nano_plan
from sam2_core.training.schedule import NANO_STAGES
from sam2_core.training.trainer import Trainer
from sam2_core.training.warm_up_stages import DecoderWarmUp
from tests.training_for_tests import tiny_plan


def options(*arguments):
    return commands._parser().parse_args(["train", *arguments])


def test_the_defaults_are_the_recommended_plan():
    assert train.plan(options("--out", "runs/nano")) == nano_plan()


def test_each_option_sets_the_steps_of_its_stage():
    arguments = ["--out", "x", "--seed", "4", "--burn-in", "3"]
    for number, name in enumerate(NANO_STAGES, 1):
        arguments += [f"--{name}", str(number)]
    plan = train.plan(options(*arguments))
    assert [stage.steps for stage in plan.stages] == [1, 2, 3, 4, 5, 6, 7]
    assert plan.seed == 4
    assert plan.stages[-1].burn_in == 3
    assert [stage.burn_in for stage in plan.stages[4:6]] == [0, 0]


def test_with_weights_to_start_from_only_the_last_stage_is_left():
    plan = train.plan(options("--out", "x", "--weights", "nano", "--image-segmentation", "7"))
    assert [stage.steps for stage in plan.stages] == [0, 0, 0, 7, 0, 0, NANO_STAGES["long-tracking"].steps]


def test_a_run_begins_with_the_weights_that_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "plan", lambda arguments: Plan(stages=(DecoderWarmUp(1, objects=2),)))
    assert main(["train", "--out", str(tmp_path), "--weights", "nano", "--validate-every", "0"]) == 0
    start = load_model("nano", "cpu").network.state_dict()
    (first,) = [name for name in start if name.endswith("pe_layer.positional_encoding_gaussian_matrix")]
    trained = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    assert torch.equal(trained[first], start[first])  # random in a fresh network, and never trained


def test_weights_of_another_network_are_refused(tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path), "--weights", "copy"]) == 2
    assert "--weights copy is no nano; 'sam2 finetune' trains other models" in capsys.readouterr().err


def test_a_run_leaves_a_log_validations_and_weights(tmp_path, monkeypatch, capsys):
    plan = tiny_plan(stages=(DecoderWarmUp(41, objects=2),))
    monkeypatch.setattr(train, "plan", lambda arguments: plan)
    assert main(["train", "--out", str(tmp_path), "--validate-every", "30", "--validation-clips", "1"]) == 0
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [20, 30, 40]
    assert set(entries[1]["validation"]) == {"click", "clicks3", "box", "mask", "copy"}
    assert {"stage", "seconds", "loss", "rate", "norm"} <= set(entries[0])
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 41
    assert (tmp_path / "test.safetensors").exists()
    said = capsys.readouterr()
    assert said.err == f"sam2: progress is in {tmp_path / 'log.jsonl'}\n"
    assert said.out.splitlines()[0] == f"wrote {tmp_path / 'test.safetensors'}"
    assert said.out.splitlines()[-1] == "after step 41"
    assert (tmp_path / "curves.png").exists()


@pytest.mark.filterwarnings("default:.*made with other seed")
def test_a_run_that_goes_on_with_another_seed_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    stages = (DecoderWarmUp(1, objects=2),)
    Trainer(tiny_plan(stages=stages), tmp_path).save()
    monkeypatch.setattr(train, "plan", lambda arguments: tiny_plan(stages=stages, seed=2))
    assert main(["train", "--out", str(tmp_path), "--validate-every", "0"]) == 0
    line, _ = capsys.readouterr().err.splitlines()
    assert "with other seed; the run goes on at step 0" in line


def test_a_run_that_goes_on_forgets_what_tensorboard_had_of_later_steps(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for step, values in ((0, (1.0, 2.0, 3.0)), (2, (4.0,))):
        events = Events(tmp_path, step)
        for number, loss in enumerate(values, step + 1):
            events.write({"step": number, "loss": loss, "stage": "a name", "lost": float("nan")})
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("training/loss")] == [(1, 1), (2, 2), (3, 4)]
    assert set(found.Tags()["scalars"]) == {"training/loss", "training/lost"}


class _NotFinite(DecoderWarmUp):
    def training_step(self, *arguments):
        result = super().training_step(*arguments)
        return replace(result, loss=result.loss * float("nan"))


def test_steps_without_a_finite_gradient_are_counted_and_change_no_weight(tmp_path, monkeypatch):
    stages = (DecoderWarmUp(19, objects=2), _NotFinite(2, objects=2), DecoderWarmUp(19, objects=2))
    monkeypatch.setattr(train, "plan", lambda arguments: tiny_plan(stages=stages))
    assert main(["train", "--out", str(tmp_path), "--validate-every", "0"]) == 0

    def refused(constant):
        raise AssertionError(f"{constant} is not JSON")

    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    entries = [json.loads(line, parse_constant=refused) for line in lines]
    assert [entry["skipped"] for entry in entries] == [1, 2]
    assert [entry["norm"] for entry in entries] == [None, None]
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["skipped"] == 2
    assert all(bool(value.isfinite().all()) for value in state["network"].values())


class _CtrlC(DecoderWarmUp):
    def training_step(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return super().training_step(*arguments)


def test_ctrl_c_saves_and_stops(tmp_path, monkeypatch, capsys):
    stages = (DecoderWarmUp(5, objects=2), _CtrlC(1, objects=2), DecoderWarmUp(94, objects=2))
    monkeypatch.setattr(train, "plan", lambda arguments: tiny_plan(stages=stages))
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", "--out", str(tmp_path), "--validate-every", "0"]) == 130
    assert "stopped after step 6; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6


def test_the_weights_of_a_run_are_a_model(tmp_path):
    Trainer(Plan(), tmp_path).save()
    assert checkpoints.load(tmp_path / "nano.safetensors").config.name == "nano"
