"""Networks with random weights, and frames and films that are made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from sam2_core.models.config import SAM2Config
from sam2_core.models.sam2 import SAM2
from sam2_core.training.clip_pool import make_clip
from sam2_core.types import Image

FRAME = (540, 960)
"""Height and width of the frames that cases look at."""


def random_network(config: SAM2Config, seed: int = 0) -> SAM2:
    """A network with random weights that are lively enough for a comparison to mean something.

    Objects count as present (a raised object score), and what training would have moved away from zero
    (position grids, layer scales) is not near zero.
    """
    torch.manual_seed(seed)
    network = SAM2(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.normal_(std=0.5)
            elif "pos_embed" in name or parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif name.startswith(("no_", "maskmem")):
                parameter.normal_(std=0.5)
        network.state_dict()["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(8.0)
    return network


def textured_frame(seed: int = 0, size: tuple[int, int] = (180, 240)) -> Image:
    """A frame with smooth colours, edges and grain, ``(height, width, 3)``."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / 40.0
    waves = random.uniform(0.5, 3.0, (3, 2)), random.uniform(0, 6.28, 3)
    image = np.stack(
        [np.sin(wave[0] * x + wave[1] * y + phase) for wave, phase in zip(*waves, strict=True)], -1
    )
    disc = (x - random.uniform(1, 5)) ** 2 + (y - random.uniform(1, 3.5)) ** 2 < 1
    image[disc] = random.uniform(-1, 1, 3)
    return np.clip(127 + 90 * image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


class Panned:
    """A video: a window of ``size`` that pans over a wide frame, four pixels a frame."""

    def __init__(self, frames: int, size: tuple[int, int], seed: int = 3) -> None:
        self.size = size
        self._frames = frames
        self._wide = textured_frame(seed, (size[0], size[1] + 4 * frames))

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frame_index: int) -> Image:
        left = 4 * frame_index
        return np.ascontiguousarray(self._wide[:, left : left + self.size[1]])


def cells(frames: int) -> NDArray[np.uint8]:
    """A procedural clip of cells, played again and again, ``(frames, 480, 640, 3)``."""
    clip = make_clip(3, 8).frames.permute(0, 2, 3, 1).numpy()
    large = [np.asarray(PIL.Image.fromarray(frame).resize((640, 480))) for frame in clip]
    return np.stack([large[index % len(large)] for index in range(frames)])


def write_film(path: Path, frames: Sequence[Image], count: int) -> None:
    """A film (H.264) that shows some frames again and again, ``count`` in all."""
    import av

    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(count):
            image = av.VideoFrame.from_ndarray(frames[index % len(frames)], format="rgb24")
            film.mux(stream.encode(image))
        film.mux(stream.encode())
