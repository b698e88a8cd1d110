"""Progress of long work: who wants to see it is handed the items that are worked through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Watcher(Protocol):
    """Gives items as they come, and may count them."""

    def __call__(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """The items one by one.

        Args:
            items: what is worked through.
            total: how many there are.
            what: what is done with them, for the name of a progress bar.
        """


def unwatched(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, when nobody looks."""
    return iter(items)
