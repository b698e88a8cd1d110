"""Nothing waits for the device on the way through the network, but for the results of a call, once.

Tensors of the device "meta" hold no numbers. Whatever asks for one raises there, as does most that mixes two
devices; what else a GPU would wait for, ``Watched`` refuses. So this holds for a GPU, and needs none.

Windows are left out: they fetch the results of each window, and wait where memories move between two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sam2_core import Box, Point, Prompt
from sam2_core.bench.random_networks import random_network
from sam2_core.models import attention, devices, hiera, layers, memory_attention
from sam2_core.models.config import config
from sam2_core.models.mixed import with_bfloat16_weights
from sam2_core.models.prompt_encoder import NEGATIVE, PAD, POSITIVE, PointPrompts
from sam2_core.models.sam2 import SAM2, Features, Prediction
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Frame, Sam2Memory

META = torch.device("meta")
NAMES = ("sam2.1-tiny", "sam2-tiny", "nano")
SIZE, OBJECTS = 64, 3
FRAME = np.zeros((48, 80, 3), np.uint8)

# What autocast does on CUDA (documentation of torch.amp), as far as this network goes.
IN_BFLOAT16 = {F.linear, F.conv2d, F.conv_transpose2d, Tensor.matmul, Tensor.__matmul__, torch.matmul}
IN_BFLOAT16 |= {F.scaled_dot_product_attention}
IN_FLOAT32 = {F.layer_norm, F.interpolate, torch.softmax, F.softmax, Tensor.sum, Tensor.__rpow__}
FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


def parts(value: Any) -> Iterator[Any]:
    """All that is in arguments, in lists and tuples as well."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from parts(each)
    else:
        yield value


def has_list(index: Any) -> bool:
    return isinstance(index, list) or (isinstance(index, tuple) and any(isinstance(i, list) for i in index))


class Watched(TorchFunctionMode):
    """Refuses what torch does on "meta" without a word, but where a GPU would be waited for."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        given = list(parts([*args, *(kwargs or {}).values()]))
        on_device = any(isinstance(part, Tensor) and part.is_meta for part in parts([result]))
        if on_device and function in FROM_NUMBERS:
            raise AssertionError(f"{function.__name__} copies numbers")
        if on_device and any(isinstance(part, Tensor) and part.device.type == "cpu" for part in given):
            raise AssertionError(f"{function.__name__} copies from the CPU")
        if function is Tensor.__getitem__ and has_list(args[1]):
            raise AssertionError("an index of numbers is copied")
        return result


class Autocast(TorchFunctionMode):
    """``torch.autocast`` knows no "meta": its rules on CUDA."""

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.enabled and (function in IN_BFLOAT16 or function in IN_FLOAT32):
            dtype = torch.bfloat16 if function in IN_BFLOAT16 else torch.float32

            def cast(part: Any) -> Any:
                return part.to(dtype) if isinstance(part, Tensor) and part.is_floating_point() else part

            args, kwargs = [cast(part) for part in args], {name: cast(part) for name, part in kwargs.items()}
        return function(*args, **kwargs)


@dataclass
class Copies:
    """What went between CPU and device."""

    fetched: list[int] = field(default_factory=list)

    def send(self, tensor: Tensor, device: torch.device) -> Tensor:
        assert tensor.device.type == "cpu"
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)

    def fetch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The one wait of a call; everything is said to be there."""
        assert all(tensor.is_meta for tensor in tensors)
        self.fetched.append(len(tensors[0]))
        return tuple(torch.ones(tensor.shape, dtype=tensor.dtype) for tensor in tensors)


def replace_copies(patch: pytest.MonkeyPatch) -> Copies:
    copies = Copies()
    patch.setattr(devices, "send", copies.send)
    patch.setattr(devices, "fetch", copies.fetch)
    patch.setattr(torch, "autocast", Autocast)
    return copies


@pytest.fixture(autouse=True)
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    return replace_copies(monkeypatch)


@contextmanager
def watched() -> Iterator[None]:
    with torch.inference_mode(), Watched():
        yield


def on_meta(name: str) -> SAM2:
    with META:
        return SAM2(config(name).at_size(SIZE)).eval()


# --- what is noticed -----------------------------------------------------------------------------

WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0, 0].item(),
    "bool": lambda x: bool((x > 0).any()),
    "float": lambda x: float(x.sum()),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "nonzero": lambda x: x.nonzero(),
    "mask as index": lambda x: x[x > 0],
    "numbers as index": lambda x: x[[0, 1]],
    "numbers in an index": lambda x: x[:, [0, 1]],
    "index of the CPU": lambda x: x[torch.tensor([0, 1])],
    "repeats": lambda x: x.repeat_interleave((x[:, 0] > 0).long(), dim=0),
    "tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "constant": lambda x: torch.zeros(3).to(x.device),
    "constant to": lambda x: torch.zeros(3).to(x),
    "two devices": lambda x: x + torch.zeros(3),
    "joined": lambda x: torch.cat([x, torch.zeros(1, 3)]),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_wait_does_not_pass(wait):
    x = torch.zeros(4, 3, device=META)
    with watched(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        wait(x)


# --- the network ---------------------------------------------------------------------------------


def full_bank(network: SAM2, objects: int) -> tuple[list[Any], list[Any]]:
    """What ``recall`` is given: one prompted frame, as many memories as are read, and pointers alone."""
    sizes, side = network.config, SIZE // 16
    spatial = torch.empty(objects, sizes.memory_dim, side, side, dtype=torch.bfloat16, device=META)
    pointer = torch.empty(objects, sizes.dim, device=META)
    return [(40.0, spatial, pointer)], [
        (steps, spatial if steps < sizes.memory_slots else None, pointer)
        for steps in range(1, sizes.pointers)
    ]


def every_verb(network: SAM2, objects: int) -> list[Prediction | Tensor]:
    features: Features = network.encode_image(torch.empty(1, 3, SIZE, SIZE, device=META))
    labels = torch.empty(objects, 3, dtype=torch.long, device=META)
    prompts = PointPrompts(torch.empty(objects, 3, 2, device=META), labels)
    clicked = network.segment(features, prompts, multimask=True)
    corrected = network.segment(features, prompts, None, clicked.logits_n1hw.float(), multimask=False)
    memory = network.recall(*full_bank(network, objects))
    painted = network.segment_mask(features, torch.empty(objects, 1, SIZE, SIZE, device=META))
    previous = clicked.logits_n1hw.float() if network.config.previous_mask_tracking else None
    tracked = network.segment(features, None, memory, previous, multimask=True)
    unsure = network.segment(features, prompts, memory, multimask=False, stability_fallback=True)
    memories = [
        network.encode_memory(features, tracked.logits_n1hw, tracked.object_score_n1, binarise=binarise)
        for binarise in (True, False)
    ]
    full_size = torch.empty(objects, 1, SIZE, SIZE, device=META)
    memories.append(network.encode_memory(features, full_size, painted.object_score_n1, binarise=True))
    return [clicked, corrected, painted, tracked, unsure, *memories]


@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_no_verb_of_the_network_waits(name, bfloat16):
    network = with_bfloat16_weights(on_meta(name)) if bfloat16 else on_meta(name)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
        features = network.encode_image(torch.empty(1, 3, SIZE, SIZE, device=META))
        # Constants are put on the device once.
        network.segment(features, None, network.recall(*full_bank(network, 1)), multimask=True)
    with watched(), torch.autocast("cuda", torch.bfloat16, enabled=bfloat16):
        found = every_verb(network, OBJECTS)
    for each in found:
        tensors = [each] if isinstance(each, Tensor) else list(vars(each).values())
        assert all(tensor.is_meta for tensor in tensors)
        assert {len(tensor) for tensor in tensors} == {OBJECTS}
        assert {tensor.dtype for tensor in tensors} <= {torch.float32, torch.bfloat16}
        assert bfloat16 or {tensor.dtype for tensor in tensors} == {torch.float32}


# --- the model: prompts and memories in, masks out -----------------------------------------------


MASK = np.arange(48 * 80).reshape(48, 80) > 2000
CLICK = Prompt(0, 1, points=(Point(9, 8),))
PAINTED = Prompt(0, 1, mask=MASK)
PROMPTS = {
    "click": CLICK,
    "box and clicks": Prompt(0, 1, box=Box(1, 2, 30, 20), points=(Point(9, 8), Point(3, 4, positive=False))),
    "mask and click": Prompt(0, 1, points=(Point(9, 8),), previous=MASK),
}


@dataclass
class Scene:
    """A model after its first frames, and what it knows of an object."""

    model: Sam2Model
    frame: Frame
    prompted: Sam2Memory
    tracked: Sam2Memory

    def bank(self, prompted_steps: float) -> Recalled:
        """As full as it gets."""
        spatial, pointers = self.model.memory_span, self.model.pointer_span
        recent = [(steps, self.tracked) for steps in range(1, spatial + 1)]
        recent += [(steps, self.tracked.faded()) for steps in range(spatial + 1, pointers + 1)]
        return Recalled([(prompted_steps, self.prompted)], recent)


@pytest.fixture(
    scope="module",
    params=[("sam2.1-tiny", "bfloat16"), ("sam2-tiny", "float32"), ("nano", "float32"), ("nano", "bfloat16")],
    ids="-".join,
)
def scene(request: pytest.FixtureRequest) -> Scene:
    name, how = request.param
    with pytest.MonkeyPatch.context() as patch:
        replace_copies(patch)
        patch.setattr(devices, "prefers_bfloat16", lambda device: how == "bfloat16")
        model = Sam2Model(on_meta(name), name, META, "auto")
        assert model.dtype == getattr(torch, how)
        # Constants are put on the device once.
        frame = model.encode_image(FRAME)
        one = model.segment(frame, CLICK, None)
        memories = (model.encode_memory(frame, [one], prompted=prompted)[0] for prompted in (True, False))
        scene = Scene(model, frame, *memories)
        model.track(frame, [scene.bank(40.0)])
    return scene


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_a_prompt_is_fetched_once(scene, copies, prompt):
    with Watched():
        first = scene.model.segment(scene.frame, prompt, None)
        assert copies.fetched == [1]
        second = scene.model.segment(scene.frame, prompt, first)
    assert copies.fetched == [1, 1]
    assert second.visible
    assert second.encoded.size == FRAME.shape[:2]


def test_readings_of_all_clicks_are_fetched_once(scene, copies):
    with Watched():
        assert len(scene.model.candidates(scene.frame, CLICK)) == 3
        assert [len(each) for each in scene.model.readings([(scene.frame, CLICK)] * 4)] == [3] * 4
    assert copies.fetched == [1, 4]


def test_a_tracked_frame_is_fetched_once_however_many_objects_there_are(scene, copies):
    old, younger = scene.bank(40.0), scene.bank(38.0)
    new = Recalled([(1.0, scene.prompted)], [])
    with Watched():
        frame = scene.model.encode_image(FRAME)
        found = scene.model.track(frame, [old, younger, new, old, new])
        memories = scene.model.encode_memory(frame, found, prompted=False)
    assert copies.fetched == [5]
    assert len(memories) == 5
    for memory in memories:
        assert memory.spatial_1chw.dtype == torch.bfloat16
        assert memory.spatial_1chw.is_contiguous()
        tensors = [tensor for tensor in vars(memory).values() if tensor is not None]
        assert {tensor.device for tensor in tensors} == {META}


def test_painted_masks_are_not_fetched_and_share_a_frame_with_others(scene, copies):
    clicked = scene.model.segment(scene.frame, CLICK, None)
    copies.fetched.clear()
    with Watched():
        painted = scene.model.segment(scene.frame, PAINTED, None)
        memories = scene.model.encode_memory(scene.frame, [clicked, painted, clicked], prompted=True)
    assert copies.fetched == []
    assert len({memory.spatial_1chw.shape for memory in memories}) == 1


def test_nothing_to_track_is_no_call(scene, copies):
    assert scene.model.track(scene.frame, []) == []
    assert copies.fetched == []


# --- the two places where tensors change the device ------------------------------------------------


class OnGPU:
    """Stands for a tensor of a GPU, and notes what is asked of it."""

    def __init__(self, asked: list[object], device: str = "cuda") -> None:
        self.asked, self.device = asked, torch.device(device)

    def pin_memory(self) -> OnGPU:
        self.asked.append("pinned")
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> OnGPU:
        self.asked.append((str(device), non_blocking))
        return OnGPU(self.asked, str(device))


def test_a_gpu_is_sent_pinned_memory_and_waited_for_once(monkeypatch):
    monkeypatch.undo()
    asked: list[object] = []
    stream = SimpleNamespace(synchronize=lambda: asked.append("waited"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    devices.send(OnGPU(asked, "cpu"), torch.device("cuda"))
    assert asked == ["pinned", ("cuda", True)]
    asked.clear()
    assert len(devices.fetch(OnGPU(asked), OnGPU(asked))) == 2
    assert asked == [("cpu", True), ("cpu", True), "waited"]


def test_on_a_cpu_nothing_is_copied(monkeypatch):
    monkeypatch.undo()
    tensor = torch.ones(3)
    assert devices.send(tensor, torch.device("cpu")) is tensor
    assert devices.fetch(tensor, tensor) == (tensor, tensor)


# --- the same numbers ------------------------------------------------------------------------------


def as_on_a_gpu(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(*attention._alike(query, key, value))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_gpu_would_compute_agrees_with_the_cpu_in_float32(name, monkeypatch):
    monkeypatch.undo()
    network = random_network(config(name).at_size(SIZE)).eval()
    torch.manual_seed(0)
    image, coords = torch.randn(1, 3, SIZE, SIZE), torch.rand(2, 2, 2) * SIZE
    prompts = PointPrompts(coords, torch.tensor([[POSITIVE, NEGATIVE], [POSITIVE, PAD]]))

    def tracked(network: SAM2) -> Prediction:
        features = network.encode_image(image)
        one = network.segment(features, prompts, multimask=True)
        spatial = network.encode_memory(features, one.logits_n1hw, one.object_score_n1, binarise=True)
        memory = network.recall(
            [(2.0, spatial.float(), one.pointer_nd)], [(1, spatial.float(), one.pointer_nd)]
        )
        return network.segment(features, None, memory, multimask=True)

    with torch.inference_mode():
        truth = tracked(network)
        for module in (hiera, layers, memory_attention):
            monkeypatch.setattr(module, "attend", as_on_a_gpu)
        monkeypatch.setattr(memory_attention, "narrow_values_pay", lambda query, keys: False)
        exact = tracked(network)
        with torch.autocast("cpu", torch.bfloat16):
            halved = tracked(with_bfloat16_weights(network))
    assert (exact.logits_n1hw - truth.logits_n1hw).norm() < 1e-4 * truth.logits_n1hw.norm()
    assert (
        halved.all_logits_nkhw.float() - truth.all_logits_nkhw
    ).norm() < 0.1 * truth.all_logits_nkhw.norm()
