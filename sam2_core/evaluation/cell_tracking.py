"""SEG, DET, TRA, LNK of the Cell Tracking Challenge (Ulman et al. 2017, Matula et al. 2015): py-ctcmetrics.

Result and reference are written as the challenge wants them, into a folder that lives as long as it takes,
and compared by ``ctc_metrics``, which agrees with the challenge's own programs. Its HOTA and IDF1 do not
agree with those of multi-object tracking (one threshold, another match), and are not asked for; nor are
measures of divisions, since no protocol predicts any.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sam2_core.errors import ExportError
from sam2_core.evaluation.truth import Cells, Truth
from sam2_core.exporters import ctc
from sam2_core.exporters.files import reading
from sam2_core.label_images import read_label_image
from sam2_core.results import Masklet
from sam2_core.types import Video

NAMES = ("SEG", "DET", "TRA", "LNK")
"""What is measured, each in 0..1."""


def check_installed() -> None:
    """ExportError if py-ctcmetrics is not there."""
    if find_spec("ctc_metrics") is None:
        raise ExportError(
            "SEG, DET and TRA need py-ctcmetrics; install it with: pip install 'sam2-core[eval]'"
        )


def measure(predicted: Mapping[int, Masklet], truth: Truth, cells: Cells, video: Video) -> dict[str, float]:
    """How good tracks are, all frames and all cells of the reference counted.

    Cells that nobody prompted count as missed. Where predicted masks overlap, the higher score wins.

    Args:
        predicted: masklets by object id; one that has gaps is several tracks.
        truth: the tracks of the reference.
        cells: what the reference holds besides.
        video: what both are of.

    Returns:
        By name: SEG if there are outlines; DET and TRA if every frame is annotated, LNK if there is a link.

    Raises:
        ExportError: if py-ctcmetrics is not there, or the reference is broken.
    """
    check_installed()
    names = _measurable(truth, cells, len(video))
    if not names:
        return {}
    if not any(known.encoded.area for masklet in predicted.values() for known in masklet.values()):
        return dict.fromkeys(names, 0.0)  # ctc_metrics cannot read a table without tracks
    with tempfile.TemporaryDirectory(prefix="sam2-") as folder:
        result = ctc.export(_dense(predicted), video, Path(folder) / "result")
        _write_reference(truth, cells, video, Path(folder) / "reference")
        found = _compared(result, Path(folder) / "reference", names)
    return {name: float(found[name]) for name in names}


def _measurable(truth: Truth, cells: Cells, length: int) -> list[str]:
    if not truth.objects:
        return []
    tracked = length > 1 and truth.frames == tuple(range(length))
    shown = ([t for t, known in masklet.items() if known.encoded.area] for masklet in truth.objects.values())
    asked = {
        "SEG": cells.outlines is None or bool(cells.outlines),
        "DET": tracked,
        "TRA": tracked,
        "LNK": tracked and any(b - a == 1 for frames in shown for a, b in pairwise(frames)),
    }
    return [name for name in NAMES if asked[name]]


def _compared(result: Path, reference: Path, names: list[str]) -> Mapping[str, Any]:
    from ctc_metrics.scripts.evaluate import evaluate_sequence  # it loads slowly, and few measure cells

    with redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):  # it thinks aloud
        found: Mapping[str, Any] = evaluate_sequence(str(result), str(reference), [*names], threads=1)
    if any(found[name] is None for name in names):
        raise ExportError("py-ctcmetrics takes these tracks for broken; this should not happen")
    return found


def _write_reference(truth: Truth, cells: Cells, video: Video, folder: Path) -> None:
    """``TRA/man_track*`` from the truth, ``SEG/man_seg*`` from the outlines, frames counted from 0."""
    written = ctc.export(_dense(truth.objects), video, folder)
    for part in ("TRA", "SEG"):
        (folder / part).mkdir()
    files = sorted(written.glob("mask*.tif"))
    digits = [file.stem.removeprefix("mask") for file in files]  # as of the result: names are sorted as text
    for frame_index, file in enumerate(files):
        if cells.outlines is None and frame_index in truth.frames:
            shutil.copy(file, folder / "SEG" / f"man_seg{digits[frame_index]}.tif")
        file.rename(folder / "TRA" / f"man_track{digits[frame_index]}.tif")
    for frame_index, file in (cells.outlines or {}).items():
        if frame_index >= len(video):
            raise ExportError(f"{str(file)!r} is of no frame; the video has {len(video)}")
        _write_outlines(file, video.size, folder / "SEG" / f"man_seg{digits[frame_index]}.tif")
    table = (written / "res_track.txt").read_text(encoding="ascii")
    if cells.lineage is not None:
        table = _with_parents(table, _parents(cells.lineage), [*truth.objects])
    (folder / "TRA" / "man_track.txt").write_text(table, encoding="ascii")


def _dense(masklets: Mapping[int, Masklet]) -> dict[int, Masklet]:
    """The same under numbers from 1 on: ctc_metrics adds those of both sides, in 16 bits."""
    return {i: Masklet(i, masklet.frames) for i, masklet in enumerate(masklets.values(), start=1)}


def _write_outlines(file: Path, size: tuple[int, int], target: Path) -> None:
    import tifffile  # with the format, not with the package

    with reading(file):
        labels = read_label_image(file)
        if labels.shape != size:
            raise ExportError(
                f"it is {labels.shape[1]} x {labels.shape[0]} pixels, the video {size[1]} x {size[0]}"
            )
    ids = np.unique(labels[labels > 0])
    dense = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0).astype(np.uint16)
    tifffile.imwrite(target, dense, photometric="minisblack")


def _parents(file: Path) -> dict[int, int]:
    """Parents by label, from a table with lines of label, first frame, last frame, parent (0: none)."""
    with reading(file):
        rows = [line.split() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
        if any(len(row) != 4 for row in rows):
            raise ExportError("a line does not hold the four numbers L B E P")
        return {int(label): int(parent) for label, _, _, parent in rows if int(parent)}


def _with_parents(table: str, parents: Mapping[int, int], labels: list[int]) -> str:
    """The table of the tracks ``1, 2, ...``, which are these labels, with the parents that are known."""
    dense = {label: number for number, label in enumerate(labels, start=1)}
    of = {dense[label]: dense[parent] for label, parent in parents.items() if {label, parent} <= dense.keys()}
    rows = [[int(number) for number in line.split()] for line in table.splitlines()]
    return "".join(
        f"{track} {begin} {end} {parent or of.get(track, 0)}\n" for track, begin, end, parent in rows
    )
