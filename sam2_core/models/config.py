"""Every size of every network: the eight published models and ``nano``. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sam2_core.errors import ModelError


@dataclass(frozen=True)
class HieraConfig:
    """The hierarchical transformer of the published models (Hiera, Ryali et al. 2023).

    Attributes:
        dims: channels of each stage.
        heads: attention heads of each stage.
        blocks: blocks of each stage.
        windows: side of the attention windows of each stage, in tokens.
        global_blocks: numbers of the blocks that attend to the whole image instead.
        position_grid: side of the learned position grid that is stretched over the image.
    """

    dims: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = ()
    position_grid: int = 7


@dataclass(frozen=True)
class ConvTrunkConfig:
    """The convolutional trunk of nano.

    Attributes:
        dims: channels of each stage.
        blocks: blocks of each stage.
    """

    dims: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]


LARGEST_IMAGE = 4096
"""Beyond this no memory is large enough; a file that asks for more is damaged."""


@dataclass(frozen=True)
class SAM2Config:
    """The sizes of one network.

    Attributes:
        name: how users call it.
        trunk: the image trunk; gives features of strides 4, 8, 16 and 32.
        image_size: side of the square that images are resized to; any multiple of 32 works.
        dim: channels of the features, of prompts and of object pointers.
        memory_dim: channels of a spatial memory; ``dim`` is a multiple of it.
        memory_layers: layers of the memory attention.
        memory_hidden: width of its feed-forward networks.
        memory_dropout: dropout of the memory attention, in training only.
        memory_slots: temporal positions of spatial memories (tracked frames, and one for prompted frames).
        pointers: how many frames' object pointers are read at most.
        rope_theta: base of the rotary frequencies.
        mask_dims: channels of the memory encoder's mask branch, at strides 2, 4, 8 and 16.
        decoder_layers: two-way layers of the mask decoder.
        decoder_heads: its attention heads.
        decoder_hidden: width of its feed-forward networks.
        pointer_positions: object pointers carry their age (2.1).
        absence_embedding: memories of frames without the object are marked (2.1).
        multimask_tracking: a tracked mask is the best of three (published models), not the single one.
        previous_mask_tracking: the decoder of a tracked frame is given the last frame's mask as well, where a
            correction gives the mask that is to be corrected (MaskTrack, Perazzi et al. 2017), and spatial
            memories move with the object (``models.motion``); nano.
        mirrored_clicks: the mirror image of the frame helps to choose among the readings of a single click,
            since the network's own predicted IoU chooses badly (decision record 13); nano.
    """

    name: str
    trunk: HieraConfig | ConvTrunkConfig
    image_size: int = 1024
    dim: int = 256
    memory_dim: int = 64
    memory_layers: int = 4
    memory_hidden: int = 2048
    memory_dropout: float = 0.1
    memory_slots: int = 7
    pointers: int = 16
    rope_theta: float = 10000.0
    mask_dims: tuple[int, int, int, int] = (4, 16, 64, 256)
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    pointer_positions: bool = True
    absence_embedding: bool = True
    multimask_tracking: bool = True
    previous_mask_tracking: bool = False
    mirrored_clicks: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that no feature grid fits."""
        if not 32 <= self.image_size <= LARGEST_IMAGE or self.image_size % 32:
            raise ModelError(
                f"image_size must be a multiple of 32, at most {LARGEST_IMAGE}; got {self.image_size}"
            )

    @property
    def has_large_products(self) -> bool:
        """Whether bfloat16 pays on a CPU; nano's matrices are so small that other work outweighs them."""
        return isinstance(self.trunk, HieraConfig)

    def at_size(self, image_size: int) -> SAM2Config:
        """The same network for images of another size (a multiple of 32)."""
        return replace(self, image_size=image_size)


# SAM 2 paper, appendix C, and the sizes of the released checkpoints.
_TRUNKS = {
    "tiny": HieraConfig((96, 192, 384, 768), (1, 2, 4, 8), (1, 2, 7, 2), global_blocks=(5, 7, 9)),
    "small": HieraConfig((96, 192, 384, 768), (1, 2, 4, 8), (1, 2, 11, 2), global_blocks=(7, 10, 13)),
    "base-plus": HieraConfig(
        (112, 224, 448, 896), (2, 4, 8, 16), (2, 3, 16, 3), global_blocks=(12, 16, 20), position_grid=14
    ),
    "large": HieraConfig(
        (144, 288, 576, 1152), (2, 4, 8, 16), (2, 6, 36, 4), (8, 4, 16, 8), global_blocks=(23, 33, 43)
    ),
}

_NANO = SAM2Config(
    name="nano",
    trunk=ConvTrunkConfig((32, 64, 128, 256), (1, 2, 3, 1)),
    image_size=256,
    dim=128,
    memory_layers=2,
    memory_hidden=512,
    memory_dropout=0.0,
    memory_slots=3,  # two tracked frames: with more it believes its own mistakes
    rope_theta=100.0,  # a 16 x 16 grid: lower frequencies would hardly turn
    mask_dims=(4, 16, 64, 128),
    decoder_hidden=512,
    multimask_tracking=False,  # it is trained so: a tracked object is not ambiguous
    previous_mask_tracking=True,  # of few samples it learns sooner to move a mask than to find one again
    mirrored_clicks=True,  # few samples teach the predicted IoU little about images unlike them
)


def _all_configs() -> dict[str, SAM2Config]:
    configs = {_NANO.name: _NANO}
    for version, is_21 in (("sam2", False), ("sam2.1", True)):
        for size, trunk in _TRUNKS.items():
            name = f"{version}-{size}"
            configs[name] = SAM2Config(name, trunk, pointer_positions=is_21, absence_embedding=is_21)
    return configs


CONFIGS: Mapping[str, SAM2Config] = MappingProxyType(_all_configs())
"""All networks by name: nano, sam2-tiny ... sam2-large, sam2.1-tiny ... sam2.1-large."""


def config(name: str) -> SAM2Config:
    """The sizes of a network by its name.

    Raises:
        ModelError: if there is no such network.
    """
    if name not in CONFIGS:
        raise ModelError(f"no network is called {name!r}; there are: {', '.join(CONFIGS)}")
    return CONFIGS[name]
