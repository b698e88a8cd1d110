"""The network as a user would meet it, with gradients: prompts on the first frame, tracking, corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from sam2_core.models import motion
from sam2_core.models.memory_attention import MemoryTokens
from sam2_core.models.sam2 import SAM2, Features, Prediction, clamped, mask_to_logits
from sam2_core.training.batches import Batch
from sam2_core.training.decoding import (
    Decoding,
    best_logits,
    box_or_click,
    correct_mask,
    features_per_object,
    upsampled_masks,
    with_click,
)
from sam2_core.training.prompts import PromptMix, correction_clicks
from sam2_core.training.random import Random


class Remembered(NamedTuple):
    """What is remembered of a frame: spatial memories, object pointers, and where the objects were."""

    memory_ndhw: Tensor
    pointer_nd: Tensor
    centres_n2: Tensor


@dataclass
class BatchedMemoryBank:
    """The memory bank of all objects of a batch; frames read it as in inference (SAM 2, section 4).

    Attributes:
        conditioning: what is remembered of prompted frames, by frame.
        tracked: the same of tracked frames.
    """

    conditioning: dict[int, Remembered] = field(default_factory=dict)
    tracked: dict[int, Remembered] = field(default_factory=dict)

    def tokens(self, network: SAM2, frame: int) -> MemoryTokens:
        """What a frame reads."""
        memory_span, pointer_span = network.config.memory_slots - 1, network.config.pointers - 1
        behind = {frame - t: known for t, known in self.tracked.items()}
        near = {steps: known for steps, known in behind.items() if steps <= memory_span}
        near |= {frame - t: known for t, known in self.conditioning.items()}
        now_at = motion.latest(near[steps].centres_n2 for steps in sorted(near))

        def memory(known: Remembered) -> Tensor:
            if now_at is None or not network.config.previous_mask_tracking:
                return known.memory_ndhw
            return motion.moved(known.memory_ndhw, known.centres_n2, now_at)

        conditioning = [
            (frame - t, memory(known), known.pointer_nd) for t, known in self.conditioning.items()
        ]
        recent = [
            (steps, memory(behind[steps]) if steps <= memory_span else None, behind[steps].pointer_nd)
            for steps in range(1, pointer_span + 1)
            if steps in behind
        ]
        return network.recall(conditioning, recent)


@dataclass(frozen=True)
class PromptSchedule:
    """Which prompts the simulated user gives on which frame; the same for all objects of a batch.

    Attributes:
        kind: "mask", "box" or "click" on the first frame.
        corrections: correction clicks on the first frame (not after a mask).
        corrected_frame: a later frame whose tracked mask is corrected with one click, or None.
        burn_in: so many frames after the first are tracked without gradients and without a loss, so that
            the frames behind them are learnt from the masks and memories of a network that has drifted.
        mix: how exact prompts are.
    """

    kind: str
    corrections: int = 0
    corrected_frame: int | None = None
    burn_in: int = 0
    mix: PromptMix = field(default_factory=PromptMix)


def roll_out(network: SAM2, batch: Batch, schedule: PromptSchedule, rng: Random) -> Iterator[Decoding]:
    """Prompt the first frame, track through the others; yields every answer, corrections included.

    Given masks and burn-in frames are no answers that one could learn from; they are not yielded.
    """
    bank, previous = BatchedMemoryBank(), None
    with_gradients = torch.is_grad_enabled()
    for frame, features in enumerate(_encoded_frames(network, batch, schedule.burn_in)):
        burning_in = 1 <= frame <= schedule.burn_in
        with torch.set_grad_enabled(with_gradients and not burning_in):
            truth = batch.masks[frame]
            if frame == 0:
                decodings = list(_prompted_frame(network, features, truth, schedule, rng))
            else:
                tokens = bank.tokens(network, frame)
                tracked = _tracked(network, features, tokens, previous)
                decodings = list(_tracked_frame(network, features, tracked, frame, truth, schedule, rng))
            given = frame == 0 and schedule.kind == "mask"
            if not burning_in and not given:
                yield from decodings
            previous = decodings[-1].prediction.logits_n1hw.detach()
            if frame + 1 < len(batch.masks):
                _remember(network, features, truth, decodings[-1], bank)


def _encoded_frames(network: SAM2, batch: Batch, burn_in: int) -> Iterator[Features]:
    """The features of each frame, once per object; those of burn-in frames without gradients."""
    clips, objects = batch.clips, batch.masks.shape[1]
    first_learnt = (1 + burn_in) * clips
    skipped = batch.images[clips:first_learnt]
    learnt = network.encode_image(torch.cat([batch.images[:clips], batch.images[first_learnt:]]))
    yield features_per_object(learnt, 0, clips, objects)
    for start in range(0, len(skipped), clips):
        with torch.no_grad():
            features = network.encode_image(skipped[start : start + clips])
        yield features_per_object(features, 0, clips, objects)
    for start in range(clips, len(batch.images) - len(skipped), clips):
        yield features_per_object(learnt, start, clips, objects)


def _prompted_frame(
    network: SAM2, features: Features, truth: Tensor, schedule: PromptSchedule, rng: Random
) -> Iterator[Decoding]:
    """The first frame: a mask; or a box or a click, and then correction clicks."""
    single = torch.ones(len(truth), dtype=torch.bool, device=truth.device)
    if schedule.kind == "mask":
        # In float32: antialiased resizing has no bfloat16 on a CPU.
        exact = Features(features.stride16.float(), features.stride8.float(), features.stride4.float())
        yield Decoding(0, network.segment_mask(exact, truth[:, None].float()), single, True)
        return
    multimask, previous = schedule.kind == "click", None
    single = single & (schedule.kind == "box")
    points = box_or_click(rng, truth, single, schedule.mix)
    for turn in range(1 + schedule.corrections):
        prediction = network.segment(
            features, points, None, previous, multimask=multimask, stability_fallback=False
        )
        yield Decoding(0, prediction, single, True)
        if turn < schedule.corrections:
            logits = best_logits(prediction, single).detach()
            shown, previous = upsampled_masks(logits, truth.shape[-1]), clamped(logits)
            points = with_click(points, *correction_clicks(rng, shown, truth, schedule.mix))
            multimask, single = False, torch.ones_like(single)


def _tracked(
    network: SAM2, features: Features, tokens: MemoryTokens, previous_n1hw: Tensor | None
) -> Prediction:
    """What tracking gives, with the mask of the frame before if the network is one that is given it."""
    given = None
    if previous_n1hw is not None and network.config.previous_mask_tracking:
        given = clamped(previous_n1hw.float())
    return network.segment(features, None, tokens, given, multimask=False, stability_fallback=False)


def _tracked_frame(
    network: SAM2,
    features: Features,
    prediction: Prediction,
    frame: int,
    truth: Tensor,
    schedule: PromptSchedule,
    rng: Random,
) -> Iterator[Decoding]:
    """A later frame: what tracking gives, and perhaps its correction."""
    single = torch.ones(len(truth), dtype=torch.bool, device=truth.device)
    yield Decoding(frame, prediction, single, False)
    if frame == schedule.corrected_frame:
        shown = upsampled_masks(best_logits(prediction, single), truth.shape[-1])
        prediction = correct_mask(network, features, shown, truth, schedule.mix, rng)
        yield Decoding(frame, prediction, single, True)


def _remember(
    network: SAM2, features: Features, truth: Tensor, decoding: Decoding, bank: BatchedMemoryBank
) -> None:
    """Store the last answer of a frame; a given mask is stored at full size."""
    prediction, logits = decoding.prediction, decoding.prediction.logits_n1hw
    if prediction.all_logits_nkhw.shape[1] == 1:
        logits = mask_to_logits(truth[:, None].float())
    memory = network.encode_memory(features, logits, prediction.object_score_n1, binarise=decoding.prompted)
    memories = bank.conditioning if decoding.prompted else bank.tracked
    memories[decoding.frame] = Remembered(memory, prediction.pointer_nd, motion.centres(logits.detach()))
