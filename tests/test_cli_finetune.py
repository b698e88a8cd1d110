"""``sam2 finetune``: new weights from a user's annotated video, compared with the old ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from sam2_core import load_model
from sam2_core.cli import main
from sam2_core.cli.interrupts import asked_to_stop
from tests.annotated_for_tests import make_annotated


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_annotated(tmp_path / "data", 6)


@pytest.fixture(autouse=True)
def no_procedural_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds each; the trainer's tests have them."""
    from sam2_core.training.annotated_data import AnnotatedData, Views

    monkeypatch.setattr(AnnotatedData.__init__, "__defaults__", ((), 0.0, Views()))


def test_old_and_new_weights_are_compared_on_what_was_held_out(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["finetune", str(dataset), "--out", str(out), "--steps", "2", "--hold-out", "0.5"]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    weights, curves = (out / name for name in ("nano.safetensors", "curves.png"))
    assert said[:4] == [f"wrote {weights}", f"wrote {curves}", f"use it with --model {weights}", ""]
    assert said[4].split() == ["held", "out", "prompt", "objects", "J&F", "before", "J&F", "after"]
    assert [line.split()[:3] for line in said[5:]] == [["data", "mask", "2"], ["data", "1-click", "2"]]
    assert all(0 <= float(number) <= 100 for line in said[5:] for number in line.split()[3:])
    tuned, nano = load_model(out / "nano.safetensors", "cpu"), load_model("nano", "cpu")
    assert tuned.identity != nano.identity
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 2]
    assert set(entries[2]["validation"]) == {"click", "clicks3", "box", "mask", "copy"}
    assert not (out / "clips").exists()
    with Image.open(out / "curves.png") as picture:
        assert picture.size == (1080, 480)
    assert main(arguments) == 0  # nothing is left to do
    assert load_model(out / "nano.safetensors", "cpu").identity == tuned.identity


def test_an_interrupted_run_goes_on_with_the_same_command(dataset, tmp_path, capsys, monkeypatch):
    from sam2_core.training import trainer

    out = tmp_path / "run"
    arguments = ["finetune", str(dataset), "--out", str(out), "--steps", "3", "--hold-out", "0"]
    before = signal.getsignal(signal.SIGINT)
    step = trainer.Trainer._train_step

    def interrupted(self, *place):
        progress = step(self, *place)
        if progress.step == 1:
            signal.raise_signal(signal.SIGINT)
        return progress

    monkeypatch.setattr(trainer.Trainer, "_train_step", interrupted)
    assert main(arguments) == 130
    assert "stopped after step 1 of 3; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert main(arguments) == 0
    assert "nothing was held out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hold-out", "1"], "a share is a number from 0 to below 1"),
        (["--hold-out", "nan"], "a share is a number from 0 to below 1"),
        (["--steps", "0"], "steps are a whole number from 1 on"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(dataset, tmp_path, capsys, arguments, said):
    with pytest.raises(SystemExit) as refused:
        main(["finetune", str(dataset), "--out", str(tmp_path / "run"), *arguments])
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--model", "copy"], 2, "copy has no weights to train; give a SAM 2 model"),
        (["--hold-out", "0.9"], 1, "annotate two frames or more, or hold out fewer"),
    ],
)
def test_what_cannot_be_trained_is_said(dataset, tmp_path, capsys, arguments, status, said):
    assert main(["finetune", str(dataset), "--out", str(tmp_path / "run"), *arguments]) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_data_set_is_said(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["finetune", str(tmp_path / "empty"), "--out", str(tmp_path / "run")]) == 1
    assert "is no data set" in capsys.readouterr().err


def test_a_second_ctrl_c_stops_at_once(capsys, monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), asked_to_stop() as asked:  # noqa: PT012  # the place matters
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        assert "Ctrl-C again stops at once" in capsys.readouterr().err
        signal.raise_signal(signal.SIGTERM)  # no answer to this one
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGINT) is before


