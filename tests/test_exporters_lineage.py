"""Divisions in the files of the Cell Tracking Challenge: written, accepted by its validator, read back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings

from sam2_core.errors import ExportError
from sam2_core.exporters import ctc, read
from sam2_core.results import Masklet
from tests.masklets_for_tests import Grey, any_families, box, frame, masklets_of, plain, resolved

# Of the validator of the challenge: a frame may be empty.
pytestmark = pytest.mark.filterwarnings("ignore:Empty frame")
SIZE = (7, 9)
VIDEO = Grey(SIZE)


def family(mothers, frames):
    """Objects in columns of their own, so that none covers another."""
    places = {i: box(SIZE, 1, column, 3, 1) for column, i in enumerate(frames)}
    found = masklets_of({i: dict.fromkeys(known, places[i]) for i, known in frames.items()})
    return {i: replace(m, mother=mothers.get(i)) for i, m in found.items()}


def table(folder):
    return sorted((folder / "res_track.txt").read_text().splitlines())


def mothers_of(masklets):
    return {i: m.mother for i, m in masklets.items() if m.mother is not None}


def valid(folder):
    from ctc_metrics.scripts.validate import validate_sequence

    return validate_sequence(str(folder), threads=1)["Valid"] == 1


DIVISION = family({5: 2, 3: 2}, {2: [0, 1], 5: [2, 3], 3: [2, 3]})


def test_a_masklet_says_its_mother_if_it_has_one():
    (object_id, known), *_ = masklets_of({4: {0: box(SIZE, 0, 0, 2, 2)}}).items()
    assert known.mother is None
    assert repr(known) == "Masklet(object_id=4, 1 frames in 0..0, visible 1)"
    daughter = Masklet(object_id, known.frames, 2)
    assert daughter.mother == 2
    assert repr(daughter) == "Masklet(object_id=4, mother=2, 1 frames in 0..0, visible 1)"


def test_daughters_name_their_mother_and_come_back_with_her(tmp_path):
    folder = ctc.export(DIVISION, VIDEO, tmp_path)
    assert table(folder) == ["2 0 1 0", "3 2 3 2", "5 2 3 2"]
    assert valid(folder)
    back = read.read_ctc(folder)
    assert mothers_of(back) == {5: 2, 3: 2}
    assert plain(back) == plain(DIVISION)


def test_the_parent_is_the_last_label_of_a_mother_with_gaps_and_daughters_may_have_gaps(tmp_path):
    masklets = family({5: 2, 3: 2}, {2: [0, 2], 5: [5, 8], 3: [4]})
    folder = ctc.export(masklets, VIDEO, tmp_path)
    assert table(folder) == ["2 0 0 0", "3 4 4 6", "5 5 5 6", "6 2 2 2", "7 8 8 5"]
    assert valid(folder)
    back = read.read_ctc(folder)
    assert mothers_of(back) == {5: 2, 3: 2}
    assert plain(back) == plain(masklets)


def test_every_label_knows_its_parent_if_nothing_is_joined(tmp_path):
    masklets = family({5: 2, 3: 2}, {2: [0, 2], 5: [5, 8], 3: [4]})
    back = read.read_ctc(ctc.export(masklets, VIDEO, tmp_path), join=False)
    assert mothers_of(back) == {3: 6, 5: 6, 6: 2, 7: 5}
    assert {i: list(m) for i, m in back.items()} == {2: [0], 3: [4], 5: [5], 6: [2], 7: [8]}


def test_an_only_daughter_cannot_be_told_from_a_gap(tmp_path):
    masklets = family({5: 2}, {2: [0, 1], 5: [2, 3]})
    back = read.read_ctc(ctc.export(masklets, VIDEO, tmp_path))
    assert {i: list(m) for i, m in back.items()} == {2: [0, 1, 2, 3]}
    assert mothers_of(back) == {}


def test_generations_come_back(tmp_path):
    mothers = {2: 1, 3: 1, 4: 3, 5: 3}
    masklets = family(mothers, {1: [0], 2: [1], 3: [1, 2], 4: [4], 5: [3]})
    assert mothers_of(read.read_ctc(ctc.export(masklets, VIDEO, tmp_path))) == mothers


@pytest.mark.parametrize(
    ("mothers", "frames", "message"),
    [
        ({5: 2}, {2: [0, 1, 2], 5: [2, 3]}, "object 5 begins on frame 2, and its mother 2 is still there on"),
        ({5: 2}, {2: [0, 7], 5: [2, 3]}, "there on frame 7; a mother must end before her daughters begin"),
        ({5: 5}, {5: [2]}, "object 5 begins on frame 2, and its mother 5"),
        ({5: 2, 2: 5}, {2: [0], 5: [1]}, "object 2 begins on frame 0, and its mother 5"),
    ],
)
def test_a_mother_that_is_there_with_her_daughter_is_refused_before_a_file_is_written(
    tmp_path, mothers, frames, message
):
    with pytest.raises(ExportError, match=message) as error:
        ctc.export(family(mothers, frames), VIDEO, tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_mother_that_is_known_to_be_gone_may_have_later_frames(tmp_path):
    gone = Masklet(2, {**DIVISION[2].frames, 2: frame(np.zeros(SIZE, bool))})
    folder = ctc.export({**DIVISION, 2: gone}, VIDEO, tmp_path)
    assert table(folder) == ["2 0 1 0", "3 2 3 2", "5 2 3 2"]


@pytest.mark.parametrize("hidden", ["left out", "without pixels", "covered"])
def test_a_mother_that_is_not_to_be_seen_leaves_no_trace(tmp_path, hidden):
    masklets = {i: DIVISION[i] for i in (5, 3)}
    if hidden == "without pixels":
        masklets[2] = Masklet(2, {0: frame(np.zeros(SIZE, bool))})
    if hidden == "covered":
        masklets[2] = DIVISION[2]
        masklets[1] = Masklet(1, {t: frame(np.ones(SIZE, bool), 0.9) for t in (0, 1)})
    folder = ctc.export(masklets, VIDEO, tmp_path)
    assert {"3 2 3 0", "5 2 3 0"} <= {*table(folder)}
    assert valid(folder)
    assert mothers_of(read.read_ctc(folder)) == {}


def test_a_parent_that_does_not_end_before_its_children_is_no_mother(tmp_path):
    for t, row in enumerate([[1, 0, 0], [1, 2, 3]]):
        tifffile.imwrite(tmp_path / f"mask{t:03d}.tif", np.tile(np.array(row, np.uint16), (4, 1)))
    (tmp_path / "res_track.txt").write_text("1 0 1 0\n2 1 1 1\n3 1 1 1\n")
    for join in (True, False):
        assert mothers_of(read.read_ctc(tmp_path, join=join)) == {}


def test_a_parent_without_a_mask_is_no_mother(tmp_path):
    tifffile.imwrite(tmp_path / "mask000.tif", np.zeros((4, 3), np.uint16))
    tifffile.imwrite(tmp_path / "mask001.tif", np.tile(np.array([0, 2, 3], np.uint16), (4, 1)))
    (tmp_path / "res_track.txt").write_text("1 0 0 0\n2 1 1 1\n3 1 1 1\n")
    assert mothers_of(read.read_ctc(tmp_path)) == {}


def test_a_folder_without_a_table_has_no_mothers(tmp_path):
    folder = ctc.export(DIVISION, VIDEO, tmp_path)
    (folder / "res_track.txt").unlink()
    assert mothers_of(read.read_ctc(folder)) == {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples: a later export replaces the one before."""
    return tmp_path_factory.mktemp("out")


