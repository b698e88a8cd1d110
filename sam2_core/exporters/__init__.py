"""Writers of masklets, one module per format; those that hold the masks are read as well (see ``read``).

A writer is ``export(masklets, video, folder) -> path``. Frames are those that any masklet knows, in order;
``watch=tqdm`` shows how many of them are written.
Files come into being under a temporary name and are renamed when they are complete. The libraries behind
the formats are loaded when one is used, not before.
"""

from __future__ import annotations

from collections.abc import Callable

from sam2_core.exporters import coco, ctc, davis, geff, labels, overlay, sav, tracks, ytvis
from sam2_core.hookspecs import Exporter, hookimpl


@hookimpl
def sam2_register_exporters(register: Callable[[str, Exporter, str], None]) -> None:
    """Register the built-in formats."""
    register("labels", labels.export, "label images, one TIFF per frame, object ids as pixel values")
    register("coco", coco.export, "COCO JSON with run lengths and track ids")
    register("sav", sav.export, "SA-V JSON, as the SA-V data set")
    register("davis", davis.export, "indexed PNGs with the DAVIS palette, ids up to 255")
    register("ytvis", ytvis.export, "YouTube-VIS JSON")
    register("ctc", ctc.export, "Cell Tracking Challenge: 16-bit TIFFs and res_track.txt")
    register("geff", geff.export, "Graph Exchange File Format: a graph of objects and divisions")
    register("tracks", tracks.export, "a table: place, size and intensities per object and frame")
    register("overlay", overlay.export, "a video with coloured masks, outlines and object numbers")
