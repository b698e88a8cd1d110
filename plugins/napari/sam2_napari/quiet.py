"""What is changed by us and not by a user, so that nobody answers it."""

from __future__ import annotations

from types import TracebackType


class Quiet:
    """A context within which changes are our own; true while one is open."""

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
