"""Prompts on the command line: ``OBJECT@FRAME:...``, label images and ``prompts.json``."""

from __future__ import annotations

import argparse
import json
import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from sam2_core import masks, saved
from sam2_core.cli import labels, sources
from sam2_core.cli.failures import UsageError, usage
from sam2_core.errors import PromptError, SAM2Error, SessionError, reason
from sam2_core.label_images import NUMBER_MODES
from sam2_core.prompts import Prompt
from sam2_core.results import RunLengths
from sam2_core.session import Session
from sam2_core.types import Box, Mask, Point

PLAIN = NUMBER_MODES | {"RGB", "F"}
"""Pillow's names of images in which black is 0 and everything else is not."""

HELP = "click object 1 on frame 0 with --point 1@0:120,80, or use --box, --mask, --labels or --prompts"
"""How a prompt is given."""

KEYS = ("object_id", "frame", "frame_index", "points", "box", "mask")
"""What an entry of ``prompts.json`` may hold; ``frame`` and ``frame_index`` are the same."""


@dataclass
class Parts:
    """What the command line says about one object on one frame, before it becomes a prompt."""

    points: list[Point] = field(default_factory=list)
    box: Box | None = None
    mask: RunLengths | None = None
    file: Path | None = None
    """Where the mask comes from."""

    def set_mask(self, mask: RunLengths, file: Path) -> None:
        """Take a mask; PromptError if there is one already."""
        if self.mask is not None:
            raise PromptError(
                f"{self.file} and {file} give two masks of one object on one frame; leave one out"
            )
        self.mask, self.file = mask, file

    def prompt(self, frame_index: int, object_id: int) -> Prompt:
        """The prompt that these parts make; PromptError if they make none."""
        return Prompt(frame_index, object_id, tuple(self.points), self.box, self.mask)

    def check(self, frame_index: int, object_id: int) -> None:
        """Whether they make a prompt.

        Raises:
            PromptError: for the mask of a file that is none.
            UsageError: for anything else.
        """
        if self.mask is not None:
            Prompt(0, 1, mask=self.mask)
        with usage():
            self.prompt(frame_index, object_id)
        if self.mask is None and self.box is None and not any(point.positive for point in self.points):
            raise UsageError(
                f"object {object_id} has only negative points on frame {frame_index}; add a positive one, "
                "or correct the mask that a saved session has there with --correct"
            )


Wanted = dict[tuple[int, int], Parts]
"""By frame index and object id; masks stay run lengths, since a label image may hold hundreds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that give prompts."""
    group = parser.add_argument_group("prompts (pixels; (0, 0) is the centre of the first pixel)")
    group.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="OBJECT@FRAME:X,Y[,-]",
        help="a click; with ',-' a negative one",
    )
    group.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="OBJECT@FRAME:LEFT,TOP,RIGHT,BOTTOM",
        help="a box around the object",
    )
    group.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="OBJECT@FRAME:FILE",
        help="an image whose non-black pixels are the object",
    )
    group.add_argument(
        "--labels",
        action="append",
        default=[],
        metavar="[@FRAME:]FILE",
        help="a label image (TIFF, PNG): each number but 0 is an object id, its pixels the object's mask on "
        "frame 0, or on FRAME",
    )
    group.add_argument(
        "--correct",
        action="append",
        default=[],
        metavar="OBJECT@FRAME:X,Y[,-]",
        help="one more click, on the mask that a saved session has there",
    )
    group.add_argument("--prompts", type=Path, metavar="FILE.json", help="a list (docs/command-line.md)")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Session]:
    """The session that a command line asks for, with its prompts.

    Raises:
        UsageError: if there is no prompt, and SOURCE is no saved session.
        SessionError: if there is none in the saved session either.
    """
    wanted, corrections = read(options), _points(options.correct)  # before anything large is loaded
    if not wanted and not saved.is_session(options.source):
        raise UsageError(f"no prompt was given, and {options.source} is no saved session; {HELP}")
    with sources.opened(options) as session:
        _check_sizes(wanted, session.video.size)
        for key, parts in wanted.items():
            session.add_prompt(parts.prompt(*key))
        for key, points in corrections.items():
            session.add_prompt(session.correction(*key, *points))
        if not session.prompts:
            raise SessionError(f"no prompt was given, and {options.source} holds none; {HELP}")
        yield session


def _check_sizes(wanted: Wanted, size: tuple[int, int]) -> None:
    for parts in wanted.values():
        if parts.mask is not None and parts.mask.size != size:
            (height, width), (rows, columns) = parts.mask.size, size
            raise PromptError(
                f"{parts.file} is {width} x {height} pixels, the frames are {columns} x {rows}; "
                "give an image of the same size"
            )


