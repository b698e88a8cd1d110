"""``sam2 eval`` of cells and of results of YouTube-VIS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2_core.cli import main
from sam2_core.evaluation import cell_tracking
from sam2_core.masks import encode, to_coco
from tests.square_for_tests import FRAMES, SIZE, make_square

COPY = ["--model", "copy", "--no-baselines"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_square(tmp_path / "davis")


def add_cells(folder: Path, *, outlines: bool = True) -> Path:
    """Two cells of which one moves, on six frames, as the Cell Tracking Challenge has it."""
    for name in ("01", "01_GT/TRA", *(["01_GT/SEG"] if outlines else [])):
        (folder / name).mkdir(parents=True)
    for t in range(FRAMES):
        labels = np.zeros(SIZE, np.uint16)
        labels[4:14, 4:14], labels[20:30, 10 + 4 * t : 20 + 4 * t] = 1, 2
        Image.fromarray((labels > 0).astype(np.uint8) * 150).save(folder / "01" / f"t{t:03d}.tif")
        Image.fromarray(labels).save(folder / "01_GT/TRA" / f"man_track{t:03d}.tif")
        if outlines and t in (0, 5):
            Image.fromarray(labels).save(folder / "01_GT/SEG" / f"man_seg{t:03d}.tif")
    (folder / "01_GT/TRA/man_track.txt").write_text("1 0 5 0\n2 0 5 0\n")
    return folder


def test_cells_have_the_measures_of_the_challenge_beside_j_and_f(dataset, tmp_path, capsys):
    """The copy loses the cell that moves 4 of 10 pixels a frame from frame 2 on: nodes 8 of 12."""
    cells, out = add_cells(tmp_path / "cells"), tmp_path / "out.json"
    assert main(["eval", str(cells), str(dataset), *COPY, "--json", str(out)]) == 0
    header, row, square, mean = (line.split() for line in capsys.readouterr().out.splitlines()[:4])
    assert header[3:] == ["J", "F", "J&F", "SEG", "DET", "TRA", "LNK", "frames/s"]
    document = json.loads(out.read_text())
    of = document["sequences"]["cells/01"]
    assert of["SEG"] == 0.75  # of four outlines, three
    assert of["DET"] == pytest.approx(1 - (4 * 10 + 4) / 120, abs=1e-5)
    assert of["LNK"] == pytest.approx(1 - 4 * 1.5 / 15, abs=1e-5)
    assert row[6:10] == [f"{100 * of[name]:.1f}" for name in ("SEG", "DET", "TRA", "LNK")] == mean[6:10]
    assert square[6:10] == ["-"] * 4
    assert {name: document["mean"][name] for name in ("SEG", "TRA")} == {
        name: of[name] for name in ("SEG", "TRA")
    }
    assert "SEG" not in document["sequences"]["davis/square"]


def test_cells_that_come_later_count_even_if_only_those_of_the_first_frame_are_tracked(tmp_path, capsys):
    cells, out = add_cells(tmp_path / "cells"), tmp_path / "out.json"
    for t in (0, 1):
        labels = np.zeros(SIZE, np.uint16)
        labels[4:14, 4:14] = 1
        Image.fromarray(labels).save(cells / "01_GT/TRA" / f"man_track{t:03d}.tif")
    (cells / "01_GT/TRA/man_track.txt").write_text("1 0 5 0\n2 2 5 0\n")
    assert main(["eval", str(cells), *COPY, "--first-frame", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["sequences"]["01"]["DET"] == pytest.approx(0.6)  # six of ten
    assert list(document["sequences"]["01"]["objects"]) == ["1"]


def test_without_outlines_there_is_no_seg(tmp_path, capsys):
    assert main(["eval", str(add_cells(tmp_path / "cells", outlines=False)), *COPY]) == 0
    assert capsys.readouterr().out.split("\n")[0].split()[6:] == ["DET", "TRA", "LNK", "frames/s"]


def test_any_sequence_can_be_measured_as_cells(dataset, tmp_path, capsys):
    assert main(["eval", str(dataset), *COPY, "--cells"]) == 0
    header, row, _ = (line.split() for line in capsys.readouterr().out.splitlines()[:3])
    assert dict(zip(header, row, strict=True))["SEG"] != "-"


def test_without_py_ctcmetrics_all_else_is_measured_and_it_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cell_tracking, "find_spec", lambda name: None)
    assert main(["eval", str(add_cells(tmp_path / "cells")), *COPY]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "sam2: left out: SEG, DET and TRA need py-ctcmetrics; "
        "install it with: pip install 'sam2-core[eval]'\n"
    )
    assert said.out.split("\n")[0].split()[3:] == ["J", "F", "J&F", "frames/s"]


def test_a_broken_table_of_tracks_leaves_j_and_f_of_all_models(tmp_path, capsys):
    cells, out = add_cells(tmp_path / "cells"), tmp_path / "out.json"
    (cells / "01_GT/TRA/man_track.txt").write_text("nothing")
    assert main(["eval", str(cells), "--model", "copy", "--json", str(out)]) == 1
    said, document = capsys.readouterr(), json.loads(out.read_text())
    assert said.err.startswith("sam2: sequence '01': cannot read")
    assert said.err.count("\n") == 1
    rows = [line.split() for line in said.out.splitlines()[1:3]]
    assert [row[2] for row in rows] == ["copy", "flow"]
    assert "-" not in rows[0] + rows[1]
    assert set(document["sequences"]) == set(document["failed"]) == {"01"}


@pytest.fixture
def instances(tmp_path: Path) -> tuple[Path, Path]:
    """Annotations of one object on two frames, and results: one that is right, one of another category."""
    mask = np.zeros(SIZE, np.bool_)
    mask[4:14, 4:14] = True
    rle = to_coco(encode(mask))
    videos = [{"id": 7, "height": SIZE[0], "width": SIZE[1], "length": 2}]
    true = {"id": 1, "video_id": 7, "category_id": 3, "iscrowd": 0, "segmentations": [rle, rle]}
    annotations, results = tmp_path / "instances.json", tmp_path / "results.json"
    annotations.write_text(json.dumps({"videos": videos, "categories": [{"id": 3}], "annotations": [true]}))
    found = {"video_id": 7, "score": 0.6, "segmentations": [rle, rle]}
    results.write_text(json.dumps([{**found, "category_id": 3}, {**found, "category_id": 5, "score": 0.9}]))
    return annotations, results


def test_results_of_youtube_vis_have_an_ap(instances, tmp_path, capsys):
    annotations, results = instances
    out = tmp_path / "out.json"
    assert main(["eval", str(annotations), "--results", str(results), "--json", str(out)]) == 0
    header, row, written = (line.split() for line in capsys.readouterr().out.splitlines())
    assert dict(zip(header, row, strict=True)) == {
        "videos": "1", "objects": "1", "predicted": "2", "AP": "100.0", "AP50": "100.0", "AP75": "100.0",
        "AP-small": "100.0", "AP-medium": "-", "AP-large": "-",
        "AR1": "100.0", "AR10": "100.0", "AR100": "100.0",
    }  # fmt: skip
    assert written == ["wrote", str(out)]
    document = json.loads(out.read_text())
    assert (document["AP"], document["objects"], document["predicted"]) == (1, 1, 2)
    assert "AP-large" not in document
    assert main(["eval", str(annotations), "--results", str(results), "--any-category"]) == 0
    found = capsys.readouterr().out.split("\n")
    assert dict(zip(found[0].split(), found[1].split(), strict=True))["AP"] == "100.0"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["ANNOTATIONS"], 2, "compared with a file of results; give it by --results"),
        (["FOLDER", "--results", "RESULTS"], 2, "--results is compared with one DATASET, the annotations"),
        (["ANNOTATIONS", "--results", "RESULTS", "--count", "sav"], 2, "--count means nothing with it"),
        (["ANNOTATIONS", "--results", "RESULTS", "--no-windows"], 2, "--no-windows means nothing with it"),
        (["ANNOTATIONS", "--results", "RESULTS", "--first-frame"], 2, "--first-frame means nothing with it"),
        (["ANNOTATIONS", "--results", "RESULTS", "--json", "RESULTS"], 2, "are the same file; give two"),
        (["ANNOTATIONS", "--results", "nowhere.json"], 1, "cannot read 'nowhere.json'"),
        (["FOLDER", "--any-category"], 2, "--any-category goes with --results"),
        (["FOLDER", "--cells", "--protocol", "image"], 2, "--cells measures what --protocol vos tracks"),
    ],
)
def test_mistakes_with_results_are_one_line(arguments, status, message, instances, dataset, capsys):
    names = {"ANNOTATIONS": instances[0], "RESULTS": instances[1], "FOLDER": dataset}
    assert main(["eval", *(str(names.get(argument, argument)) for argument in arguments)]) == status
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
