"""The network as a user would meet it, with gradients: prompts on the first frame, tracking, corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.models.memory_attention import MemoryTokens
from sam2_core.models.prompt_encoder import BOTTOM_RIGHT, PAD, POSITIVE, TOP_LEFT, PointPrompts
from sam2_core.models.sam2 import SAM2, Features, Prediction
from sam2_core.training.bank import Batch
from sam2_core.training.prompts import PromptMix, clicks, corrections, noisy_boxes
from sam2_core.training.random import Dice


def per_object(features: Features, start: int, clips: int, objects: int) -> Features:
    """The features of one frame of each clip, once per object (expanded, which is cheap to differentiate)."""

    def spread(level: Tensor) -> Tensor:
        own = level[start : start + clips]
        return own[:, None].expand(-1, objects // clips, -1, -1, -1).flatten(0, 1)

    return Features(spread(features.stride16), spread(features.stride8), spread(features.stride4))


def first_prompts(dice: Dice, masks: Tensor, boxed: Tensor, mix: PromptMix) -> PointPrompts:
    """A box or a click for each object.

    Args:
        dice: where chance comes from.
        masks: ``(n, height, width)`` bool.
        boxed: who gets a box, ``(n,)`` bool.
        mix: how exact boxes are and where clicks go.
    """
    corners = noisy_boxes(dice, masks, mix).view(-1, 2, 2) - 0.5  # edges lie half a pixel before centres
    place = clicks(dice, masks, mix.central)
    click = torch.stack([place, torch.zeros_like(place)], 1)
    box_labels = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=masks.device)
    click_labels = torch.tensor([POSITIVE, PAD], device=masks.device)
    return PointPrompts(
        torch.where(boxed[:, None, None], corners, click),
        torch.where(boxed[:, None], box_labels, click_labels),
    )


def with_click(points: PointPrompts | None, places: Tensor, labels: Tensor) -> PointPrompts:
    """One more point for every object."""
    if points is None:
        return PointPrompts(places[:, None], labels[:, None])
    return PointPrompts(
        torch.cat([points.coords_np2, places[:, None]], 1), torch.cat([points.labels_np, labels[:, None]], 1)
    )


def counted_masks(single: Tensor) -> Tensor:
    """Which of the four masks answer: the first for clear prompts, the others for one click, ``(n, 4)``."""
    number = torch.arange(4, device=single.device)
    return torch.where(single[:, None], number == 0, number > 0)


def answer(prediction: Prediction, single: Tensor) -> Tensor:
    """The logits that a user would see, ``(n, 1, height, width)``: the best of those that answer."""
    if prediction.all_logits_nkhw.shape[1] == 1:  # a given mask
        return prediction.all_logits_nkhw
    score = prediction.ious_nk.masked_fill(~counted_masks(single), -1.0)
    row = torch.arange(len(score), device=score.device)
    return prediction.all_logits_nkhw[row, score.argmax(1)][:, None]


def enlarged(logits_n1hw: Tensor, size: int) -> Tensor:
    """Boolean masks at full size, ``(n, size, size)``."""
    full = functional.interpolate(logits_n1hw.detach().float(), (size, size), mode="bilinear")
    return full[:, 0] > 0


@dataclass
class Recollection:
    """The memory bank of all objects of a batch, as in inference (SAM 2, section 4).

    Attributes:
        conditioning: memory and pointer of prompted frames, by frame.
        tracked: the same of tracked frames.
    """

    conditioning: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    tracked: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def tokens(self, network: SAM2, frame: int) -> MemoryTokens:
        """What a frame reads."""
        memory_span, pointer_span = network.config.memory_slots - 1, network.config.pointers - 1
        spatial = [(memory, memory_span) for memory, _ in self.conditioning.values()]
        span = range(min(memory_span, frame), 0, -1)
        spatial += [(self.tracked[frame - d][0], d - 1) for d in span if frame - d in self.tracked]
        pointers = [(p, (frame - t) / pointer_span) for t, (_, p) in self.conditioning.items()]
        for distance in range(1, pointer_span + 1):
            if frame - distance in self.tracked:
                pointers.append((self.tracked[frame - distance][1], distance / pointer_span))
        return network.memory_tokens(spatial, pointers)


@dataclass(frozen=True, eq=False)
class Decoding:
    """One answer of the network.

    Attributes:
        frame: which frame.
        prediction: what it said.
        single: for whom the single mask is the answer, ``(n,)`` bool.
        prompted: whether the user gave something on this frame.
    """

    frame: int
    prediction: Prediction
    single: Tensor
    prompted: bool


@dataclass(frozen=True)
class Script:
    """What the simulated user does to a batch; the same for all its objects.

    Attributes:
        kind: "mask", "box" or "click" on the first frame.
        corrections: correction clicks on the first frame (not after a mask).
        corrected: a later frame that is corrected with one click, or None.
        lead: so many frames after the first are only gone through, without gradients: the frames behind
            them are learnt from the masks and memories of a network that has drifted by then.
        mix: how prompts are drawn.
    """

    kind: str
    corrections: int = 0
    corrected: int | None = None
    lead: int = 0
    mix: PromptMix = field(default_factory=PromptMix)


def roll_out(network: SAM2, batch: Batch, script: Script, dice: Dice) -> Iterator[Decoding]:
    """Prompt the first frame, track through the others; yields every answer, corrections included.

    Given masks and the frames of the lead are not answers that one could learn from.
    """
    memory = Recollection()
    count = len(batch.masks)
    learnt = torch.is_grad_enabled()
    for frame, own in enumerate(_encoded(network, batch, script.lead)):
        leading = 1 <= frame <= script.lead
        with torch.set_grad_enabled(learnt and not leading):
            tokens = memory.tokens(network, frame) if frame else None
            steps = list(_answers(network, own, tokens, batch.masks[frame], script, dice, frame))
            if not leading:
                yield from (step for step in steps if not (script.kind == "mask" and frame == 0))
            if frame + 1 < count:
                _remember(network, own, batch, steps[-1], memory)


def _encoded(network: SAM2, batch: Batch, lead: int) -> Iterator[Features]:
    """The features of each frame, once per object; those of the lead without gradients."""
    clips, objects = batch.clips, batch.masks.shape[1]
    middle = batch.images[clips : (1 + lead) * clips]
    watched = network.encode_image(torch.cat([batch.images[:clips], batch.images[(1 + lead) * clips :]]))
    yield per_object(watched, 0, clips, objects)
    for start in range(0, len(middle), clips):
        with torch.no_grad():
            passed = network.encode_image(middle[start : start + clips])
        yield per_object(passed, 0, clips, objects)
    for start in range(clips, len(batch.images) - len(middle), clips):
        yield per_object(watched, start, clips, objects)


def _answers(
    network: SAM2,
    own: Features,
    tokens: MemoryTokens | None,
    truth: Tensor,
    script: Script,
    dice: Dice,
    frame: int,
) -> Iterator[Decoding]:
    single = torch.ones(len(truth), dtype=torch.bool, device=truth.device)
    points, clicked = None, 0
    if tokens is None:
        if script.kind == "mask":
            # In float32: antialiased resizing has no bfloat16 on a CPU.
            exact = Features(own.stride16.float(), own.stride8.float(), own.stride4.float())
            yield Decoding(frame, network.segment_mask(exact, truth[:, None].float()), single, True)
            return
        single = single & (script.kind == "box")
        points, clicked = first_prompts(dice, truth, single, script.mix), script.corrections
    multimask = points is not None and script.kind == "click"
    prediction = network.segment(own, points, tokens, multimask=multimask, stability_fallback=False)
    yield Decoding(frame, prediction, single, points is not None)
    for _ in range(clicked):
        previous = answer(prediction, single).detach()
        single = torch.ones_like(single)
        points = with_click(
            points, *corrections(dice, enlarged(previous, truth.shape[-1]), truth, script.mix)
        )
        prediction = network.segment(
            own, points, tokens, previous.clamp(-32, 32), multimask=False, stability_fallback=False
        )
        yield Decoding(frame, prediction, single, True)
    if frame == script.corrected:
        shown = enlarged(answer(prediction, single), truth.shape[-1])
        yield Decoding(frame, corrected(network, own, shown, truth, script.mix, dice), single, True)


def corrected(
    network: SAM2, own: Features, shown: Tensor, truth: Tensor, mix: PromptMix, dice: Dice
) -> Prediction:
    """One click on a mask that is a little wrong, as ``Session.correction`` puts it.

    The mask comes as hard logits, with a point on it that says what it means, and without memories.

    Args:
        network: answers with its single mask.
        own: features, once per object.
        shown, truth: ``(n, height, width)`` bool.
        mix: where clicks go.
        dice: where chance comes from.
    """
    both = shown & truth
    inner = torch.where(both.flatten(1).any(1)[:, None, None], both, truth)
    points = with_click(None, clicks(dice, inner, 1.0), torch.ones(len(truth), device=truth.device).long())
    points = with_click(points, *corrections(dice, shown, truth, mix))
    size = own.stride4.shape[-2:]
    hard = functional.interpolate(shown[:, None].float() * 20 - 10, size, mode="bilinear", antialias=True)
    return network.segment(own, points, None, hard, multimask=False, stability_fallback=False)


def _remember(network: SAM2, own: Features, batch: Batch, step: Decoding, memory: Recollection) -> None:
    """Store the last answer of a frame; a given mask is stored at full size."""
    logits = step.prediction.logits_n1hw
    if step.prediction.all_logits_nkhw.shape[1] == 1:
        logits = batch.masks[step.frame][:, None].float() * 20 - 10
    stored = network.encode_memory(own, logits, step.prediction.object_score_n1, binarise=step.prompted)
    place = memory.conditioning if step.prompted else memory.tracked
    place[step.frame] = (stored, step.prediction.pointer_nd)
