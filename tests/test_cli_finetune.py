"""``sam2 finetune``: new weights from a user's annotated video, compared with the old ones."""

from __future__ import annotations

import json
import signal
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
    from sam2_core.training.annotated import AnnotatedData

    monkeypatch.setattr(AnnotatedData.__init__, "__defaults__", ((), 0.0))


def test_old_and_new_weights_are_compared_on_what_was_held_out(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["finetune", str(dataset), "--out", str(out), "--steps", "2", "--hold-out", "0.5"]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["held", "out", "prompt", "objects", "J&F", "before", "J&F", "after"]
    assert [line.split()[:3] for line in said[1:3]] == [["data", "mask", "2"], ["data", "1-click", "2"]]
    assert all(0 <= float(number) <= 100 for line in said[1:3] for number in line.split()[3:])
    assert said[-1] == f"use it with --model {out / 'nano.safetensors'}"
    tuned, nano = load_model(out / "nano.safetensors", "cpu"), load_model("nano", "cpu")
    assert tuned.identity != nano.identity
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 2]
    assert set(entries[2]["validation"]) == {"click", "clicks3", "box", "mask", "copy"}
    assert said[-2] == f"wrote {out / 'curves.png'}"
    with Image.open(out / "curves.png") as picture:
        assert picture.size == (1080, 480)
    assert main(arguments) == 0  # nothing is left to do
    assert load_model(out / "nano.safetensors", "cpu").identity == tuned.identity


def test_an_interrupted_run_goes_on_with_the_same_command(dataset, tmp_path, capsys, monkeypatch):
    from sam2_core.training import trainer

    monkeypatch.setattr(trainer, "_ASK_EVERY", 1)
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
    assert main(["finetune", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "is no data set" in capsys.readouterr().err


def test_in_a_thread_signals_stay_as_they_are():
    found = []

    def ask():
        with asked_to_stop() as asked:
            found.append(asked.is_set())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [False]
