"""The engine: a plan of stages, a step at a time, resumable after a kill at any moment."""

from __future__ import annotations

import io
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam2_core.errors import ModelError
from sam2_core.files import new_file
from sam2_core.models import checkpoints
from sam2_core.models.sam2 import SAM2
from sam2_core.training.batches import sample_batch
from sam2_core.training.clip_pool import ClipPool
from sam2_core.training.data import Procedural, TrainingData
from sam2_core.training.fast_layers import use_fast_layers
from sam2_core.training.initialise import initialise, rescale_neck
from sam2_core.training.log import TrainingLog
from sam2_core.training.optimiser import parameter_groups
from sam2_core.training.parallel import Processes
from sam2_core.training.plan import Plan
from sam2_core.training.random import Random
from sam2_core.training.stage import Stage
from sam2_core.training.validation import validate
from sam2_core.training.warm_up_stages import EncoderWarmUp

_ASK_EVERY = 4
"""Steps between two questions to all processes whether to stop."""


@dataclass(frozen=True)
class Progress:
    """What one step did.

    Attributes:
        step: its number, from 1.
        stage: the name of its stage.
        loss: of the clips of this process.
        metrics: of the same clips, such as IoU by kind of prompt; and the norm of the mean gradient.
        learning_rate: of this step.
        skipped: how many steps of the run so far changed no weight, as their gradient was not finite.
    """

    step: int
    stage: str
    loss: float
    metrics: dict[str, float]
    learning_rate: float
    skipped: int = 0


