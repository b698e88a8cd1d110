"""Graph Exchange File Format 1 (liveimagetrackingtools.org/geff): objects and their divisions as a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core import files
from sam2_core.errors import ExportError
from sam2_core.exporters.files import exported_folder
from sam2_core.exporters.frames import known_frames, score
from sam2_core.exporters.lineage import mothers
from sam2_core.exporters.nodes import Node, nodes_on
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import Video

PARTS = {"nodes", "edges", ".zgroup", ".zattrs", ".zmetadata", "zarr.json", ".DS_Store"}
"""What lies in a graph's folder; the last is left there by a Mac that shows it."""


PROPERTIES: dict[str, tuple[str, str | None, str]] = {
    "t": ("int64", "frame", "frame index, from 0"),
    "y": ("float64", "pixel", "row of the centroid"),
    "x": ("float64", "pixel", "column of the centroid"),
    "object_id": ("int64", None, "the object"),
    "tracklet_id": ("int64", None, "the first object of the unbranched path"),
    "lineage_id": ("int64", None, "the object at the root of the tree"),
    "area": ("int64", "pixel", "number of pixels"),
    "score": ("float64", None, "predicted IoU, 0 to 1"),
}
"""What the graph holds of each node: kind of number, unit, and what it is."""


class Row(NamedTuple):
    """What the graph holds of a node besides its place in the tree."""

    object_id: int
    t: int
    y: float
    x: float
    area: int
    score: float

    @classmethod
    def of(cls, node: Node) -> Row:
        """Without the pixels: a long video has millions of nodes."""
        return cls(node.object_id, node.frame_index, *node.centroid, node.area, score(node.known))


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``geff.zarr``, a directed graph, and return that folder.

    A node is an object on a frame on which it has pixels, numbered by frame: ``t`` (frame), ``y`` and ``x``
    (centroid in pixels), ``object_id``, ``area`` (pixels) and ``score``. An edge leads to the next node of
    the object, across gaps too, and from the last node of a mother to the first one of each daughter.
    ``tracklet_id`` and ``lineage_id`` are the object ids of the first of the unbranched path and of the whole
    tree, as the format wants them: the only daughter of a mother is on her path.

    Raises:
        ExportError: if the library is missing, a mother is still there when her daughter begins, or the
            folder cannot be written or holds what is not of such a graph.
    """
    if find_spec("geff") is None:
        raise ExportError(
            "the format geff needs the library geff; install it with: pip install 'sam2-core[geff]'"
        )
    with exported_folder(Path(folder) / "geff.zarr", PARTS) as temporary:
        tree, rows = mothers(masklets), list[Row]()
        for frame_index in watch(known_frames(masklets)):
            rows.extend(Row.of(node) for node in nodes_on(masklets, frame_index, video.size))
        for name, content in _contents(rows, tree):
            files.make_folder((temporary / name).parent)
            (temporary / name).write_bytes(content)
    return Path(folder) / "geff.zarr"


def _contents(rows: list[Row], tree: Mapping[int, int]) -> Iterator[tuple[str, bytes]]:
    """The files of the graph, and what each holds.

    Made in memory, where a graph takes less than its rows: zarr writes with several threads, of which some
    would go on where one has found the disk full.
    """
    from geff.core_io import write_arrays  # with the format, not with the package
    from zarr.storage import MemoryStore

    tracklets, lineages = _firsts(rows, _only_daughters(tree)), _firsts(rows, tree)
    columns = {name: [getattr(row, name) for row in rows] for name in Row._fields}
    columns |= {"tracklet_id": tracklets, "lineage_id": lineages}
    store: dict[str, Any] = {}
    write_arrays(
        MemoryStore(store),
        np.arange(len(rows), dtype=np.uint64),
        {
            name: {"values": np.asarray(columns[name], kind), "missing": None}
            for name, (kind, _, _) in PROPERTIES.items()
        },
        _edges(rows, tree),
        {},
        _metadata(),
    )
    yield from ((name, buffer.to_bytes()) for name, buffer in store.items())


def _metadata() -> Any:
    from geff_spec import Axis, DisplayHint, GeffMetadata, PropMetadata  # with the format, too

    return GeffMetadata(
        directed=True,
        axes=[
            Axis(name="t", type="time", unit="frame"),
            Axis(name="y", type="space", unit="pixel"),
            Axis(name="x", type="space", unit="pixel"),
        ],
        node_props_metadata={
            name: PropMetadata(identifier=name, dtype=kind, unit=unit, description=description)
            for name, (kind, unit, description) in PROPERTIES.items()
        },
        edge_props_metadata={},
        track_node_props={"tracklet": "tracklet_id", "lineage": "lineage_id"},
        display_hints=DisplayHint(display_horizontal="x", display_vertical="y", display_time="t"),
    )


def _edges(rows: list[Row], tree: Mapping[int, int]) -> NDArray[np.uint64]:
    """Pairs of nodes, ``(edges, 2)``: rows are in the order of frames, so a mother's last one is known."""
    latest: dict[int, int] = {}
    pairs: list[tuple[int, int]] = []
    for node, row in enumerate(rows):
        before = latest.get(row.object_id, latest.get(tree.get(row.object_id, -1)))
        if before is not None:
            pairs.append((before, node))
        latest[row.object_id] = node
    return np.asarray(pairs, np.uint64).reshape(-1, 2)


def _only_daughters(tree: Mapping[int, int]) -> dict[int, int]:
    daughters = Counter(tree.values())
    return {daughter: mother for daughter, mother in tree.items() if daughters[mother] == 1}


def _firsts(rows: list[Row], before: Mapping[int, int]) -> list[int]:
    """For each row the object at which the way back ends."""
    found: dict[int, int] = {}
    for row in rows:  # mothers come before their daughters
        object_id = row.object_id
        found.setdefault(object_id, found[before[object_id]] if object_id in before else object_id)
    return [found[row.object_id] for row in rows]
