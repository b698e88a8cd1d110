"""SEG, DET, TRA and LNK: what is handed to py-ctcmetrics, and what it says."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_core.errors import ExportError
from sam2_core.evaluation import cell_tracking
from sam2_core.evaluation.cell_tracking import measure
from sam2_core.evaluation.truth import Cells, Truth
from sam2_core.exporters import ctc
from sam2_core.types import Mask
from tests.masklets_for_tests import Grey, box, masklets_of

SIZE, FRAMES = (40, 60), 4
VIDEO = Grey(SIZE, FRAMES)


def still(left: int, frames: range = range(FRAMES), width: int = 8) -> dict[int, Mask]:
    return dict.fromkeys(frames, box(SIZE, 10, left, 8, width))


def truth(objects: Mapping[int, Mapping[int, Mask]], frames: range = range(FRAMES)) -> Truth:
    return Truth(tuple(frames), masklets_of(objects))


THREE = {1: still(2), 2: still(12), 3: still(22)}


def test_the_reference_against_itself_is_perfect_and_nothing_is_said_on_the_way(capsys):
    found = measure(masklets_of(THREE), truth(THREE), Cells(), VIDEO)
    assert found == {"SEG": 1, "DET": 1, "TRA": 1, "LNK": 1}
    assert capsys.readouterr() == ("", "")


def test_a_sequence_of_more_than_a_thousand_frames_is_compared_frame_by_frame():
    """Files are sorted by name: with too few digits frame 1000 would come before frame 101."""
    size, frames = (16, 48), range(1003)
    moving = {1: {t: box(size, 4, t * 40 // 1003, 6, 6) for t in frames}}
    found = measure(masklets_of(moving), truth(moving, frames), Cells(), Grey(size, len(frames)))
    assert found == {"SEG": 1, "DET": 1, "TRA": 1, "LNK": 1}


def test_cells_that_nobody_tracked_are_missed():
    """8 of 12 nodes: DET is their share; 6 of 9 links; TRA weighs nodes by 10 and links by 1.5."""
    tracked = {i: THREE[i] for i in (1, 2)}
    found = measure(masklets_of(tracked), truth(THREE), Cells(), VIDEO)
    assert [found[name] for name in ("SEG", "DET", "LNK")] == pytest.approx([2 / 3] * 3)
    assert found["TRA"] == pytest.approx(1 - (4 * 10 + 3 * 1.5) / (12 * 10 + 9 * 1.5))


def test_a_cell_of_which_half_is_covered_is_not_found():
    half = {1: {t: box(SIZE, 10, 2, 8, 4) for t in range(FRAMES)}}
    more = {1: {t: box(SIZE, 10, 2, 8, 5) for t in range(FRAMES)}}
    alone = truth({1: THREE[1]})
    assert measure(masklets_of(half), alone, Cells(), VIDEO)["SEG"] == 0
    assert measure(masklets_of(more), alone, Cells(), VIDEO)["SEG"] == pytest.approx(5 / 8)


def test_one_result_over_three_cells_needs_two_splits_per_frame():
    """Trap 7: py-ctcmetrics and the challenge count n - 1 splits of 5, traccuracy one: DET .833."""
    over = {1: still(2, width=28)}
    found = measure(masklets_of(over), truth(THREE), Cells(), VIDEO)
    assert found["DET"] == pytest.approx(1 - FRAMES * 2 * 5 / (FRAMES * 3 * 10))


def test_nothing_is_said_of_divisions_where_there_are_none_and_all_is_a_number():
    """Trap 8: BC and CCA are None then."""
    found = measure(masklets_of({1: THREE[1]}), truth({1: THREE[1]}), Cells(), VIDEO)
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())


def test_hota_and_idf1_of_cell_tracking_are_not_mixed_with_those_of_other_fields():
    """Trap 9: they have one threshold and another match there."""
    assert set(cell_tracking.NAMES) == {"SEG", "DET", "TRA", "LNK"}


def test_a_division_that_the_table_knows_is_a_link_that_tracking_misses(tmp_path: Path):
    table = tmp_path / "man_track.txt"
    table.write_text("7 0 1 0\n8 2 3 7\n9 2 3 7\n")
    family = {7: still(12, range(2)), 8: still(8, range(2, 4), 6), 9: still(18, range(2, 4), 6)}
    without = measure(masklets_of(family), truth(family), Cells(), VIDEO)
    found = measure(masklets_of(family), truth(family), Cells(lineage=table), VIDEO)
    assert without["LNK"] == 1
    assert found["LNK"] == pytest.approx(3 / 5)  # three links within tracks, two to daughters
    assert found["DET"] == 1


def test_a_broken_table_of_tracks_is_named(tmp_path: Path):
    table = tmp_path / "man_track.txt"
    table.write_text("1 0 3\n")
    with pytest.raises(ExportError, match=r"man_track\.txt': a line does not hold the four numbers L B E P"):
        measure(masklets_of(THREE), truth(THREE), Cells(lineage=table), VIDEO)


def test_outlines_have_numbers_of_their_own_and_may_be_few(tmp_path: Path):
    outline = np.zeros(SIZE, np.uint16)
    outline[10:18, 2:12] = 60000
    tifffile.imwrite(tmp_path / "man_seg002.tif", outline)
    cells = Cells(outlines={2: tmp_path / "man_seg002.tif"})
    found = measure(masklets_of(THREE), truth(THREE), cells, VIDEO)
    assert found["SEG"] == pytest.approx(64 / 80)
    assert found["TRA"] == 1


@pytest.mark.parametrize(
    ("frame_index", "shape", "message"),
    [
        (9, SIZE, r"x\.tif' is of no frame; the video has 4"),
        (0, (40, 50), r"it is 50 x 40 pixels, the video 60 x 40"),
    ],
)
def test_outlines_that_do_not_fit_are_named(frame_index, shape, message, tmp_path: Path):
    tifffile.imwrite(tmp_path / "x.tif", np.ones(shape, np.uint16))
    with pytest.raises(ExportError, match=message):
        measure(masklets_of(THREE), truth(THREE), Cells(outlines={frame_index: tmp_path / "x.tif"}), VIDEO)


def test_high_labels_on_both_sides_do_not_run_over():
    """py-ctcmetrics adds the labels of both sides in 16 bits."""
    high = {65000 + i: frames for i, frames in THREE.items()}
    assert measure(masklets_of(high), truth(high), Cells(), VIDEO)["TRA"] == 1


def test_only_outlines_are_compared_where_frames_are_not_annotated():
    some = {i: {t: mask for t, mask in frames.items() if t in (0, 3)} for i, frames in THREE.items()}
    found = measure(masklets_of(THREE), Truth((0, 3), masklets_of(some)), Cells(), VIDEO)
    assert found == {"SEG": 1}
    assert measure(masklets_of(THREE), Truth((0, 3), masklets_of(some)), Cells(outlines={}), VIDEO) == {}


def test_one_frame_and_one_cell_have_no_links():
    one = {1: {0: box(SIZE, 10, 2, 8, 8)}}
    assert measure(masklets_of(one), truth(one, range(1)), Cells(), Grey(SIZE, 1)) == {"SEG": 1}
    assert measure(masklets_of(one), truth(one), Cells(), VIDEO) == {"SEG": 1, "DET": 1, "TRA": 1}


def test_a_result_without_cells_scores_nothing_and_a_reference_without_cells_measures_nothing():
    nothing = masklets_of({1: {0: np.zeros(SIZE, bool)}})
    assert measure(nothing, truth(THREE), Cells(), VIDEO) == dict.fromkeys(cell_tracking.NAMES, 0)
    assert measure({}, truth(THREE), Cells(), VIDEO) == dict.fromkeys(cell_tracking.NAMES, 0)
    assert measure(masklets_of(THREE), truth({}), Cells(), VIDEO) == {}


def test_the_numbers_are_those_of_py_ctcmetrics_on_the_files_of_the_challenge(tmp_path: Path):
    """The same comparison on a reference as it is published: TRA with its table, SEG of two frames."""
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    rng = np.random.default_rng(1)
    cells = {
        i: {t: box(SIZE, 3 + 9 * (i % 4), 3 + 12 * (i // 4) + t, 7, 7) for t in range(FRAMES)}
        for i in range(1, 9)
    }
    guesses = {
        i: {t: np.roll(m, rng.integers(-3, 4), rng.integers(0, 2)) for t, m in f.items()}
        for i, f in cells.items()
    }
    del guesses[5][2], guesses[6][3], cells[7][0]
    reference = tmp_path / "01_GT"
    ctc.export(masklets_of(cells), VIDEO, tmp_path).rename(tmp_path / "written")
    for part, prefix in (("TRA", "man_track"), ("SEG", "man_seg")):
        (reference / part).mkdir(parents=True)
        for file in sorted((tmp_path / "written").glob("*.tif"))[:: 1 if part == "TRA" else 3]:
            shutil.copy(file, reference / part / file.name.replace("mask", prefix))
    shutil.copy(tmp_path / "written/res_track.txt", reference / "TRA/man_track.txt")
    result = ctc.export(masklets_of(guesses), VIDEO, tmp_path / "result")
    expected = evaluate_sequence(str(result), str(reference), [*cell_tracking.NAMES], threads=1)
    outlines = {t: reference / f"SEG/man_seg{t:03d}.tif" for t in (0, 3)}
    known = Cells(reference / "TRA/man_track.txt", outlines)
    found = measure(masklets_of(guesses), truth(cells), known, VIDEO)
    assert found == {name: pytest.approx(expected[name]) for name in cell_tracking.NAMES}
    assert 0.2 < found["SEG"] < found["DET"] < 1


def test_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cell_tracking, "find_spec", lambda name: None)
    with pytest.raises(
        ExportError, match=r"need py-ctcmetrics; install it with: pip install 'sam2-core\[eval\]'"
    ):
        measure(masklets_of(THREE), truth(THREE), Cells(), VIDEO)