def test_what_torchrun_sends_once_more_disturbs_nothing(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with asked_to_stop() as asked:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
    assert capsys.readouterr().err == ""


def test_in_a_thread_signals_stay_as_they_are():
    found = []

    def ask():
        with asked_to_stop() as asked:
            found.append(asked.is_set())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_folder_of_something_else_is_refused(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "nano.safetensors").write_text("mine")
    assert main(["finetune", str(dataset), "--out", str(out)]) == 2
    assert "holds files, and no run to go on with" in capsys.readouterr().err
    assert main(["finetune", str(dataset), "--out", str(out), "--model", "nano"]) == 2
    assert "holds files, and no run to go on with" in capsys.readouterr().err
    assert (out / "nano.safetensors").read_text() == "mine"
    assert main(["finetune", str(dataset), "--out", str(dataset / "run")]) == 2
    assert "lies in the data set" in capsys.readouterr().err
    assert not (dataset / "run").exists()


def test_a_second_round_needs_another_folder(dataset, tmp_path, capsys):
    arguments = ["finetune", str(dataset), "--hold-out", "0", "--steps", "1"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*arguments, "--out", str(first)]) == 0
    weights = first / "nano.safetensors"
    kept = weights.read_bytes()
    assert main([*arguments, "--out", str(first), "--model", str(weights)]) == 2
    assert "holds the model to start from; give another folder" in capsys.readouterr().err
    assert main([*arguments, "--out", str(second), "--model", str(weights)]) == 0
    assert main([*arguments, "--out", str(second)]) == 1
    assert "holds a run with other starting weights; give another folder" in capsys.readouterr().err
    assert weights.read_bytes() == kept


def test_the_present_folder_is_no_model_to_start_from(dataset, tmp_path, monkeypatch):
    """A model's name is no file there."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    arguments = ["finetune", str(dataset), "--out", ".", "--model", "nano", "--steps", "1", "--hold-out", "0"]
    assert main(arguments) == 0
    assert (tmp_path / "run" / "nano.safetensors").is_file()


def test_a_run_that_was_killed_before_its_first_step_goes_on(dataset, tmp_path, monkeypatch):
    from sam2_core.training import trainer

    def killed(self, *place):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    arguments = ["finetune", str(dataset), "--out", str(out), "--steps", "1", "--hold-out", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_train_step", killed)
        assert main(arguments) == 130
    assert not (out / "nano.safetensors").exists()
    (out / ".checkpoint.pt.1.00000000.part").write_bytes(b"half")
    assert main(arguments) == 0
    assert (out / "nano.safetensors").is_file()
    assert not list(out.glob(".*.part"))


def test_curves_go_to_tensorboard_too(dataset, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    arguments = ["finetune", str(dataset), "--out", str(out), "--steps", "2", "--tensorboard"]
    assert main([*arguments, "--hold-out", "0.4"]) == 0
    assert "2 held-out frames are too few to compare weights on" in capsys.readouterr().err
    events = EventAccumulator(str(out / "events"))
    events.Reload()
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = [(event.step, event.value) for event in events.Scalars("training/loss")]
    assert found == [(entry["step"], pytest.approx(entry["loss"])) for entry in entries if "loss" in entry]
    (held_out,) = events.Scalars("held out/mask")
    assert held_out.value == pytest.approx(entries[-1]["validation"]["mask"])


def test_without_tensorboard_one_line_says_what_to_install(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    out = tmp_path / "run"
    assert main(["finetune", str(dataset), "--out", str(out), "--steps", "1", "--tensorboard"]) == 1
    assert capsys.readouterr().err == (
        "sam2: TensorBoard's curves need its package; install it with: pip install 'sam2-core[train]'\n"
    )


def test_two_processes_finetune_one_network(dataset, tmp_path):
    """Under torchrun; the weights are written once, and one table is printed."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "sam2_core.cli", "finetune", str(dataset), "--out", str(out), "--steps", "1"]
    command += ["--hold-out", "0.5"]
    result = subprocess.run(
        [*command, "--device", "cpu"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("J&F before") == 1
    assert result.stdout.count(f"wrote {out / 'nano.safetensors'}") == 1
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(entry["step"], "validation" in entry) for entry in entries] == [(1, False), (1, True)]
    assert load_model(out / "nano.safetensors", "cpu").identity != load_model("nano", "cpu").identity
