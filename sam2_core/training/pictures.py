"""Real pictures for layered scenes: cut-outs that move in front of places.

``python -m sam2_core.training.pictures FOLDER FILE`` packs a folder of pictures into one file for the
trainer's ``--pictures``. A picture with a transparent surrounding is a cut-out; an opaque one is a place;
an animated model (``figures``) is seen in motion.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor

from sam2_core.errors import SAM2Error, VideoError, reason
from sam2_core.files import new_file
from sam2_core.training.figures import FIGURE_SIZE, POSES, render
from sam2_core.training.random import Random

CUT_OUT_SIZE = 160
"""Height and width of a stored cut-out; it touches the border in its longer direction."""
PLACE_SIZE = 512
"""Height and width of a stored place."""

Picture = NDArray[np.uint8]
"""``(height, width, channels)``."""

_UNREADABLE = (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError)  # PIL raises any of them
_SMALLEST = 48
_ONE_IN = 16


@dataclass(frozen=True, eq=False)
class Pictures:
    """Packed pictures; one in 16 of each kind is kept for validation.

    Attributes:
        path: of the packed file.
        held_out: whether these are the ones for validation, or the others.
        identity: says which pictures these are.
        has_figures: whether there are animated models among them.
    """

    path: Path
    held_out: bool = False
    identity: str = field(init=False, default="")
    has_figures: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Look whether the file holds pictures.

        Raises:
            VideoError: if it does not.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
                digest = (file.metadata() or {}).get("sha256")
        except (OSError, SafetensorError) as error:
            raise VideoError(f"{str(self.path)!r} holds no packed pictures: {reason(error)}") from error
        wanted = {
            "cut_outs": [4, CUT_OUT_SIZE, CUT_OUT_SIZE],
            "places": [3, PLACE_SIZE, PLACE_SIZE],
            "figures": [POSES, 4, FIGURE_SIZE, FIGURE_SIZE],
        }
        found = {name: shape[1:] for name, shape in shapes.items()}
        if digest is None or {"figures": wanted["figures"], **found} != wanted:
            raise VideoError(
                f"{str(self.path)!r} holds no packed pictures; make it from a folder of them with "
                "'python -m sam2_core.training.pictures'"
            )
        object.__setattr__(self, "identity", digest)
        object.__setattr__(self, "has_figures", "figures" in found)

    def cut_outs(self, rng: Random, count: int) -> Tensor:
        """Colour and opacity, ``(count, 4, CUT_OUT_SIZE, CUT_OUT_SIZE)`` in 0..1."""
        return self._some(rng, "cut_outs", count, CUT_OUT_SIZE, CUT_OUT_SIZE)

    def places(self, rng: Random, count: int, height: int, width: int) -> Tensor:
        """Colour of a random part of each, ``(count, 3, height, width)`` in 0..1."""
        return self._some(rng, "places", count, height, width)

    def figures(self, rng: Random, count: int) -> Tensor:
        """Colour and opacity of figures, ``(count, POSES, 4, FIGURE_SIZE, FIGURE_SIZE)`` in 0..1."""
        return self._some(rng, "figures", count, FIGURE_SIZE, FIGURE_SIZE)

    def _some(self, rng: Random, kind: str, count: int, height: int, width: int) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            stored = file.get_slice(kind)
            rows, *_, size = stored.get_shape()
            usable = [row for row in range(rows) if (row % _ONE_IN == 0) is self.held_out]
            parts = []
            for _ in range(count):
                row = usable[rng.integer(0, len(usable) - 1)]
                top, left = rng.integer(0, size - height), rng.integer(0, size - width)
                parts.append(stored[row : row + 1, ..., top : top + height, left : left + width])
        return torch.cat(parts).to(rng.device).float() / 255


def pack(folder: Path, path: Path) -> dict[str, int]:
    """Pack all pictures and animated models below a folder; how many there are of each kind."""
    cut_outs: list[Picture] = []
    places: list[Picture] = []
    for picture in _pictures(folder):
        if (np.asarray(picture.getchannel("A")) < 8).mean() < 0.02:
            places += _squares(picture.convert("RGB"))
        elif (cut_out := _cut_out(picture)) is not None:
            cut_outs.append(cut_out)
    if min(len(cut_outs), len(places)) < 2:
        raise VideoError(
            f"{str(folder)!r} holds {len(cut_outs)} cut-outs and {len(places)} places; at least two of each "
            "are needed: pictures with a transparent surrounding, and opaque ones"
        )
    stacks = {"cut_outs": _stacked(cut_outs), "places": _stacked(places)}
    if len(figures := list(_figures(folder))) > 1:  # the first of them is kept for validation
        stacks["figures"] = torch.from_numpy(np.stack(figures))
    digests = [hashlib.sha256(stack.numpy().data).digest() for stack in stacks.values()]
    with new_file(path) as part:
        save_file(stacks, part, metadata={"sha256": hashlib.sha256(b"".join(digests)).hexdigest()})
    return {kind: len(stack) for kind, stack in stacks.items()}


def _figures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """``(POSES, 4, FIGURE_SIZE, FIGURE_SIZE)`` of each animated model, drawn by all processors."""
    paths = sorted(folder.rglob("*.g3d"))
    with ProcessPoolExecutor() as processes:
        started = [processes.submit(render, number, path) for number, path in enumerate(paths)]
        for path, figure in zip(paths, started, strict=True):
            try:
                poses = figure.result()
            except _UNREADABLE as error:
                sys.stderr.write(f"warning: {path.name} is left out: {reason(error)}\n")
                continue
            if poses is not None:
                yield poses


def _stacked(pictures: list[Picture]) -> Tensor:
    """``(count, channels, height, width)`` uint8."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _pictures(folder: Path) -> Iterator[PIL.Image.Image]:
    known = PIL.Image.registered_extensions()
    skins = {path.parent for path in folder.rglob("*.g3d")}  # pictures beside a model are its textures
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in known and path.parent not in skins:
            try:
                with PIL.Image.open(path) as picture:
                    yield picture.convert("RGBA")
            except _UNREADABLE as error:
                sys.stderr.write(f"warning: {path.name} is left out: {error}\n")


