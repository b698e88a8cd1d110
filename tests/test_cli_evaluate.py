"""``sam2 eval``: a table, a JSON file, a plot; the trivial trackers beside the model."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from sam2_core.cli import common, evaluate, evaluate_work, main
from sam2_core.errors import ExportError
from sam2_core.evaluation.runs import PROTOCOLS, Protocol
from tests.square_for_tests import FRAMES, SIZE, make_square


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_square(tmp_path / "davis")


def test_the_table_has_the_baselines_beside_the_model(dataset, tmp_path, capsys):
    assert main(["eval", str(dataset), "--model", "flow", "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out
    header, *rows = (line.split() for line in said.splitlines()[:5])
    assert header == ["sequence", "objects", "model", "J", "F", "J&F", "frames/s"]
    assert [row[:3] for row in rows] == [
        [name, "1", model] for name in ("square", "mean") for model in ("flow", "copy")
    ]  # the model itself is no baseline
    assert [row[3:] for row in rows[:2]] == [row[3:] for row in rows[2:]]
    assert float(rows[0][3]) > float(rows[1][3])
    assert all(float(row[6]) > 0 for row in rows)
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
    assert document["complete"] is True
    assert "failed" not in document
    assert set(document["baselines"]) == {"flow"}
    assert document["baselines"]["flow"]["mean"]["J"] > document["mean"]["J"]
    speeds = [
        of["frames/s"] for of in (document, document["sequences"]["square"], document["baselines"]["flow"])
    ]
    assert min(speeds) > 0


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
    header = said.splitlines()[0].split()
    assert header == ["sequence", "objects", "model", "mIoU@1", "mIoU@3", "mIoU@5"]
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["davis/square", "other/square", "mean"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["."], 1, "is no data set"),
        (["DATASET", "--plot", "a.png"], 2, "--plot shows the curves of --protocol offline and online"),
        (["DATASET", "--json", "no/such/out.json"], 2, "there is no folder"),
        (["DATASET", "DATASET"], 2, "is given twice; give each data set once"),
        (["DATASET", "--model", "nobody"], 2, "no model is called 'nobody'"),
        (["DATASET", "--no-baselines", "--model", "copy", "--json", "/dev/full"], 2, "cannot write"),
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
    assert set(json.loads((tmp_path / "out.json").read_text())["baselines"]) == set()


def add_sequence(dataset: Path, name: str, *, broken: bool = False, empty: bool = False) -> None:
    for folder in ("JPEGImages/480p", "Annotations/480p"):
        shutil.copytree(dataset / folder / "square", dataset / folder / name)
    for path in (dataset / "Annotations/480p" / name).iterdir():
        if broken:
            path.write_bytes(b"\x89PNG nothing")
        elif empty:
            Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)


def add_ctc(folder: Path, frames: int) -> Path:
    (folder / "01").mkdir(parents=True)
    (folder / "01_GT/TRA").mkdir(parents=True)
    for t in range(frames):
        Image.fromarray(np.full(SIZE, 20 * t, np.uint8)).save(folder / "01" / f"t{t:03d}.tif")
    for t in (0, frames):
        labels = np.zeros(SIZE, np.uint16)
        labels[4:9, 4:9] = 7
        Image.fromarray(labels).save(folder / "01_GT/TRA" / f"man_track{t:03d}.tif")
    return folder


COPY = ["--model", "copy", "--no-baselines"]


def test_an_annotation_beyond_the_video_names_the_sequence_and_both_counts(tmp_path, capsys):
    folder = add_ctc(tmp_path / "ctc", 3)
    assert main(["eval", str(folder), *COPY]) == 1
    said = capsys.readouterr()
    assert said.err == (
        "sam2: sequence '01': its annotations need 4 frames, and its video has 3; "
        "give frames and annotations of one video\n"
    )


def test_a_bad_sequence_does_not_throw_away_the_others(dataset, tmp_path, capsys):
    add_sequence(dataset, "broken", broken=True)
    out = tmp_path / "out.json"
    assert main(["eval", str(dataset), *COPY, "--json", str(out)]) == 1
    said, document = capsys.readouterr(), json.loads(out.read_text())
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["square", "mean"]
    (line,) = said.err.splitlines()
    assert line.startswith("sam2: sequence 'broken': cannot read")
    assert set(document["sequences"]) == {"square"}
    assert set(document["failed"]) == {"broken"}
    assert document["complete"] is True
    assert document["frames"] == FRAMES


def test_a_folder_that_is_no_data_set_does_not_keep_the_others_from_being_measured(dataset, tmp_path, capsys):
    (tmp_path / "unknown").mkdir()
    broken = add_ctc(tmp_path / "broken", 3)
    out = tmp_path / "out.json"
    places = [tmp_path / "unknown", broken, dataset, tmp_path / "nowhere"]
    assert main(["eval", *map(str, places), *COPY, "--json", str(out)]) == 1
    said, document = capsys.readouterr(), json.loads(out.read_text())
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["davis/square", "mean"]
    lines = said.err.splitlines()
    assert [line.split()[1] for line in lines] == [f"'{places[0]}'", f"'{places[3]}'", "sequence"]
    assert all("is no data set" in line for line in lines[:2])
    assert set(document["sequences"]) == {"davis/square"}
    assert set(document["failed"]) == {str(places[0]), str(places[3]), "broken/01"}


def test_folders_that_are_no_data_sets_are_all_said_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate.plugins, "load_model", None)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    out = tmp_path / "out.json"
    assert main(["eval", str(tmp_path / "a"), str(tmp_path / "b"), "--json", str(out)]) == 1
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == [
        f"'{tmp_path / name}'" for name in ("a", "b")
    ]
    assert not out.exists()


@pytest.mark.parametrize(
    ("rule", "columns"), [("lvos", ["V"]), ("mosev2", ["J&F-gone", "J&F-back"]), ("davis", []), ("sav", [])]
)
def test_rules_have_the_columns_of_their_data_sets(rule, columns, dataset, tmp_path, capsys):
    for t in (2, 3):  # gone, and back again
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(dataset / f"Annotations/480p/square/{t:05d}.png")
    out = tmp_path / "out.json"
    assert main(["eval", str(dataset), *COPY, "--count", rule, "--json", str(out)]) == 0
    header, row = (line.split() for line in capsys.readouterr().out.splitlines()[:2])
    assert header[3:] == ["J", "F", "J&F", *columns, "frames/s"]
    assert "-" not in row
    of_object = json.loads(out.read_text())["sequences"]["square"]["objects"]["1"]
    assert [name for name in of_object if name in ("V", "J&F-gone", "J&F-back")] == columns


def test_progress_inside_a_sequence_is_shown_on_a_terminal(dataset, capsys, monkeypatch):
    monkeypatch.setattr(common, "on_terminal", lambda: True)
    monkeypatch.setattr(evaluate_work, "tqdm", partial(tqdm, mininterval=0))  # show every step
    assert main(["eval", str(dataset), *COPY]) == 0
    said = capsys.readouterr().err
    assert "square, copy: prompting" in said
    for what, total in (("tracking", FRAMES), ("scoring", FRAMES - 2)):
        shown = [part for part in said.split("\r") if part.startswith(f"square, copy: {what}")]
        assert [f"{count}/{total}" in part for count, part in enumerate(shown)] == [True] * (total + 1)
    monkeypatch.setattr(common, "on_terminal", lambda: False)
    assert main(["eval", str(dataset), *COPY]) == 0
    assert capsys.readouterr().err == ""


def failing(error: type[BaseException], at: int) -> tuple[Protocol, list[int]]:
    """The protocol ``vos``, which fails at one of its calls."""
    calls: list[int] = []

    def run(*arguments):
        calls.append(len(calls))
        if calls[-1] == at:
            raise error("here")
        return PROTOCOLS["vos"].run(*arguments)

    return replace(PROTOCOLS["vos"], run=run), calls


def test_an_interrupt_keeps_what_is_finished(dataset, tmp_path, capsys, monkeypatch):
    add_sequence(dataset, "third")
    add_sequence(dataset, "another")
    protocol, calls = failing(KeyboardInterrupt, 1)
    monkeypatch.setattr(evaluate, "PROTOCOLS", {"vos": protocol})
    out = tmp_path / "out.json"
    assert main(["eval", str(dataset), *COPY, "--json", str(out)]) == 130
    said, document = capsys.readouterr(), json.loads(out.read_text())
    assert len(calls) == 2
    assert said.err == "sam2: interrupted\n"
    assert [line.split()[0] for line in said.out.splitlines()[1:3]] == ["another", "mean"]
    assert document["complete"] is False
    assert set(document["sequences"]) == {"another"}


def test_an_interrupt_before_anything_is_finished_replaces_nothing(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "PROTOCOLS", {"vos": failing(KeyboardInterrupt, 0)[0]})
    out = tmp_path / "out.json"
    out.write_text("earlier")
    assert main(["eval", str(dataset), *COPY, "--json", str(out)]) == 130
    assert capsys.readouterr() == ("", "sam2: interrupted\n")
    assert out.read_text() == "earlier"


def test_a_baseline_that_fails_leaves_the_numbers_of_the_model(dataset, capsys, monkeypatch):
    """Calls 0 and 1 are both models on the first sequence."""
    add_sequence(dataset, "a")
    monkeypatch.setattr(evaluate, "PROTOCOLS", {"vos": failing(ValueError, 1)[0]})
    assert main(["eval", str(dataset), "--model", "flow"]) == 1
    said = capsys.readouterr()
    rows = {tuple(line.split()[::2][:2]): line.split()[3:] for line in said.out.splitlines()[1:7]}
    assert rows["a", "copy"] == rows["mean", "copy"] == ["-", "-", "-", "-"]
    for name in (("a", "flow"), ("mean", "flow"), ("square", "flow"), ("square", "copy")):
        assert "-" not in rows[name]
    assert said.err.startswith("sam2: sequence 'a': ValueError: here")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_sequence_without_objects_has_none(protocol, dataset, tmp_path, capsys):
    add_sequence(dataset, "empty", empty=True)
    out, arguments = tmp_path / "out.json", ["--protocol", protocol, *COPY]
    assert main(["eval", str(dataset), *arguments, "--json", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert [row[:2] for row in rows] == [["empty", "0"], ["square", "1"], ["mean", "1"]]
    assert set(rows[0][3:]) == {"-"}
    assert json.loads(out.read_text())["sequences"]["empty"] == {"objects": {}}


@pytest.mark.parametrize("protocol", ["offline", "online"])
def test_nothing_but_empty_sequences_can_be_written_and_plotted(protocol, dataset, tmp_path):
    for path in (dataset / "Annotations/480p/square").iterdir():
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)
    targets = ["--json", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.png")]
    assert main(["eval", str(dataset), "--protocol", protocol, *COPY, *targets]) == 0
    assert (tmp_path / "out.png").is_file()


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize(
    "target", ["new.png", "Annotations/480p/square/00000.png", "../link.png", "away/a.png"]
)
def test_targets_in_the_data_set_are_refused_before_the_work(
    option, target, dataset, tmp_path, capsys, monkeypatch
):
    (tmp_path / "link.png").symlink_to(dataset / "Annotations/480p/square/00000.png")
    (tmp_path / "elsewhere").mkdir()
    (dataset / "away").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(evaluate.plugins, "load_model", None)  # no work
    before = (dataset / "Annotations/480p/square/00000.png").read_bytes()
    for file in (dataset / target, tmp_path / "elsewhere/a.png" if "away" in target else dataset / target):
        assert main(["eval", str(dataset), "--protocol", "offline", *COPY, option, str(file)]) == 2
        assert "lies in the data set" in capsys.readouterr().err
    assert (dataset / "Annotations/480p/square/00000.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "a.xyz"], "no plot can be a .xyz file; give one of:"),
        (["--json", "."], "a folder is there"),
        (["--json", "a" * 250], "cannot write"),
        (["--json", "a.png", "--plot", "a.png"], "are the same file"),
    ],
)
def test_targets_are_tried_before_the_work(arguments, message, dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate.plugins, "load_model", None)
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["eval", str(dataset), "--protocol", "offline", *COPY, *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_json_that_fails_does_not_keep_the_plot_from_being_written(dataset, tmp_path, capsys, monkeypatch):
    def fails(path, document):
        raise ExportError("the disk is full")

    monkeypatch.setattr(evaluate, "write_json", fails)
    out, plot = tmp_path / "out.json", tmp_path / "out.png"
    arguments = ["--protocol", "online", *COPY, "--json", str(out), "--plot", str(plot)]
    assert main(["eval", str(dataset), *arguments]) == 1
    said = capsys.readouterr()
    assert said.err == "sam2: the disk is full\n"
    assert said.out.splitlines()[-1] == f"wrote {plot}"
    assert plot.is_file()


def test_what_rounding_crops_away_is_not_seen(tmp_path, capsys):
    """Annotations 66 wide, frames 64: object 2 lies in the last column."""
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for t in range(4):
        labels = np.zeros((40, 66), np.uint8)
        labels[5:15, 5:15], labels[20:30, 65] = 1, 2
        Image.fromarray(labels).save(tmp_path / "data/masks" / f"{t}.png")
        Image.fromarray(np.full((40, 64), 50, np.uint8)).save(tmp_path / "data/images" / f"{t}.png")
    assert main(["eval", str(tmp_path / "data"), "--prompt", "box", *COPY]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["data", "1"]


def test_a_table_of_nothing_says_so(dataset, capsys):
    for path in (dataset / "Annotations/480p/square").iterdir():
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)
    assert main(["eval", str(dataset), *COPY]) == 0
    assert "nothing was measured: no object has an annotated frame that counts" in capsys.readouterr().err
