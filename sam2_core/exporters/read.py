"""Readers of the formats that the exporters write: ``read_labels("out")`` gives the masklets by id.

Files of the same formats from elsewhere are read too. What is broken is an ExportError of one line. Masks
that come from a file count as "propagated"; a score is 1 where the file holds none and the object is seen.
"""

from __future__ import annotations

from sam2_core.exporters.coco import read as read_coco
from sam2_core.exporters.ctc import read as read_ctc
from sam2_core.exporters.davis import read as read_davis
from sam2_core.exporters.labels import read as read_labels
from sam2_core.exporters.sav import read as read_sav
from sam2_core.exporters.ytvis import read as read_ytvis

__all__ = ["read_coco", "read_ctc", "read_davis", "read_labels", "read_sav", "read_ytvis"]
