"""Who divided into whom, as far as it is to be seen."""

from __future__ import annotations

from collections.abc import Mapping

from sam2_core.errors import ExportError
from sam2_core.results import Masklet


def mothers(masklets: Mapping[int, Masklet]) -> dict[int, int]:
    """The mother of each daughter, by object id, where both are among the masklets and have pixels somewhere.

    Following it always comes to an end, since a mother ends before her daughters begin.

    Raises:
        ExportError: if one does not.
    """
    seen = {i: [t for t, known in masklet.items() if known.encoded.area] for i, masklet in masklets.items()}
    spans = {i: (min(frames), max(frames)) for i, frames in seen.items() if frames}
    found: dict[int, int] = {}
    for daughter, (begin, _) in spans.items():
        mother = masklets[daughter].mother
        if mother is None or mother not in spans:
            continue
        if spans[mother][1] >= begin:
            raise ExportError(
                f"object {daughter} begins on frame {begin}, and its mother {mother} is still there on frame "
                f"{spans[mother][1]}; a mother must end before her daughters begin"
            )
        found[daughter] = mother
    return found
