"""One file from the web, by the standard library alone: complete, checked and put in place at once."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator, Mapping
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, NamedTuple

from sam2_core.errors import ModelError, reason
from sam2_core.files import new_file

TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as absent."""

_CHUNK = 1 << 20


class Progress(NamedTuple):
    """How far a download is, in bytes; the total is 0 if the server does not tell."""

    done: int
    total: int


class Unreachable(Exception):
    """The server or the network did not deliver."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the hash that the hub tells in the first answer."""

    def __init__(self) -> None:
        self.digest: str | None = None

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.digest = self.digest or told_digest(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def told_digest(headers: Mapping[str, str] | HTTPMessage) -> str | None:
    """The sha256 that the Hugging Face hub tells of a large file, or None."""
    etag = (headers.get("X-Linked-Etag") or "").strip('"')
    return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, sha256: str | None = None) -> Generator[Progress, None, str]:
    """Get a file; iterate to go on, stop to cancel. Nothing is left behind unless it is complete.

    Args:
        url: where it is.
        target: where it goes.
        sha256: what it must hash to; else what the server tells, if it does.

    Returns:
        The sha256 of the file.

    Raises:
        Unreachable: if the server does not answer, or not with the whole file.
        ModelError: if the hash is another one, or the file cannot be written.
    """
    try:
        with new_file(target) as partial:
            digest, told = yield from _receive(url, partial)
            expected = sha256 or told
            if expected and digest != expected.lower():
                raise ModelError(f"{url} gave a file with the sha256 {digest}; expected {expected}")
    except OSError as error:  # of our disk: those of the network are Unreachable
        raise ModelError(f"cannot write {str(target)!r}: {reason(error)}") from error
    return digest


def _receive(url: str, partial: Path) -> Generator[Progress, None, tuple[str, str | None]]:
    redirects, hasher, done = _Redirects(), hashlib.sha256(), 0
    with partial.open("wb") as file:
        for chunk, total in _chunks(url, redirects):
            file.write(chunk)
            hasher.update(chunk)
            done += len(chunk)
            yield Progress(done, total)
    return hasher.hexdigest(), redirects.digest


def _chunks(url: str, redirects: _Redirects) -> Iterator[tuple[bytes, int]]:
    """The parts of a file, each with the size of the whole; Unreachable unless all of it comes."""
    request = urllib.request.Request(url, headers={"User-Agent": "sam2-core"})
    try:
        with urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT) as answer:
            redirects.digest = redirects.digest or told_digest(answer.headers)
            total, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                yield chunk, total
            if done < total:
                raise OSError(f"the connection broke after {done} of {total} bytes")
    except (OSError, HTTPException) as error:
        raise Unreachable(f"{urllib.parse.urlsplit(url).netloc}: {reason(_cause(error))}") from error


def _cause(error: Exception) -> Exception:
    """What went wrong beneath."""
    cause = getattr(error, "reason", None)  # of a URLError; that of an HTTPError is a text without its number
    return cause if isinstance(cause, Exception) else error
