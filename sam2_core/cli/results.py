"""What a command writes: its formats and the saved session, each tried whatever becomes of the others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sam2_core import plugins, saved
from sam2_core.cli import common, inputs
from sam2_core.cli.failures import one_line
from sam2_core.errors import ExportError, reason
from sam2_core.files import make_folder
from sam2_core.hookspecs import takes_watch
from sam2_core.results import Masklet
from sam2_core.session import Session
from sam2_core.types import Video


@dataclass
class Output:
    """The folder and the formats of a command, checked before any work is done.

    Attributes:
        folder: where the files go.
        formats: names of exporters.
        save: the file of the session, if it is to be saved.
        written: what has been written so far.

    Raises:
        ExportError: if a format is not known or the folder cannot be written.
        SessionError: if the session cannot be saved there.
    """

    folder: Path
    formats: Sequence[str]
    save: Path | None = None
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look before the work, so that none is lost."""
        self._exporters = {name: plugins.exporter(name) for name in self.formats}
        check_folder(self.folder)
        if self.save is not None:
            saved.check_target(self.save)
            check_folder(self.save.parent)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Output:
        """What the command line asks for; UsageError if that would replace what it reads, or itself."""
        inputs.check(options)
        return cls(options.out, options.format, options.save)

    def keep(self, session: Session, masklets: Mapping[int, Masklet]) -> None:
        """Save the session if asked to, and write these masklets; what fails does not keep the rest.

        Raises:
            ExportError: at the end, if something could not be written; it says what.
        """
        attempts = _Attempts()
        try:
            with attempts.at("the session"):
                if self.save:
                    session.save(self.save)
                    self.written.append(str(self.save))
        finally:  # an interrupt keeps the masks too
            self._export(masklets, session.video, attempts)
        with attempts.at("the session"):
            self._check_saved()
        attempts.check()

    def write(self, masklets: Mapping[int, Masklet], video: Video) -> None:
        """Write every format; one that fails does not keep the others from being written.

        Raises:
            ExportError: at the end, if some could not be written; it names them.
        """
        attempts = _Attempts()
        self._export(masklets, video, attempts)
        attempts.check()

    def _export(self, masklets: Mapping[int, Masklet], video: Video, attempts: _Attempts) -> None:
        for name, export in self._exporters.items():
            with attempts.at(f"format {name}"):
                make_folder(self.folder)
                if takes_watch(export):
                    path = export(masklets, video, self.folder, watch=common.watch(f"writing {name}"))
                else:
                    path = export(masklets, video, self.folder)
                self.written.append(str(path))

    def _check_saved(self) -> None:
        """A plugin's format may write where nobody expects it."""
        if str(self.save) in self.written and not saved.is_session(self.save):
            raise ExportError(f"a format has replaced {str(self.save)!r}; save it under another name")


class _Attempts:
    """Several things that are tried one after another; their failures are said together."""

    def __init__(self) -> None:
        self._failed: dict[str, Exception] = {}

    @contextmanager
    def at(self, what: str) -> Iterator[None]:
        """Try something."""
        try:
            yield
        except Exception as error:  # a plugin raises what it likes
            self._failed.setdefault(what, error)

    def check(self) -> None:
        """Raise ExportError if anything failed."""
        if self._failed:
            said = [f"{what}: {one_line(error)}" for what, error in self._failed.items()]
            raise ExportError("; ".join(said)) from ExceptionGroup("failed", list(self._failed.values()))


def check_folder(folder: Path) -> None:
    """ExportError if nothing can be written into a folder; one that was not there is not there afterwards."""
    try:
        folder = folder.resolve()
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        make_folder(folder)
        probe = folder / ".sam2-can-write"
        probe.touch()
        probe.unlink()
        with suppress(OSError):  # somebody else uses it by now
            for path in missing:
                path.rmdir()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ExportError(f"cannot write to {folder}: {reason(error)}") from error
