"""The clips of one process: made from numbered seeds as training goes on, and used several times each."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch

from sam2_core.files import new_file
from sam2_core.training.augmentation import augmented
from sam2_core.training.clips import Clip, frame_indices
from sam2_core.training.microscopy import make_microscopy
from sam2_core.training.pictures import Pictures
from sam2_core.training.random import Random
from sam2_core.training.scenes import make_scene

FIRST_HELD_OUT_SEED = 1 << 40
"""Seeds from here on are never trained on; validation uses them."""


def make_clip(
    seed: int,
    frames: int,
    size: int = 256,
    device: torch.device | str = "cpu",
    pictures: Pictures | None = None,
) -> Clip:
    """The clip of a seed; even ones are layered scenes (with pictures, if given), odd ones microscopy."""
    if seed % 2:
        return make_microscopy(seed, frames, size, device)
    return make_scene(seed, frames, size, device, pictures)


@dataclass
class ClipPool:
    """The clips that one process trains on: the latest ``capacity`` of those made so far.

    Which clips these are depends on how many were made, and on nothing else. So nothing needs to be saved: a
    clip that is missing after a restart is made again from its seed.

    Attributes:
        seed: the seed of the first clip.
        rank: which process this is.
        world_size: how many there are; each has clips of its own.
        frames: length of every clip.
        size: height and width of every clip.
        capacity: how many clips are in use at a time.
        start: how many exist before the first step.
        device: where they are made and kept.
        folder: keeps up to four times ``capacity`` of them per process (2 MB each at 8 frames of 256 x 256),
            so that a resumed run need not make them again.
        pictures: for layered scenes; None makes them of textures and outlines only.
    """

    seed: int = 0
    rank: int = 0
    world_size: int = 1
    frames: int = 8
    size: int = 256
    capacity: int = 400
    start: int = 16
    device: torch.device | str = "cpu"
    folder: Path | None = None
    pictures: Pictures | None = None

    def __post_init__(self) -> None:
        """Start empty."""
        self._clips: OrderedDict[int, Clip] = OrderedDict()

    def draw(self, rng: Random, clips_made: int, frames: int, stride: int) -> Clip:
        """A random run of frames of one of the latest clips, augmented."""
        clip = self.sample(rng, clips_made)
        return augmented(rng, clip.at(frame_indices(rng, len(clip.frames), frames, stride)))

    def sample(self, rng: Random, clips_made: int) -> Clip:
        """A random one of the latest clips.

        Args:
            rng: the source of randomness.
            clips_made: how many were made since the first step.
        """
        end = self.start + clips_made
        return self.clip(rng.integer(max(0, end - self.capacity), end - 1))

    def clip(self, index: int) -> Clip:
        """The clip of this process with this index."""
        if index not in self._clips:
            # Pairs of seeds go to a process, so that each process gets both families.
            seed = self.seed + (index // 2 * self.world_size + self.rank) * 2 + index % 2
            self._clips[index] = self._from_folder(seed)
            while len(self._clips) > self.capacity:
                self._clips.popitem(last=False)
        return self._clips[index]

    def _from_folder(self, seed: int) -> Clip:
        if self.folder is None:
            return make_clip(seed, self.frames, self.size, self.device, self.pictures)
        key = (seed, self.frames, self.size, self.pictures.identity if self.pictures else "")
        path = self.folder / f"{seed % (4 * self.capacity * self.world_size)}.pt"
        if path.exists():
            stored = torch.load(path, map_location=self.device, weights_only=True)
            if stored["key"] == key:
                return Clip(stored["frames"], stored["labels"], stored["table"])
        clip = make_clip(seed, self.frames, self.size, self.device, self.pictures)
        with new_file(path) as part:
            torch.save({"key": key, **vars(clip)}, part)
        return clip
