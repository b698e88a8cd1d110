"""Saved sessions: the prompts, and as a cache the results and what tracking needs to go on, in one file.

The file is NumPy's ``.npz`` (a zip of arrays, no pickles): ``document`` holds JSON with the model, the video
and the prompts; ``memories`` are the bytes of ``tracking.memory_file``; the other arrays hold one row per
known mask, their run lengths one after another.
"""

from sam2_core.saved.file import check_target, is_session, read, write
from sam2_core.saved.restoring import SavedSession

__all__ = ["SavedSession", "check_target", "is_session", "read", "write"]
