"""The document of a saved session: what a user said, on which video and to which model; JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2_core import masks, plugins, thumbnails
from sam2_core.errors import SessionError
from sam2_core.hookspecs import VideoModel
from sam2_core.prompts import Prompt
from sam2_core.results import RunLengths
from sam2_core.tracking.life import ALWAYS, ENDLESS, Life
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Box, Point, Video
from sam2_core.videos import ImageOptions

FORMAT, VERSION = "sam2-core session", 2
"""Version 1 knows neither lifetimes nor divisions; a session without them is still written so."""

LARGEST = 2**30
"""Frames have fewer pixels; what claims more would fill the memory."""


@dataclass(frozen=True, eq=False)
class Document:
    """All of a session that is no mask, and that cannot be computed.

    Attributes:
        model: the name of the model, or the path of its checkpoint.
        identity: the model's identity, by which its results are known.
        source: where the frames were; None for an array.
        options: how they were read, if the caller had said so.
        size: height and width of the frames.
        frames: how many there were.
        thumbnail: what the first prompted frame looked like, if it could be read.
        objects: the objects, in the order in which they were added.
        complete: those whose canonical result is known.
        prompts: the prompts, object by object.
        lives: the objects of which lifetimes or divisions are known.
    """

    model: str
    identity: str
    source: str | None
    options: ImageOptions | None
    size: tuple[int, int]
    frames: int
    thumbnail: Mapping[str, Any] | None
    objects: tuple[int, ...]
    complete: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    lives: Mapping[int, Life]

    def to_json(self) -> dict[str, Any]:
        """The document as it stands in the file."""
        return {
            "format": FORMAT,
            "version": VERSION if self.lives else 1,
            "model": self.model,
            "identity": self.identity,
            "video": {
                "source": self.source,
                "options": None if self.options is None else _options_to_json(self.options),
                "size": list(self.size),
                "frames": self.frames,
                "thumbnail": self.thumbnail,
            },
            "objects": list(self.objects),
            "complete": list(self.complete),
            "prompts": [_prompt_to_json(prompt) for prompt in self.prompts],
            **(_lives_to_json(self.lives) if self.lives else {}),
        }


def document_of(video: Video, model: VideoModel, tracks: Sequence[ObjectTrack]) -> Document:
    """The document of a session; one frame is read, for the thumbnail."""
    origin, (height, width) = plugins.origin_of(video), video.size
    return Document(
        model=model.name,
        identity=model.identity,
        source=None if origin is None else origin.path,
        options=None if origin is None else origin.options,
        size=(int(height), int(width)),  # a user's video may say it in NumPy's numbers
        frames=len(video),
        thumbnail=thumbnails.thumbnail(video, min((t.first for t in tracks), default=0)),
        objects=tuple(track.object_id for track in tracks),
        complete=tuple(t.object_id for t in tracks if t.is_complete(len(video))),
        prompts=tuple(t.prompts[i] for t in tracks for i in sorted(t.prompts)),
        lives={track.object_id: track.life for track in tracks if track.life != ALWAYS},
    )


def from_json(given: Mapping[str, Any]) -> Document:
    """The document of a file.

    Raises:
        SAM2Error: if it is of a newer version, or says what cannot be.
        Exception: whatever a broken one makes Python raise.
    """
    if given["format"] != FORMAT or given["version"] > VERSION:
        raise SessionError("a newer version of sam2-core wrote it; update")
    video = given["video"]
    height, width = size = tuple(video["size"])
    numbers = [height, width, video["frames"], *given["objects"], *given["complete"]]
    texts = [given["model"], given["identity"], video["source"] or ""]
    plain = {*map(type, numbers)} == {int} and {*map(type, texts)} == {str}
    if not plain or min(size) < 1 or height * width >= LARGEST:
        raise SessionError("its document lacks numbers or names")
    prompts = tuple(_prompt_from_json(prompt, (height, width)) for prompt in given["prompts"])
    return Document(
        model=given["model"],
        identity=given["identity"],
        source=video["source"],
        options=None if video.get("options") is None else ImageOptions(**video["options"]),
        size=(height, width),
        frames=video["frames"],
        thumbnail=_thumbnail(video.get("thumbnail")),
        objects=tuple(given["objects"]),
        complete=tuple(given["complete"]),
        prompts=prompts,
        lives=_lives_from_json(given, video["frames"], prompts),
    )


def _thumbnail(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if given is not None and not (bytes.fromhex(given["gray"]) and given["frame"] >= 0):
        raise SessionError("its document lacks what its video looks like")
    return given


def _options_to_json(options: ImageOptions) -> dict[str, Any]:
    limits, channels = options.contrast_limits, options.channels
    return {
        "contrast_limits": None if limits is None else np.asarray(limits, np.float64).tolist(),
        "channels": None if channels is None else [int(channel) for channel in channels],
        "z": None if options.z is None else int(options.z),
        "axes": options.axes,
    }


def _prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    return {
        "frame": prompt.frame_index,
        "object_id": prompt.object_id,
        "points": [[float(x), float(y), int(positive)] for x, y, positive in prompt.points],
        "box": None if prompt.box is None else [float(n) for n in prompt.box],
        "mask": None if prompt.encoded_mask is None else masks.to_coco(prompt.encoded_mask),
        "previous": None if prompt.encoded_previous is None else masks.to_coco(prompt.encoded_previous),
    }


def _prompt_from_json(given: Mapping[str, Any], size: tuple[int, int]) -> Prompt:
    return Prompt(
        given["frame"],
        given["object_id"],
        tuple(Point(x, y, bool(positive)) for x, y, positive in given["points"]),
        Box(*given["box"]) if given["box"] else None,
        mask=_mask(given["mask"], size),
        previous=_mask(given["previous"], size),
    )


def _mask(rle: Mapping[str, Any] | None, size: tuple[int, int]) -> RunLengths | None:
    if not rle:
        return None
    if tuple(rle["size"]) != size:
        raise SessionError(f"a prompt's mask has the size {rle['size']}")
    return masks.from_coco(rle)


def _lives_to_json(lives: Mapping[int, Life]) -> dict[str, Any]:
    lifetimes = [
        [i, life.start, None if life.stop == ENDLESS else life.stop]
        for i, life in lives.items()
        if (life.start, life.stop) != (0, ENDLESS)
    ]
    divisions = [
        {
            "frame": life.divides,
            "mother": i,
            "daughters": [d for d, born in lives.items() if born.mother == i],
        }
        for i, life in lives.items()
        if life.divides != ENDLESS
    ]
    return {"lifetimes": lifetimes, "divisions": divisions}


def _lives_from_json(given: Mapping[str, Any], frames: int, prompts: Sequence[Prompt]) -> dict[int, Life]:
    """When objects exist, by object; all of whom that is said have prompts, and all prompts are within.

    That forbids circles: all prompts of a mother are before her division, those of her daughters are not.

    Raises:
        SessionError: if the document says what cannot be.
        Exception: whatever a broken one makes Python raise.
    """
    lives: dict[int, Life] = {}
    for object_id, start, stop in given.get("lifetimes", ()):
        end = frames if stop is None else stop
        if object_id in lives or not _are_whole(object_id, start, end) or not 0 <= start < end <= frames:
            raise SessionError("a lifetime is damaged")
        lives[object_id] = Life(start, ENDLESS if stop is None else stop)
    for division in given.get("divisions", ()):
        frame, mother, daughters = division["frame"], division["mother"], division["daughters"]
        dividing = lives.get(mother, ALWAYS)
        if not daughters or not _are_whole(frame, mother, *daughters) or dividing.divides != ENDLESS:
            raise SessionError("a division is damaged")
        lives[mother] = replace(dividing, divides=frame)
        for daughter in daughters:
            born = lives.get(daughter, ALWAYS)
            if born.mother is not None:
                raise SessionError("an object has two mothers")
            lives[daughter] = replace(born, mother=mother, born=frame)
    within = all(prompt.frame_index in lives.get(prompt.object_id, ALWAYS).frames for prompt in prompts)
    if not within or not lives.keys() <= {prompt.object_id for prompt in prompts}:
        raise SessionError("its lifetimes, divisions and prompts do not belong together")
    return lives


def _are_whole(*numbers: object) -> bool:
    return {*map(type, numbers)} == {int}
