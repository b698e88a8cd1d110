"""Annotated data sets on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sam2_core.cli.failures import UsageError
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Sequence

DATASET = (
    "folders in the layout of DAVIS (MOSE, YouTube-VOS, LVOS), SA-V or CTC, or images/ and masks/; or saved "
    "sessions, whose prompted frames count as annotated"
)
"""What help says of them."""


def find_all(places: Iterable[Path]) -> list[tuple[Sequence, Counted]]:
    """The sequences of all data sets under names that tell them apart, and which frames their rules count.

    Raises:
        ExportError: if a place holds no data set.
        UsageError: if a place is given twice, or two sequences have one name.
    """
    places = list(places)
    if twice := [place for i, place in enumerate(places) if place.resolve() in map(Path.resolve, places[:i])]:
        raise UsageError(f"{str(twice[0])!r} is given twice; give each data set once")
    found: dict[str, tuple[Sequence, Counted]] = {}
    for place in places:
        sequences, counted = find_sequences(place)
        for sequence in sequences:
            alone = len(places) == 1 or sequence.name == place.stem
            named = sequence if alone else replace(sequence, name=f"{place.name}/{sequence.name}")
            if named.name in found:
                named = replace(named, name=f"{place.absolute().parent.name}/{named.name}")
            if named.name in found:
                raise UsageError(f"two sequences are called {named.name!r}; give them in separate calls")
            found[named.name] = named, counted
    return list(found.values())
