"""Annotated data sets on the command line."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path

from sam2_core.cli.failures import UsageError
from sam2_core.errors import SAM2Error
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Sequence

DATASET = (
    "folders in the layout of DAVIS (MOSE, YouTube-VOS, LVOS), SA-V or CTC, or images/ and masks/; or saved "
    "sessions, whose prompted frames count as annotated"
)
"""What help says of them."""


def find_all(places: Iterable[Path]) -> list[tuple[Sequence, Counted]]:
    """The sequences of all data sets under names that tell them apart, and whose rules hold.

    Raises:
        ExportError: if a place holds no data set.
        UsageError: if a place is given twice, or two sequences have one name.
    """
    found, failed = find_each(places)
    for error in failed.values():
        raise error
    return found


def find_each(places: Iterable[Path]) -> tuple[list[tuple[Sequence, Counted]], dict[str, Exception]]:
    """The same as far as data sets can be found, and by place what keeps the others from it.

    Raises:
        UsageError: if a place is given twice, or two sequences have one name.
    """
    places = list(places)
    if twice := [place for i, place in enumerate(places) if place.resolve() in map(Path.resolve, places[:i])]:
        raise UsageError(f"{str(twice[0])!r} is given twice; give each data set once")
    found: dict[str, tuple[Sequence, Counted]] = {}
    failed: dict[str, Exception] = {}
    for place in places:
        try:
            sequences, counted = find_sequences(place)
        except (SAM2Error, OSError) as error:
            failed[str(place)] = error
            continue
        for sequence in sequences:
            named = _named(sequence, place, found, alone=len(places) == 1)
            found[named.name] = named, counted
    return list(found.values()), failed


def _named(sequence: Sequence, place: Path, taken: Container[str], *, alone: bool) -> Sequence:
    """The sequence under a name that no other has."""
    plain = alone or sequence.name == place.stem
    named = sequence if plain else replace(sequence, name=f"{place.name}/{sequence.name}")
    if named.name in taken:
        named = replace(named, name=f"{place.absolute().parent.name}/{named.name}")
    if named.name in taken:
        raise UsageError(f"two sequences are called {named.name!r}; give them in separate calls")
    return named
