"""The table of objects: what there is, and what tracking has not brought up to date."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from sam2_napari.events import ObjectState

COLUMNS = ("object", "prompts on frames", "frames", "stale", "mother")
SHOWN = 5
"""Prompted frames that are written out."""


class ObjectTable(QTableWidget):  # type: ignore[misc]  # qtpy has no types of its own
    """One row per object; a click on one chooses it, a second one goes to its first prompt.

    Args:
        parent: the panel.
    """

    chosen = Signal(int)
    """An object."""
    sought = Signal(int)
    """A frame."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().hide()
        # Columns that follow their contents at once would measure all rows for each text that is set.
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setMinimumHeight(120)
        self._rows: tuple[ObjectState, ...] = ()
        self.resizeColumnsToContents()
        self.cellClicked.connect(lambda row, column: self.chosen.emit(self._rows[row].object_id))
        self.cellDoubleClicked.connect(lambda row, column: self.sought.emit(min(self._rows[row].prompted)))

    def show_objects(self, objects: Sequence[ObjectState], current: int) -> None:
        """Show these objects, and which one is current."""
        if tuple(objects) != self._rows:
            self._rows = tuple(objects)
            self.setRowCount(len(objects))
            for row, state in enumerate(objects):
                for column, text in enumerate(_texts(state)):
                    if (item := self.item(row, column)) is None:
                        self.setItem(row, column, QTableWidgetItem(text))
                    elif item.text() != text:
                        item.setText(text)
            self.resizeColumnsToContents()
        ids = [state.object_id for state in objects]
        if current in ids:
            self.selectRow(ids.index(current))
        else:
            self.clearSelection()


def _texts(state: ObjectState) -> tuple[str, ...]:
    frames = ", ".join(map(str, state.prompted[:SHOWN])) + (" ..." if len(state.prompted) > SHOWN else "")
    mother = "" if state.mother is None else str(state.mother)
    return str(state.object_id), frames, str(state.frames), str(state.stale or ""), mother