def read(options: argparse.Namespace) -> Wanted:
    """The prompts of a command line, by frame and object.

    Raises:
        UsageError: for an argument or an entry of ``prompts.json`` that is no prompt.
        PromptError: for a file that cannot be read, or a mask that is none.
    """
    parts: Wanted = defaultdict(Parts)
    if options.prompts:
        _read_json(options.prompts, parts)
    for key, points in _points(options.point).items():
        parts[key].points += points
    for text in options.box:
        key, rest = _split(text)
        parts[key].box = Box(*_numbers(text, rest.split(","), 4))
    for text in options.mask:
        key, rest = _split(text)
        parts[key].set_mask(masks.encode(read_mask(Path(rest))), Path(rest))
    for text in options.labels:
        frame_index, path = labels.split(text)
        for object_id, mask in labels.read(path).items():
            parts[frame_index, object_id].set_mask(mask, path)
    for key, found in parts.items():
        found.check(*key)
    return dict(sorted(parts.items()))


def _points(texts: Sequence[str]) -> dict[tuple[int, int], list[Point]]:
    """Clicks by frame index and object id, in the order of these."""
    found: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for text in texts:
        key, rest = _split(text)
        found[key].append(_point(text, rest.split(",")))
    return dict(sorted(found.items()))


def _split(text: str) -> tuple[tuple[int, int], str]:
    """``OBJECT@FRAME:rest`` -> ``((frame, object), rest)``."""
    head, colon, rest = text.partition(":")
    object_id, at, frame_index = head.partition("@")
    try:
        if colon and at:
            return (int(frame_index), int(object_id)), rest
    except ValueError:
        pass
    raise UsageError(f"cannot read the prompt {text!r}; write OBJECT@FRAME:..., for example 1@0:120,80")


def _numbers(text: str, parts: Sequence[str], count: int) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UsageError(f"cannot read the prompt {text!r}; it takes {count} numbers after the colon")
    return numbers


def _point(text: str, parts: Sequence[str]) -> Point:
    sign = parts[-1].strip()
    x, y = _numbers(text, parts[:-1] if sign in ("-", "+") else parts, 2)
    return Point(x, y, sign != "-")


def read_mask(path: Path) -> Mask:
    """A mask from an image: everything that is not black is the object.

    Raises:
        PromptError: if it cannot be read as an image.
    """
    try:
        with PILImage.open(path) as image:
            image.load()  # here, since numpy would hide the error of a broken file
            # An alpha channel is not the object, nor are values of other colours than red, green and blue.
            plain = image if image.mode in PLAIN else image.convert("L" if image.mode == "LA" else "RGB")
            pixels = np.asarray(plain)
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
        raise PromptError(f"cannot read the mask {path}: {reason(error)}") from error
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    if (values := len(np.unique(pixels[pixels > 0]))) > 1:
        raise PromptError(
            f"the mask {path} holds {values} values beside 0; give one object per file, or --labels FILE"
        )
    mask: Mask = pixels > 0
    return mask


def _read_json(path: Path, parts: Wanted) -> None:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError("it holds no list; put the prompts into [ and ], even a single one")
        for entry in entries:
            _add_entry(entry, path.parent, parts)
    except SAM2Error:
        raise
    except OSError as error:
        raise PromptError(f"cannot read {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text file; a saved session is given as the SOURCE") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        example = '{"object_id": 1, "frame": 0, "points": [[x, y, 1]]}'
        raise UsageError(f"{path} is no list of prompts like {example}: {reason(error)}") from error


def _add_entry(entry: Any, folder: Path, parts: Wanted) -> None:
    if not isinstance(entry, dict):
        raise TypeError(f"{json.dumps(entry)} is no object with keys")
    if unknown := [key for key in entry if key not in KEYS]:
        raise ValueError(f"the key {unknown[0]!r} is not known; there are: {', '.join(KEYS)}")
    frame_index = entry["frame_index" if "frame_index" in entry else "frame"]
    if entry.get("frame", frame_index) != frame_index:
        raise ValueError(f"'frame' is {entry['frame']} and 'frame_index' {frame_index}, the same thing")
    into = parts[operator.index(frame_index), operator.index(entry["object_id"])]
    into.points += [Point(*point) for point in entry.get("points") or ()]
    if entry.get("box") is not None:
        into.box = Box(*entry["box"])
    if entry.get("mask"):
        file = folder / entry["mask"]
        into.set_mask(masks.encode(read_mask(file)), file)