def expected(masklets):
    """What the format can say: objects as they show, an only daughter as a part of her mother."""
    shown = resolved(masklets)
    mother = {i: masklets[i].mother for i in shown if masklets[i].mother in shown}
    daughters = Counter(mother.values())

    def whole(i):
        return whole(mother[i]) if i in mother and daughters[mother[i]] == 1 else i

    objects = {}
    for i, frames in shown.items():
        objects.setdefault(whole(i), {}).update(frames)
    return objects, {i: whole(m) for i, m in mother.items() if daughters[m] > 1}


@settings(max_examples=60, deadline=None)
@given(any_families())
def test_families_come_back_and_the_validator_accepts_them(folder, masklets):
    written, (objects, mothers) = ctc.export(masklets, VIDEO, folder), expected(masklets)
    back = read.read_ctc(written)
    assert plain(back) == objects
    assert mothers_of(back) == mothers
    if objects:  # the validator cannot read an empty table
        assert valid(written)
    again = read.read_ctc(ctc.export(back, VIDEO, folder))  # what was read says all that can be said
    assert plain(again) == objects
    assert mothers_of(again) == mothers


@settings(max_examples=30, deadline=None)
@given(any_families())
def test_labels_come_back_as_they_are_if_nothing_is_joined(folder, masklets):
    written = ctc.export(masklets, VIDEO, folder)
    back = read.read_ctc(written, join=False)
    rows = [[*map(int, line.split())] for line in table(written)]
    assert {(i, min(m), max(m), m.mother or 0) for i, m in back.items()} == {tuple(row) for row in rows}
