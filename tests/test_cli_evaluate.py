"""``sam2 eval``: a table, a JSON file, a plot; the trivial trackers beside the model."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2_core.cli import main

SIZE, FRAMES = (40, 56), 6


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One sequence in the layout of DAVIS 2016: a bright square that moves."""
    root = tmp_path / "davis"
    for folder in ("JPEGImages/480p/square", "Annotations/480p/square"):
        (root / folder).mkdir(parents=True)
    for t in range(FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[12:26, 6 + 2 * t : 20 + 2 * t] = 255
        noise = np.random.default_rng(0).integers(0, 60, (*SIZE, 1), np.uint8)
        image = np.repeat(np.where(mask[..., None] > 0, 190, noise).astype(np.uint8), 3, axis=2)
        Image.fromarray(image).save(root / "JPEGImages/480p/square" / f"{t:05d}.jpg", quality=95)
        Image.fromarray(mask).save(root / "Annotations/480p/square" / f"{t:05d}.png")
    return root


def test_the_table_has_the_baselines_beside_the_model(dataset, tmp_path, capsys):
    assert main(["eval", str(dataset), "--model", "flow", "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    header, row, mean = (line.split() for line in said.splitlines()[:3])
    assert header.count("copy") == 3
    assert header.count("flow") == 6
    assert row[:2] == ["square", "1"]
    assert mean[0] == "mean"
    assert row[2:] == mean[2:]
    assert "protocol vos, 6 frames" in said


def test_the_json_file_has_the_form_of_the_contract(dataset, tmp_path):
    out = tmp_path / "out.json"
    assert main(["eval", str(dataset), "--model", "copy", "--prompt", "box", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert {document[key] for key in ("model", "protocol", "prompt")} == {"copy", "vos", "box"}
    of_object = document["sequences"]["square"]["objects"]["1"]
    for numbers in (of_object, document["sequences"]["square"], document["mean"]):
        assert {"J", "F", "J&F"} <= set(numbers)
        assert numbers["J&F"] == pytest.approx((numbers["J"] + numbers["F"]) / 2, abs=1e-4)
    assert document["seconds"] > 0
    assert document["frames"] == FRAMES
    assert set(document["baselines"]) == {"copy", "flow"}
    assert document["baselines"]["copy"]["mean"] == document["mean"]
    assert document["baselines"]["flow"]["mean"]["J"] > document["mean"]["J"]


@pytest.mark.parametrize("protocol", ["offline", "online"])
def test_a_plot_of_an_interactive_protocol(protocol, dataset, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "plot.png"
    arguments = ["--protocol", protocol, "--model", "copy", "--no-baselines"]
    assert main(["eval", str(dataset), *arguments, "--json", str(out), "--plot", str(plot)]) == 0
    document = json.loads(out.read_text())
    assert document["baselines"] == {}
    assert [point["frames"] for point in document["curve"]] == list(range(1, 9))
    assert {"seconds", "J", "F", "J&F"} <= set(document["curve"][0])
    with Image.open(plot) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_several_data_sets_and_the_image_task(dataset, capsys):
    other = dataset.rename(dataset.with_name("other"))
    shutil.copytree(other, dataset)
    arguments = ["--protocol", "image", "--model", "copy", "--no-baselines"]
    assert main(["eval", str(dataset), str(other), *arguments]) == 0
    said = capsys.readouterr().out
    assert "copy mIoU@1" in said
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["davis/square", "other/square", "mean"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["."], 1, "is no data set"),
        (["DATASET", "--plot", "a.png"], 2, "--plot shows the curves of --protocol offline and online"),
        (["DATASET", "--json", "no/such/out.json"], 2, "there is no folder"),
        (["DATASET", "DATASET"], 2, "two sequences are called 'davis/square'"),
        (["DATASET", "--model", "nobody"], 2, "no model is called 'nobody'"),
        (["DATASET", "--no-baselines", "--model", "copy", "--json", "/dev/full"], 1, "cannot write"),
    ],
)
def test_mistakes_are_one_line(arguments, status, message, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [str(dataset) if argument == "DATASET" else argument for argument in arguments]
    assert main(["eval", *given]) == status
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


def test_a_baseline_that_cannot_run_is_left_out_and_said(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert main(["eval", str(dataset), "--model", "copy", "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("sam2: left out: the model 'flow' needs OpenCV")
    assert set(json.loads((tmp_path / "out.json").read_text())["baselines"]) == {"copy"}
