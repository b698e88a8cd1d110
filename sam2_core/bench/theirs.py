"""The same network in the ``transformers`` library, and sessions of it in the state that a case needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sam2_core.errors import ModelError
from sam2_core.models.config import HieraConfig, SAM2Config
from sam2_core.models.hub_names import hub_name
from sam2_core.models.preprocess import preprocess
from sam2_core.models.sam2 import SAM2
from sam2_core.types import Image, Point

_STACKED_POINTS = "prompt_encoder.point_embed.weight"


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in Meta's names -> the same in the hub's: points in one tensor, the place matrix twice."""
    points = [name for name in sorted(state) if hub_name(name) == _STACKED_POINTS]
    renamed = {hub_name(name): tensor for name, tensor in state.items() if name not in points}
    renamed[_STACKED_POINTS] = torch.cat([state[name] for name in points])
    matrix = state["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    renamed["shared_image_embedding.positional_embedding"] = matrix
    return renamed


def hub_config(config: SAM2Config) -> Any:
    """The sizes of a Hiera network as the library's ``Sam2VideoConfig``.

    Raises:
        ModelError: if the library is not installed, or does not know such a network.
    """
    try:
        from transformers import Sam2VideoConfig
    except ImportError as error:
        raise ModelError(
            "the comparison needs transformers; install it with: pip install 'sam2-core[bench]'"
        ) from error
    trunk = config.trunk
    if not isinstance(trunk, HieraConfig):
        raise ModelError(f"transformers does not know networks like {config.name!r}")
    grid = config.image_size // 16
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [config.image_size, config.image_size],
                "hidden_size": trunk.dims[0],
                "num_attention_heads": trunk.heads[0],
                "embed_dim_per_stage": list(trunk.dims),
                "num_attention_heads_per_stage": list(trunk.heads),
                "blocks_per_stage": list(trunk.blocks),
                "window_size_per_stage": list(trunk.windows),
                "global_attention_blocks": list(trunk.global_blocks),
                "window_positional_embedding_background_size": [trunk.position_grid] * 2,
            },
            "backbone_channel_list": list(reversed(trunk.dims)),
            "backbone_feature_sizes": [[4 * grid, 4 * grid], [2 * grid, 2 * grid], [grid, grid]],
        },
        prompt_encoder_config={"image_size": config.image_size},
        image_size=config.image_size,
        memory_attention_rope_feat_sizes=[grid, grid],
        enable_temporal_pos_encoding_for_object_pointers=config.pointer_positions,
        enable_occlusion_spatial_embedding=config.absence_embedding,
    )


def same_network(network: SAM2, attention: str = "sdpa") -> Any:
    """A ``Sam2VideoModel`` of the same sizes and weights, in float32, with one of its kinds of attention.

    Its mask-prompt path takes the pointer from the best of three masks, where Meta's takes the single mask;
    compare pointers of mask prompts with ``_single_frame_forward(..., multimask_output=False)``.
    """
    config = hub_config(network.config)
    import transformers

    library: Any = transformers
    model = library.Sam2VideoModel._from_config(config, attn_implementation=attention)
    model.eval()
    model.load_state_dict(to_hub_names(network.state_dict()), strict=True)
    return model


class TheirSetting(NamedTuple):
    """A setting of the library.

    Attributes:
        dtype: what it computes in.
        attention: its ``attn_implementation``.
    """

    dtype: torch.dtype
    attention: str


FLOAT32 = "float32"
"""The setting in which its masks are ours but for rounding."""

THEIR_SETTINGS: Mapping[str, TheirSetting] = {
    FLOAT32: TheirSetting(torch.float32, "sdpa"),
    "bfloat16": TheirSetting(torch.bfloat16, "sdpa"),
    "bfloat16, eager": TheirSetting(torch.bfloat16, "eager"),
}
"""Its settings by the names that people read; the best counts."""


@dataclass(frozen=True, eq=False)
class Theirs:
    """The library's model in one setting.

    Attributes:
        model: a ``Sam2VideoModel``.
        dtype: what it computes in.
        device: where.
    """

    model: Any
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, network: SAM2, setting: TheirSetting, device: torch.device) -> Theirs:
        """The same network there."""
        dtype, attention = setting
        return cls(same_network(network, attention).to(device, dtype), dtype, device)

    def session(self, frames: Iterable[Image], size: tuple[int, int], cached: int = 1) -> Any:
        """A session of some frames, all of them preprocessed at once, as the library's own do it.

        Args:
            frames: the frames, ``(height, width, 3)``.
            size: height and width of the video.
            cached: of how many frames it keeps the features.
        """
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        session = Sam2VideoInferenceSession(
            video=None,
            video_height=size[0],
            video_width=size[1],
            inference_device=self.device,
            inference_state_device=self.device,
            video_storage_device=self.device,
            dtype=self.dtype,
            max_vision_features_cache_size=cached,
        )
        side, exact = self.model.config.image_size, self.dtype == torch.float32  # resized as ours are
        session.processed_frames = {
            index: preprocess(frame, side, exact=exact)[0].to(self.device, self.dtype)
            for index, frame in enumerate(frames)
        }
        return session

    def remember(self, session: Any, object_id: int, spatial: Sequence[Tensor], pointers: Tensor) -> None:
        """Give an object the memories of frames 0, 1, ...: the first prompted, the others tracked.

        Args:
            session: a session.
            object_id: the object.
            spatial: memories ``(1, memory dim, height, width)``.
            pointers: object pointers ``(frames, dim)``.
        """
        from sam2_core.models.positions import sine_grid

        index = session.obj_id_to_idx(object_id)
        for t, memory in enumerate(spatial):
            _, dim, height, width = memory.shape
            place = sine_grid(height, width, dim, self.device, torch.float32).to(self.dtype)
            output = {
                "maskmem_features": memory.to(self.device).flatten(2).permute(2, 0, 1),
                "maskmem_pos_enc": place.flatten(2).permute(2, 0, 1),
                "object_pointer": pointers[t][None].to(self.device, self.dtype),
                "pred_masks": torch.zeros(1, 1, 4 * height, 4 * width, device=self.device, dtype=self.dtype),
                "object_score_logits": torch.ones(1, 1, device=self.device, dtype=self.dtype),
            }
            session.store_output(index, t, output_value=output, is_conditioning_frame=t == 0)

    def add_click(self, session: Any, frame_index: int, object_id: int, point: Point) -> None:
        """A positive click on a frame, in pixels of the video; the next step there answers it."""
        side, index = self.model.config.image_size, session.obj_id_to_idx(object_id)
        x, y = (point.x + 0.5) / session.video_width * side, (point.y + 0.5) / session.video_height * side
        inputs = {
            "point_coords": torch.tensor([[[[x, y]]]], dtype=self.dtype),
            "point_labels": torch.ones(1, 1, 1, dtype=torch.int32),
        }
        session.add_point_inputs(index, frame_index, inputs)
        session.obj_with_new_inputs.append(object_id)

    def click(self, session: Any, frame_index: int, object_id: int, point: Point) -> Tensor:
        """The same, answered at once by the mask's logits."""
        self.add_click(session, frame_index, object_id, point)
        return self.step(session, frame_index)

    @torch.inference_mode()
    def step(self, session: Any, frame_index: int) -> Tensor:
        """All objects on a frame, ``(objects, 1, height, width)`` logits."""
        logits: Tensor = self.model(session, frame_idx=frame_index).pred_masks
        return logits
