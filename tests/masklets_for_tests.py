"""Small masklets that tests of the exporters share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from sam2_core import masks
from sam2_core.results import Masklet, MaskletFrame, Source
from sam2_core.types import Mask

Plain = dict[int, dict[int, list[list[bool]]]]
"""Object id -> frame index -> mask as nested lists: easy to compare, easy to read in a failure."""


class Grey:
    """A video of grey frames."""

    def __init__(self, size: tuple[int, int], frames: int = 12, frame_rate: float | None = None) -> None:
        self.size, self._frames, self.frame_rate = size, frames, frame_rate

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frame_index: int) -> np.ndarray:
        return np.full((*self.size, 3), 90, np.uint8)


def frame(mask: Mask, score: float = 0.5, source: Source = "propagated") -> MaskletFrame:
    encoded = masks.encode(mask)
    return MaskletFrame(encoded, score, encoded.area > 0, source)


def masklets_of(given: Mapping[int, Mapping[int, Mask]], score: float = 0.5) -> dict[int, Masklet]:
    return {i: Masklet(i, {t: frame(m, score) for t, m in frames.items()}) for i, frames in given.items()}


def box(size: tuple[int, int], top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


@st.composite
def any_masklets(draw: st.DrawFn, highest: int = 400, size: tuple[int, int] = (7, 9)) -> dict[int, Masklet]:
    """A few objects with overlaps, gaps, holes, empty masks and late beginnings; frames 0 to 8."""
    ids = draw(st.lists(st.integers(1, highest), min_size=1, max_size=4, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    found = {}
    for object_id in ids:
        frames = {}
        for frame_index in sorted(draw(st.sets(st.integers(0, 8), min_size=1, max_size=7))):
            top, left, height, width = rng.integers(0, 5, 4)
            mask = box(size, top, left, height, width) & (rng.random(size) < 0.9)
            source: Source = "prompted" if rng.random() < 0.2 else "propagated"
            frames[frame_index] = frame(mask, int(rng.integers(0, 5)) / 4, source)
        found[object_id] = Masklet(object_id, frames)
    return found


@st.composite
def any_families(draw: st.DrawFn, highest: int = 400, size: tuple[int, int] = (7, 9)) -> dict[int, Masklet]:
    """Short-lived objects with gaps; some are daughters of one that has ended by then, or of a stranger."""
    ids = draw(st.lists(st.integers(1, highest), min_size=1, max_size=7, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    found: dict[int, Masklet] = {}
    for object_id in ids:
        begin = draw(st.integers(0, 8))
        frames = sorted(draw(st.sets(st.integers(begin, begin + 3), min_size=1)))
        masks = {t: box(size, *rng.integers(0, 5, 2), *rng.integers(0, 4, 2)) for t in frames}
        found[object_id] = masklets_of({object_id: masks}, int(rng.integers(0, 5)) / 4)[object_id]
    spans = {i: [t for t, known in m.items() if known.encoded.area] for i, m in found.items()}
    for i, masklet in found.items():
        ended = [j for j in ids if j != i and max(spans[j], default=-1) < min(spans[i], default=99)]
        found[i] = replace(masklet, mother=draw(st.sampled_from([None, highest + 1, *ended])))
    return found


def plain(masklets: Mapping[int, Masklet], *, empty: bool = False) -> Plain:
    """What the masklets show; with ``empty`` also where an object is known not to be visible."""
    shown = {
        i: {t: known.mask().tolist() for t, known in masklet.items() if known.encoded.area or empty}
        for i, masklet in masklets.items()
    }
    return {i: frames for i, frames in sorted(shown.items()) if frames}


def resolved(masklets: Mapping[int, Masklet], size: tuple[int, int] = (7, 9)) -> Plain:
    """What is left where each pixel belongs to the highest score, of equal ones to the later object."""
    left: dict[int, dict[int, Mask]] = {}
    for t in {t for masklet in masklets.values() for t in masklet}:
        best, winner = np.full(size, -1.0), np.zeros(size, int)
        for object_id, masklet in masklets.items():
            if t in masklet:
                wins = masklet.mask(t) & (masklet[t].score >= best)
                best[wins], winner[wins] = masklet[t].score, object_id
        for object_id in masklets:
            left.setdefault(object_id, {})[t] = winner == object_id
    return plain(masklets_of({i: dict(sorted(frames.items())) for i, frames in left.items()}))
