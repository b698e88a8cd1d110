"""What the formats share: files that are complete or absent, and one-line errors that name them."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sam2_core import files
from sam2_core.errors import ExportError, SAM2Error, reason


@contextmanager
def exported(path: Path) -> Iterator[Path]:
    """A temporary path that becomes ``path`` once the block has succeeded, as ``files.new_file``.

    Raises:
        ExportError: if the folder cannot be made or written, or the disk is full.
    """
    try:
        with files.new_file(path) as temporary:
            yield temporary
    except OSError as error:
        raise ExportError(f"cannot write {str(path)!r}: {reason(error)}") from error


@contextmanager
def exported_folder(path: Path, parts: Collection[str]) -> Iterator[Path]:
    """A temporary path for a folder that becomes ``path`` once the block has succeeded, as one document.

    The folder that an earlier export made there goes then, and not before. Of a link, what it points at.

    Args:
        path: the folder.
        parts: the names that such a document consists of.

    Raises:
        ExportError: if something else lies there, a folder cannot be made or written, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    new = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        files.make_folder(target.parent)
        _check_document(target, parts)
        yield new
        _put_in_place(new, target)
    except OSError as error:
        raise ExportError(f"cannot write {str(path)!r}: {reason(error)}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_document(target: Path, parts: Collection[str]) -> None:
    """A folder is removed with all that is in it, so nothing of a user's may be there."""
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the place of a folder", str(target))
    others = [name.name for name in target.iterdir() if name.name not in parts] if target.exists() else []
    if others:
        text = f"{min(others)!r} lies in it, which is not of an export; move it away"
        raise FileExistsError(errno.EEXIST, text, str(target))


def _put_in_place(new: Path, target: Path) -> None:
    """Two renames, since no folder is renamed onto another one that holds something."""
    if not target.exists():
        new.replace(target)
        return
    old = new.with_suffix(".old.part")
    target.replace(old)
    try:
        new.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are not there; ExportError if that fails."""
    try:
        files.make_folder(folder)
    except OSError as error:
        raise ExportError(f"cannot make the folder {str(folder)!r}: {reason(error)}") from error


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Write an object; values that are iterators are written item by item and never held as a whole."""
    with exported(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        before = "{"
        for key, value in document.items():
            file.write(f"{before}\n{json.dumps(key)}: ")
            file.writelines(_items(value) if isinstance(value, Iterator) else [_json(value)])
            before = ","
        file.write("\n}\n")
    return path


def _items(values: Iterator[Any]) -> Iterator[str]:
    before = "["
    for value in values:
        yield f"{before}\n{_json(value)}"
        before = ","
    yield "[]" if before == "[" else "\n]"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def remove_others(folder: Path, written: Iterable[str]) -> None:
    """Remove the files that an earlier export wrote and this one did not, and halves that a kill has left.

    A list beside the folder says which files are ours; nothing else is ever touched.
    """
    try:
        halves = [path.name for path in folder.glob(".*.part")]
    except OSError as error:
        raise ExportError(f"cannot clear {str(folder)!r}: {reason(error)}") from error
    remove_earlier(folder, folder.parent / f".{folder.name}.sam2", written, halves)


def remove_earlier(folder: Path, ours: Path, written: Iterable[str], halves: Iterable[str] = ()) -> None:
    """Remove the files of a folder that a list names as ours and that were not written now; renew the list.

    Args:
        folder: where they are.
        ours: the list.
        written: the names of the files that stay.
        halves: more names of files to remove.
    """
    kept = sorted(set(written))
    try:
        earlier = ours.read_text(encoding="utf-8").splitlines() if ours.is_file() else []
        for name in {*earlier, *halves} - {*kept}:
            (folder / Path(name).name).unlink(missing_ok=True)
        ours.write_text("\n".join(kept), encoding="utf-8")
    except OSError as error:
        raise ExportError(f"cannot clear {str(folder)!r}: {reason(error)}") from error


class _ReadError(ExportError):
    """One that names its file already."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a broken file makes the libraries raise into one line that names the file."""
    try:
        yield
    except _ReadError:
        raise
    except SAM2Error as error:
        raise _ReadError(f"cannot read {str(path)!r}: {error}") from error
    except Exception as error:  # half a dozen libraries read here, each with its own errors
        raise _ReadError(f"cannot read {str(path)!r}: {reason(error)}") from error


def load_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; ExportError if it holds something else."""
    document = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(document, dict):
        raise ExportError(f"it holds a {type(document).__name__}, not an object with keys")
    return document


def inside(path: str | Path, *names: str) -> Path:
    """The path itself, or what lies in it under the first of the names that is there."""
    given = Path(path)
    return next((given / name for name in names if (given / name).exists()), given)


def numbered(folder: Path, *suffixes: str) -> dict[int, Path]:
    """The files of a folder by the last number in their names, in order; hidden ones are left out."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise ExportError(f"the name {path.name!r} holds no frame number")
        if (other := found.setdefault(int(numbers[-1]), path)) is not path:
            raise ExportError(f"{other.name!r} and {path.name!r} are the same frame")
    if not found:
        raise ExportError(f"there are no {' or '.join(suffixes)} files in it")
    return dict(sorted(found.items()))