class Trainer:
    """A run in a folder; ``run`` goes on from the last checkpoint there.

    Args:
        plan: what is trained, how, and for how long.
        folder: keeps the run.
        processes: which of several processes this is; None for one, on the CPU.
        data: what is trained on; None for procedural clips.
        start: the network to begin with, of the plan's sizes; None for fresh weights.
        strict: refuse a folder whose run has other data, seed or starting weights; else a warning says so.

    Raises:
        ModelError: if the checkpoint in the folder cannot be read, or (``strict``) is of another run.

    Attributes:
        network: the network that is trained.
        averaged: the moving average of its weights by name, buffers included.
        step: how many steps are done.
        clips_made: how many clips each process has made for them (a fraction counts towards the next one).
        skipped: how many of the steps changed no weight, as their gradient was not finite.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        processes: Processes | None = None,
        data: TrainingData | None = None,
        start: SAM2 | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.plan, self.folder, self.data = plan, folder, data or Procedural()
        self.processes = processes or Processes(0, 1, torch.device("cpu"))
        torch.manual_seed(plan.seed)
        self.network, self._start, self._strict = checkpoints.build(plan.network), _checksum(start), strict
        if start is None:
            initialise(self.network)
        else:
            self.network.load_state_dict(start.state_dict())
        self.network.to(self.processes.device).eval()  # eval: no dropout; it is far from overfitting
        if self.processes.device.type == "cpu":
            use_fast_layers(self.network)
        self.pool = self.data.clips(plan, self.processes, folder)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.network, plan.weight_decay, plan.layer_decay), betas=plan.betas, fused=True
        )
        self.averaged = _copy(self.network)
        self.step = 0
        self.clips_made = 0.0
        self.skipped = 0
        self.log = TrainingLog(folder / "log.jsonl")
        self._resume()

    @property
    def checkpoint(self) -> Path:
        """Where the run's state is kept."""
        return self.folder / "checkpoint.pt"

    def run(self, seconds: float = math.inf, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Train; yields after each step; saves before the first, every few minutes and at the end.

        Args:
            seconds: stop after that many, even if the plan is not done.
            stop: asked every few steps whether to stop.
        """
        self.processes.wait()  # the others have looked for a checkpoint
        if self.processes.is_main and not self.checkpoint.exists():
            self._save_state()
        start = saved = time.monotonic()
        while (place := self.plan.stage_at(self.step)) is not None:
            yield self._train_step(*place)
            now = time.monotonic()
            asks = self.processes.world_size == 1 or self.step % _ASK_EVERY == 0
            stopping = asks and self.processes.any(now - start > seconds or stop())
            if self.processes.is_main and (stopping or now - saved > self.plan.save_every):
                self.save()
                saved = time.monotonic()
            if stopping:
                return
        if self.processes.is_main:
            self.save()

    def _train_step(self, stage: Stage, index: int) -> Progress:
        if index == 0:
            self._begin()
        rate = stage.learning_rate_at(index)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("share", 1.0)  # checkpoints of earlier versions have no shares
        rng = Random(self._seed(self.processes.rank), self.processes.device)
        shared_rng = Random(self._seed(-1))
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            result = stage.training_step(self.network, self.pool, int(self.clips_made), rng, shared_rng)
        result.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        norm = self._optimise()
        self.step += 1
        self.clips_made += stage.new_clips
        self._average()
        metrics = result.metrics | {"norm": norm}
        return Progress(self.step, stage.name, float(result.loss.detach()), metrics, rate, self.skipped)

    def _optimise(self) -> float:
        """One step of the optimiser with the mean gradient of all processes; its norm."""
        weights = list(self.network.parameters())
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.processes.average([weight.grad for weight in weights if weight.grad is not None])
        norm = nn.utils.clip_grad_norm_(weights, self.plan.max_gradient_norm)
        if bool(norm.isfinite()):
            self.optimiser.step()
        else:
            self.skipped += 1
        self.optimiser.zero_grad(set_to_none=False)
        return float(norm)

    def _seed(self, rank: int) -> int:
        """Of this step; -1 is the seed that all processes share."""
        return ((self.plan.seed * 4096 + rank + 1) << 28) + self.step

    def _begin(self) -> None:
        """Before and after the encoder's warm-up its outputs get the size that the decoder wants."""
        if self._start:
            return  # its parts fit each other already
        previous = self.plan.stage_at(self.step - 1) if self.step else None
        if previous is not None and not isinstance(previous[0], EncoderWarmUp):
            return
        device, size = self.processes.device, self.plan.network.image_size
        pool = ClipPool(frames=1, size=size, start=16, device=device)
        batch = sample_batch(Random(self.plan.seed, device), pool, 0, clips=16, frames=1, objects=1)
        rescale_neck(self.network.image_encoder, batch.images)
        self.averaged = _copy(self.network)

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.plan.averaging, self.step / (self.step + 30))  # early on, the last 30 steps
        state = self.network.state_dict()
        names = list(state)
        torch._foreach_lerp_([self.averaged[n] for n in names], [state[n] for n in names], 1 - keep)

    def averaged_network(self) -> SAM2:
        """A network with the averaged weights."""
        network = checkpoints.build(self.plan.network).to(self.processes.device).eval()
        network.load_state_dict(self.averaged)
        return network

    def validate(self, clips: int) -> dict[str, float]:
        """What the averaged weights score on held-out clips, shared out among the processes."""
        numbers = range(self.processes.rank, max(clips, self.processes.world_size), self.processes.world_size)
        batches = (self.data.validation_batch(n, self.plan, self.processes.device) for n in numbers)
        metrics = validate(self.averaged_network(), batches)
        means = torch.tensor(list(metrics.values()), device=self.processes.device)
        self.processes.average([means])
        return dict(zip(metrics, (round(value, 4) for value in means.tolist()), strict=True))

    def save(self) -> None:
        """Write the checkpoint and the averaged weights; a kill at any moment leaves old or new files."""
        self._save_state()
        with new_file(self.folder / f"{self.plan.network.name}.safetensors") as part:
            checkpoints.save(self.averaged_network(), part, torch.float16, steps=str(self.step))

    def _save_state(self) -> None:
        state = {
            "step": self.step,
            "clips_made": self.clips_made,
            "skipped": self.skipped,
            "plan": self._description(),
            "network": self.network.state_dict(),
            "averaged": self.averaged,
            "optimiser": self.optimiser.state_dict(),
        }
        content = io.BytesIO()  # torch's own writing says of a full disk that it "should not happen"
        torch.save(state, content)
        with new_file(self.checkpoint) as part, part.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())

    def _resume(self) -> None:
        if self.processes.is_main:
            for part in self.folder.glob(".*.part"):  # what a killed run had half written
                part.unlink(missing_ok=True)
        if not self.checkpoint.exists():
            return
        state = self._stored()
        self._compare_plans(state)
        self.skipped = state.get("skipped", 0)  # earlier checkpoints have neither this nor a plan
        try:
            self.network.load_state_dict(state["network"])
            self.averaged = state["averaged"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.clips_made = state["step"], state["clips_made"]
        except Exception as error:  # a damaged or foreign file may raise anything
            raise self._foreign() from error
        if self.processes.is_main:
            self.log.resume(self.step)

    def _stored(self) -> dict[str, Any]:
        try:
            state = torch.load(self.checkpoint, map_location=self.processes.device, weights_only=True)
        except Exception as error:  # a damaged or foreign file may raise anything
            raise self._foreign() from error
        if not isinstance(state, dict):
            raise self._foreign()
        return state

    def _foreign(self) -> ModelError:
        return ModelError(
            f"{str(self.checkpoint)!r} is of no run of {self.plan.network.name}, or is damaged; give "
            "another folder"
        )

    def _description(self) -> dict[str, str]:
        return self.plan.description() | {"data": self.data.identity, "starting weights": self._start}

    def _compare_plans(self, state: dict[str, Any]) -> None:
        """Refuse the stored state or warn of it, if it was made with another plan, data or start."""
        present, stored = self._description(), state.get("plan", {})
        if "pictures" in stored:
            stored = {**stored, "data": stored["pictures"]}  # as earlier checkpoints call it
        changed = [name for name in present if name in stored and stored[name] != present[name]]
        refused = [name for name in changed if name != "stages" and (self._strict or name == "layer decay")]
        if refused:
            raise ModelError(
                f"{str(self.folder)!r} holds a run with other {' and '.join(refused)}; give another folder"
            )
        if changed and not self._strict and self.processes.is_main:
            warnings.warn(
                f"{str(self.checkpoint)!r} was made with other {' and '.join(changed)}; the run goes on at "
                f"step {state.get('step')} of the present plan, and is not one that a single command repeats",
                stacklevel=2,
            )


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _checksum(network: nn.Module | None) -> str:
    """Of weights, to know them again; nothing for None."""
    checksum = 0
    for tensor in network.state_dict().values() if network is not None else ():
        checksum = zlib.crc32(tensor.detach().cpu().contiguous().numpy().tobytes(), checksum)
    return f"{checksum:08x}" if network is not None else ""
