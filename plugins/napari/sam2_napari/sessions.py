"""The images of one window that were worked on; each keeps its session while the user looks at another."""

from __future__ import annotations

from typing import Any

from sam2_napari.control import Control

MOST = 4
"""Sessions at a time: each may hold some hundred megabytes of features. Beyond, the one used longest ago is
closed; its work is kept, as that of a window that was closed."""


class Sessions:
    """The sessions of a panel. Knows no Qt of the panel, so that it can outlive it."""

    def __init__(self) -> None:
        self._controls: list[Control] = []  # the last one used is the last

    def of(self, image: Any) -> Control | None:
        """The session of an image, which is used now; None if it has none."""
        for control in self._controls:
            if control.image is image:
                self._controls.remove(control)
                self._controls.append(control)
                return control
        return None

    def add(self, control: Control) -> None:
        """Keep a session."""
        self._controls.append(control)
        if len(self._controls) > MOST:
            self.end(self._controls[0])

    def forget(self, image: Any) -> None:
        """Close the session of an image that is gone; its work is kept."""
        for control in [*self._controls]:
            if control.image is image:
                self.end(control)

    def end(self, control: Control, wait: float = 0.0) -> None:
        """Close a session; its work is kept."""
        if control in self._controls:
            self._controls.remove(control)
            control.close(wait)

    def close(self, wait: float = 0.0) -> None:
        """Close all.

        Args:
            wait: seconds to wait for each; a window that closes does not wait.
        """
        for control in [*self._controls]:
            self.end(control, wait)