def _squares(picture: PIL.Image.Image) -> list[Picture]:
    """One square of a picture, or the two ends of a wide one."""
    short = min(picture.size)
    if short < PLACE_SIZE // 2:
        return []
    ends = (0.0, 1.0) if max(picture.size) > 1.4 * short else (0.5,)
    corners = [tuple(int(end * (length - short)) for length in picture.size) for end in ends]
    boxes = [(left, top, left + short, top + short) for left, top in corners]
    size = (PLACE_SIZE, PLACE_SIZE)
    return [np.asarray(picture.resize(size, PIL.Image.Resampling.LANCZOS, box)) for box in boxes]


def _cut_out(picture: PIL.Image.Image) -> Picture | None:
    """The opaque part of a picture in the middle of a square; None if small, thin or a full rectangle."""
    solid = picture.getchannel("A").point(lambda value: 255 * (value > 127))
    box = solid.getbbox()
    if box is None:
        return None
    width, height = box[2] - box[0], box[3] - box[1]
    share = np.asarray(solid.crop(box)).mean() / 255
    if max(width, height) < _SMALLEST or min(width, height) < _SMALLEST / 4 or not 0.2 < share < 0.97:
        return None
    scale = CUT_OUT_SIZE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = picture.crop(box).resize(size, PIL.Image.Resampling.LANCZOS)
    square = PIL.Image.new("RGBA", (CUT_OUT_SIZE, CUT_OUT_SIZE))
    square.paste(small, ((CUT_OUT_SIZE - size[0]) // 2, (CUT_OUT_SIZE - size[1]) // 2))
    return _without_rim(np.asarray(square))


def _without_rim(cut_out: Picture) -> Picture:
    """The same with the colours of the edge outside too: black there would shine through as a dark rim."""
    faint = cut_out[..., 3] < 128
    rows, columns = ndimage.distance_transform_edt(faint, return_distances=False, return_indices=True)
    return np.dstack([cut_out[rows, columns, :3], cut_out[..., 3:]])


def main(argv: list[str] | None = None) -> int:
    """Pack a folder."""
    parser = argparse.ArgumentParser(prog="python -m sam2_core.training.pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args(argv)
    try:
        counts = pack(arguments.folder, arguments.file)
    except SAM2Error as error:
        parser.error(str(error))
    except (OSError, SafetensorError) as error:
        parser.error(f"cannot write {str(arguments.file)!r}: {reason(error)}")
    kinds = (f"{count} {kind.replace('_', '-')}" for kind, count in counts.items())
    sys.stdout.write(f"{', '.join(kinds)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
