"""The published models: where they are, and the folder where they are kept. Loads no torch.

The sha256 of a file is written beside it when it comes, and checked whenever it is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sam2_core.errors import ModelError, reason
from sam2_core.files import make_folder, new_file
from sam2_core.models.download import Progress, Unreachable, download, sha256_of


@dataclass(frozen=True)
class Published:
    """One of the models that Meta published, under Apache 2.0.

    Attributes:
        name: how users call it.
        file_name: the name of its file, at Meta, on the hub and in our folder.
        url: where Meta keeps it.
        hub_id: its repository on the Hugging Face hub.
    """

    name: str
    file_name: str
    url: str
    hub_id: str

    @property
    def hub_url(self) -> str:
        """Where the hub keeps it, or the mirror that the variable HF_ENDPOINT names."""
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{endpoint}/{self.hub_id}/resolve/main/{self.file_name}"


def _published() -> dict[str, Published]:
    found = {}
    for version, date in (("sam2", "072824"), ("sam2.1", "092824")):
        for size in ("tiny", "small", "base-plus", "large"):
            name, file_name = f"{version}-{size}", f"{version}_hiera_{size.replace('-', '_')}.pt"
            url = f"https://dl.fbaipublicfiles.com/segment_anything_2/{date}/{file_name}"
            found[name] = Published(name, file_name, url, f"facebook/{version}-hiera-{size}")
    return found


SUFFIXES = frozenset({".pt", ".pth", ".safetensors"})
"""Of the files that hold a checkpoint."""

PUBLISHED: Mapping[str, Published] = MappingProxyType(_published())
"""The eight published models by name."""


def published(name: str) -> Published:
    """A published model by its name; ModelError if there is none."""
    if name not in PUBLISHED:
        raise ModelError(f"no published model is called {name!r}; there are: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def cache_folder() -> Path:
    """Where models are kept: the folder that the variable SAM2_CACHE names, or ~/.cache/sam2-core."""
    return Path(os.environ.get("SAM2_CACHE") or "~/.cache/sam2-core").expanduser()


def is_cached(name: str) -> bool:
    """Whether the file of a published model is there; says nothing about what is in it."""
    return any(path.is_file() for path in _places(published(name)))


def find(name: str) -> Path:
    """The file of a published model, with its hash checked.

    A file that somebody put there by hand is taken as it is, and held to its hash from then on.

    Raises:
        ModelError: if it is not there (how to get it is in the message), or has changed.
    """
    model = published(name)
    for path in _places(model):
        if path.is_file():
            verify(path)
            return path
    raise ModelError(f"{name} is not on this computer; run 'sam2 models fetch {name}', or {_by_hand(model)}")


def fetch(name: str, sha256: str | None = None) -> Generator[Progress, None, Path]:
    """Download a published model, from the hub (which tells the hash) or from Meta; iterate to go on.

    Args:
        name: a published model.
        sha256: what its file must hash to, if you know it.

    Returns:
        The file.

    Raises:
        ModelError: if there is no such model, nobody delivers, or the hash is another one.
    """
    model = published(name)
    target = cache_folder() / model.file_name
    if target.is_file():
        verify(target, sha256)
        return target
    _make_folder()
    failures = []
    for url in (model.hub_url, model.url):
        try:
            digest = yield from download(url, target, sha256)
        except Unreachable as error:
            failures.append(str(error))
            continue
        _record(target, digest)
        return target
    raise ModelError(f"{name} could not be downloaded; {_by_hand(model)} ({'; '.join(failures)})")


def import_file(path: Path, name: str | None = None, sha256: str | None = None) -> Path:
    """Take a published model from a file that came another way.

    Args:
        path: a checkpoint in Meta's or the hub's layout.
        name: what it should be; recognised if not given.
        sha256: what the file must hash to, if you know it.

    Returns:
        The copy in our folder.

    Raises:
        ModelError: if the file is broken, is another model, or another file is there already.
    """
    from sam2_core.models.checkpoints import load_state  # torch, only when it is needed

    found = load_state(path)[0].name
    if name is not None and published(name).name != found:
        raise ModelError(f"{str(path)!r} is {found}, not {name}")
    model = published(found)
    digest = _expect(path, sha256)
    target = _places(model)[path.suffix == ".safetensors"]
    if target.is_file() and sha256_of(target) != digest:
        raise ModelError(f"another file is already at {str(target)!r}; remove it first")
    _make_folder()
    try:
        with new_file(target) as partial:
            shutil.copyfile(path, partial)
    except OSError as error:
        raise ModelError(f"cannot write {str(target)!r}: {reason(error)}") from error
    _record(target, digest)
    return target


def verify(path: Path, sha256: str | None = None) -> str:
    """Check a file of our folder against the hash beside it, and against one that you know.

    Returns:
        The sha256.

    Raises:
        ModelError: if the file has changed.
    """
    digest = _expect(path, sha256)
    sidecar = _sidecar(path)
    if not sidecar.is_file():
        with contextlib.suppress(ModelError):  # a shared folder may be read-only
            _record(path, digest)
    elif _read(sidecar).split()[:1] != [digest.encode()]:
        raise ModelError(f"{str(path)!r} has changed since it was put there (its sha256 did); get it again")
    return digest


def _expect(path: Path, sha256: str | None) -> str:
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {reason(error)}") from error
    if sha256 and digest != sha256.lower():
        raise ModelError(f"{str(path)!r} has the sha256 {digest}; expected {sha256}")
    return digest


def _places(model: Published) -> tuple[Path, Path]:
    """Where its file may be: Meta's, or one in safetensors."""
    return cache_folder() / model.file_name, cache_folder() / f"{Path(model.file_name).stem}.safetensors"


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _record(path: Path, digest: str) -> None:
    """Write the hash beside the file, as sha256sum does."""
    try:
        with new_file(_sidecar(path)) as partial:
            partial.write_text(f"{digest}  {path.name}\n")
    except OSError as error:
        raise ModelError(f"cannot write {str(_sidecar(path))!r}: {reason(error)}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {reason(error)}") from error


def _make_folder() -> None:
    try:
        make_folder(cache_folder())
    except OSError as error:
        raise ModelError(f"cannot make the folder {str(cache_folder())!r}: {reason(error)}") from error


def _by_hand(model: Published) -> str:
    return f"download {model.url} elsewhere and run 'sam2 models import {model.file_name}'"
