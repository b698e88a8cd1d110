"""The engine: a plan of stages, a step at a time, resumable after a kill at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam2_core.models.checkpoints import build
from sam2_core.models.config import SAM2Config, config
from sam2_core.models.sam2 import SAM2
from sam2_core.training.bank import ClipBank, draw_batch
from sam2_core.training.checkpoint import Journal, export, save_atomically
from sam2_core.training.initialise import initialise, rescale_neck
from sam2_core.training.parallel import Lanes
from sam2_core.training.random import Dice
from sam2_core.training.speed import quicken
from sam2_core.training.stages import Stage
from sam2_core.training.validation import held_out, validate
from sam2_core.training.warmups import TellApart


@dataclass(frozen=True)
class Plan:
    """Everything that decides the result of a training run.

    Attributes:
        network: what is trained.
        stages: one after the other.
        seed: of initial weights, clips and prompts.
        clip_frames: length of the clips in the bank.
        bank: how many clips each process keeps.
        average: how slowly the averaged weights follow (they are what is exported).
        weight_decay: of matrices; not of biases, norms and embeddings.
        clip: largest norm of a step's gradient.
        betas: of AdamW.
        bfloat16: compute in bfloat16 where autocast does.
        save_every: seconds between checkpoints.
    """

    network: SAM2Config = field(default_factory=lambda: config("nano"))
    stages: tuple[Stage, ...] = ()
    seed: int = 1
    clip_frames: int = 8
    bank: int = 400
    average: float = 0.999
    weight_decay: float = 0.05
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    bfloat16: bool = True
    save_every: float = 120.0

    def stage_at(self, step: int) -> tuple[Stage, int] | None:
        """The stage of a step and the step within it; None at the end."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return None


@dataclass(frozen=True)
class Progress:
    """What one step did.

    Attributes:
        step: its number, from 1.
        stage: the name of its stage.
        loss: the mean over all processes' objects (of this process only).
        figures: IoUs by kind of prompt.
        rate: its learning rate.
    """

    step: int
    stage: str
    loss: float
    figures: dict[str, float]
    rate: float


class Trainer:
    """A run in a folder; ``run`` goes on from the last checkpoint there.

    Attributes:
        network: the network that is trained.
        averaged: its averaged weights by name, buffers included.
        step: how many steps are done.
    """

    def __init__(self, plan: Plan, folder: Path, lanes: Lanes | None = None) -> None:
        self.plan, self.folder = plan, folder
        self.lanes = lanes or Lanes(0, 1, torch.device("cpu"))
        torch.manual_seed(plan.seed)
        self.network = build(plan.network)
        initialise(self.network)
        self.network.to(self.lanes.device).eval()  # eval: no dropout; it is far from overfitting
        if self.lanes.device.type == "cpu":
            quicken(self.network)
        self.bank = ClipBank(
            plan.seed * 1_000_003,
            self.lanes.lane,
            self.lanes.lanes,
            plan.clip_frames,
            plan.network.image_size,
            plan.bank,
            device=self.lanes.device,
            folder=folder / "clips",
        )
        self.optimiser = torch.optim.AdamW(
            _groups(self.network, plan.weight_decay), betas=plan.betas, fused=True
        )
        self.averaged = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.step = 0
        self.clips_made = 0.0
        self.journal = Journal(folder / "log.jsonl")
        self._resume()

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / "checkpoint.pt"

    def run(self, seconds: float = math.inf, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Train; yields after each step; saves every few minutes and at the end.

        Args:
            seconds: stop after that many, even if the plan is not done.
            stop: asked every few steps whether to stop.
        """
        start = saved = time.monotonic()
        while (place := self.plan.stage_at(self.step)) is not None:
            yield self._step(*place)
            now = time.monotonic()
            late = self.step % 4 == 0 and self.lanes.agree(now - start > seconds or stop())
            if self.lanes.lane == 0 and (late or now - saved > self.plan.save_every):
                self.save()
                saved = time.monotonic()
            if late:
                return
        if self.lanes.lane == 0:
            self.save()

    def _step(self, stage: Stage, index: int) -> Progress:
        own = Dice(self._seed(self.lanes.lane), self.lanes.device)
        shared = Dice(self._seed(-1))
        if index == 0:
            self._begin(stage)
        rate = stage.rate_at(index)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(self.lanes.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            lesson = stage.lesson(self.network, self.bank, int(self.clips_made), own, shared)
        lesson.loss.backward()  # type: ignore[no-untyped-call]
        weights = list(self.network.parameters())
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.lanes.average([weight.grad for weight in weights if weight.grad is not None])
        norm = nn.utils.clip_grad_norm_(weights, self.plan.clip)
        if bool(norm.isfinite()):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=False)
        self.step += 1
        self.clips_made += stage.new_clips
        self._average()
        figures = lesson.figures | {"norm": float(norm)}
        return Progress(self.step, stage.name, float(lesson.loss.detach()), figures, rate)

    def _seed(self, lane: int) -> int:
        return ((self.plan.seed * 4096 + lane + 1) << 28) + self.step

    def _begin(self, stage: Stage) -> None:
        """Before and after the encoder's warm-up its outputs get the size that the decoder wants."""
        previous = self.plan.stage_at(self.step - 1) if self.step else None
        if previous is None or isinstance(previous[0], TellApart):
            device, size = self.lanes.device, self.plan.network.image_size
            bank = ClipBank(frames=1, size=size, start=16, device=device)
            batch = draw_batch(Dice(self.plan.seed, device), bank, 0, 16, 1, 1)
            rescale_neck(self.network.image_encoder, batch.images)
            self.averaged = {
                name: value.detach().clone() for name, value in self.network.state_dict().items()
            }

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.plan.average, self.step / (self.step + 30))  # the last thirtieth of the run
        state = self.network.state_dict()
        names = list(state)
        torch._foreach_lerp_([self.averaged[n] for n in names], [state[n] for n in names], 1 - keep)

    def averaged_network(self) -> SAM2:
        """A network with the averaged weights."""
        network = build(self.plan.network).to(self.lanes.device).eval()
        network.load_state_dict(self.averaged)
        return network

    def validate(self, clips: int) -> dict[str, float]:
        """What the averaged weights score on held-out clips, shared out among the processes."""
        numbers = range(self.lanes.lane, max(clips, self.lanes.lanes), self.lanes.lanes)
        size, frames = self.plan.network.image_size, self.plan.clip_frames
        batches = (held_out(number, frames, size, device=self.lanes.device) for number in numbers)
        figures = validate(self.averaged_network(), batches)
        means = torch.tensor(list(figures.values()), device=self.lanes.device)
        self.lanes.average([means])
        return dict(zip(figures, (round(value, 4) for value in means.tolist()), strict=True))

    def save(self) -> None:
        """Write the checkpoint and the averaged weights."""
        state = {
            "step": self.step,
            "clips_made": self.clips_made,
            "network": self.network.state_dict(),
            "averaged": self.averaged,
            "optimiser": self.optimiser.state_dict(),
        }
        save_atomically(state, self.checkpoint)
        name = self.plan.network.name
        export(self.averaged, self.folder / f"{name}.safetensors", {"config": name, "steps": str(self.step)})

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.lanes.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged = state["averaged"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.clips_made = state["step"], state["clips_made"]
        if self.lanes.lane == 0:
            self.journal.resume(self.step)


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    plain: list[Tensor] = []
    decayed: list[Tensor] = []
    for name, weight in network.named_parameters():
        small = weight.ndim < 2 or "embed" in name or "token" in name or "maskmem" in name or "ptr" in name
        (plain if small else decayed).append(weight)
    return [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
