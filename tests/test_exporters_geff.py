"""The graph of objects and divisions: accepted by the format's own library, and complete or as it was."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from sam2_core.errors import ExportError
from sam2_core.exporters import geff
from sam2_core.results import Masklet
from tests.masklets_for_tests import Grey, any_families, box, frame, masklets_of

SIZE = (7, 9)
VIDEO = Grey(SIZE)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def graph_of(path):
    """What the library reads, after its own look at structure, edges, paths and trees."""
    from geff import validate_structure
    from geff.core_io import read_to_memory
    from geff.validate.data import ValidationConfig, validate_data

    validate_structure(path)
    found = read_to_memory(path)
    validate_data(found, ValidationConfig(graph=True, metadata=True, lineage=True, tracklet=True))
    columns = {name: values["values"] for name, values in found["node_props"].items()}
    return found, columns


def family(mothers, frames):
    found = masklets_of(
        {i: {t: box(SIZE, t % 4, 2, 2, 3) for t in known} for i, known in frames.items()}, 0.75
    )
    return {i: replace(m, mother=mothers.get(i)) for i, m in found.items()}


DIVISION = family({5: 2, 3: 2}, {2: [0, 2], 5: [4, 5], 3: [3]})


def links(found, columns):
    names = [*zip(columns["object_id"].tolist(), columns["t"].tolist(), strict=True)]
    return {(names[a], names[b]) for a, b in found["edge_ids"].tolist()}


def test_edges_lead_through_gaps_and_from_the_last_of_the_mother_to_the_first_of_the_daughters(tmp_path):
    path = geff.export(DIVISION, VIDEO, tmp_path)
    assert path == tmp_path / "geff.zarr"
    found, columns = graph_of(path)
    assert links(found, columns) == {
        ((2, 0), (2, 2)), ((2, 2), (5, 4)), ((2, 2), (3, 3)), ((5, 4), (5, 5))
    }  # fmt: skip
    assert columns["object_id"].tolist() == [2, 2, 3, 5, 5]
    assert columns["tracklet_id"].tolist() == [2, 2, 3, 5, 5]
    assert columns["lineage_id"].tolist() == [2] * 5
    assert columns["t"].tolist() == [0, 2, 3, 4, 5]
    assert columns["y"].tolist() == [0.5, 2.5, 3.5, 0.5, 1.5]
    assert columns["x"].tolist() == [3.0] * 5
    assert columns["area"].tolist() == [6] * 5
    assert columns["score"].tolist() == [0.75] * 5


def test_the_axes_and_the_properties_of_tracks_are_named_as_the_format_wants_them(tmp_path):
    meta = graph_of(geff.export(DIVISION, VIDEO, tmp_path))[0]["metadata"]
    assert meta.directed
    assert [(axis.name, axis.type, axis.unit) for axis in meta.axes] == [
        ("t", "time", "frame"), ("y", "space", "pixel"), ("x", "space", "pixel")
    ]  # fmt: skip
    assert (meta.axes[0].min, meta.axes[0].max) == (0, 5)
    assert meta.track_node_props == {"tracklet": "tracklet_id", "lineage": "lineage_id"}
    assert meta.display_hints.display_time == "t"
    assert meta.geff_version.startswith("1.")


def test_an_only_daughter_is_on_the_path_of_her_mother(tmp_path):
    masklets = family({5: 2, 6: 5, 7: 5}, {2: [0], 5: [1], 6: [2], 7: [2]})
    found, columns = graph_of(geff.export(masklets, VIDEO, tmp_path))
    assert columns["object_id"].tolist() == [2, 5, 6, 7]
    assert columns["tracklet_id"].tolist() == [2, 2, 6, 7]
    assert len(found["edge_ids"]) == 3


def test_networkx_gets_the_graph(tmp_path):
    from geff import read

    graph, _ = read(geff.export(DIVISION, VIDEO, tmp_path), backend="networkx")
    assert sorted(degree for _, degree in graph.out_degree()) == [0, 0, 1, 1, 2]
    assert graph.nodes[4]["object_id"] == 5


def test_nothing_found_is_a_graph_without_nodes(tmp_path):
    found, columns = graph_of(geff.export({}, VIDEO, tmp_path))
    assert len(found["node_ids"]) == len(columns["t"]) == 0
    assert found["edge_ids"].shape == (0, 2)


def test_one_object_on_one_frame_is_a_graph_without_edges(tmp_path):
    found, _ = graph_of(geff.export(family({}, {4: [3]}), VIDEO, tmp_path))
    assert (len(found["node_ids"]), found["edge_ids"].shape) == (1, (0, 2))


def test_an_object_known_without_pixels_is_no_node(tmp_path):
    masklet = Masklet(1, {0: frame(np.zeros(SIZE, bool)), 1: frame(box(SIZE, 0, 0, 1, 1))})
    assert graph_of(geff.export({1: masklet}, VIDEO, tmp_path))[1]["t"].tolist() == [1]


def test_frames_may_be_watched(tmp_path):
    watched = []
    geff.export(DIVISION, VIDEO, tmp_path, watch=lambda frames: (watched.append(t) or t for t in frames))
    assert watched == [0, 2, 3, 4, 5]


def test_nothing_is_warned_of(tmp_path):
    with warnings.catch_warnings(action="error"):
        geff.export(DIVISION, VIDEO, tmp_path)
        geff.export({}, VIDEO, tmp_path)


def test_a_mother_that_is_there_with_her_daughter_is_refused(tmp_path):
    with pytest.raises(ExportError, match="object 5 begins on frame 2, and its mother 2 is still there on"):
        geff.export(family({5: 2}, {2: [0, 3], 5: [2]}), VIDEO, tmp_path)
    assert not list(tmp_path.iterdir())


def test_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(geff, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"needs the library geff; .*pip install 'sam2-core\[geff\]'"):
        geff.export(DIVISION, VIDEO, tmp_path)
    assert not list(tmp_path.iterdir())


# --- one graph takes the place of another ------------------------------------------------------------


def test_a_later_graph_replaces_the_one_before_as_a_whole(tmp_path):
    geff.export(DIVISION, VIDEO, tmp_path)
    _, columns = graph_of(geff.export(family({}, {9: [1]}), VIDEO, tmp_path))
    assert columns["object_id"].tolist() == [9]
    assert [p.name for p in tmp_path.iterdir()] == ["geff.zarr"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, OSError(28, "No space left on device"), ExportError("x")]
)
def test_a_graph_that_is_broken_off_leaves_the_one_before(tmp_path, error):
    geff.export(DIVISION, VIDEO, tmp_path)
    before = files(tmp_path)

    def broken_off(frames):
        yield 0
        raise error

    with pytest.raises((ExportError, KeyboardInterrupt)):
        geff.export(family({}, {9: [1]}), VIDEO, tmp_path, watch=broken_off)
    assert files(tmp_path) == before


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_one_before(tmp_path, monkeypatch, failing):
    geff.export(DIVISION, VIDEO, tmp_path)
    before, calls, replace_ = files(tmp_path), [], Path.replace

    def fails_once(self, target):
        calls.append(target)
        if len(calls) == failing:
            raise PermissionError(13, "Permission denied", str(self))
        return replace_(self, target)

    monkeypatch.setattr(Path, "replace", fails_once)
    with pytest.raises(ExportError, match=r"cannot write .*geff\.zarr': Permission denied"):
        geff.export(family({}, {9: [1]}), VIDEO, tmp_path)
    assert files(tmp_path) == before


def test_what_a_user_put_into_the_folder_is_not_removed(tmp_path):
    path = geff.export(DIVISION, VIDEO, tmp_path)
    (path / "segmentation").mkdir()
    (path / "segmentation" / "0").write_text("mine")
    before = files(tmp_path)
    with pytest.raises(ExportError, match=r"geff\.zarr': 'segmentation' lies in it, .*; move it away"):
        geff.export(DIVISION, VIDEO, tmp_path)
    assert files(tmp_path) == before


def test_a_file_of_that_name_is_not_removed(tmp_path):
    (tmp_path / "geff.zarr").write_text("mine")
    with pytest.raises(ExportError, match=r"geff\.zarr': a file is in the place of a folder"):
        geff.export(DIVISION, VIDEO, tmp_path)
    assert files(tmp_path) == {"geff.zarr": b"mine"}


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "geff.zarr").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    path = geff.export(DIVISION, VIDEO, tmp_path)
    assert path.is_symlink()
    assert len(graph_of(tmp_path / "elsewhere")[0]["node_ids"]) == 5


# --- any families ------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(any_families())
def test_the_library_accepts_any_families_and_the_links_are_those_of_the_masklets(tmp_path_factory, masklets):
    found, columns = graph_of(geff.export(masklets, VIDEO, tmp_path_factory.getbasetemp()))
    shown = {i: [t for t, known in m.items() if known.encoded.area] for i, m in masklets.items()}
    expected = {((i, a), (i, b)) for i, ts in shown.items() for a, b in pairwise(ts)}
    for i, ts in shown.items():
        mother = masklets[i].mother
        if ts and shown.get(mother):
            expected.add(((mother, shown[mother][-1]), (i, ts[0])))
    assert links(found, columns) == expected
    assert len(found["edge_ids"]) == len(expected)
    assert Counter(columns["object_id"].tolist()) == Counter({i: len(ts) for i, ts in shown.items() if ts})
