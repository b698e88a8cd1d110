"""Fast formulations of attention against the formula, and bfloat16 weights against rounding in every call."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2_core.bench.random_networks import random_network
from sam2_core.models import attention, devices
from sam2_core.models.attention import attend, naive_attend
from sam2_core.models.config import config
from sam2_core.models.mixed import with_bfloat16_weights
from sam2_core.models.sam2 import SAM2
from sam2_core.tracking.sam2_model import Sam2Model


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that everything is cut, at small sizes too."""
    monkeypatch.setattr(attention, "_ROWS", 16)
    monkeypatch.setattr(attention, "_KEYS", 24)
    monkeypatch.setattr(attention, "_BATCHED_SCORES", 0)


def tensors(
    queries: int, keys: int, width: int, values: int, batch: tuple[int, int] = (1, 1)
) -> list[torch.Tensor]:
    torch.manual_seed(queries + keys)
    few, many = batch
    shapes = [(few, 2, queries, width), (many, 2, keys, width), (many, 2, keys, values)]
    return [torch.randn(shape) * 2 for shape in shapes]


def error(found: torch.Tensor, truth: torch.Tensor) -> float:
    return float((found.float() - truth).norm() / truth.norm())


sizes = st.integers(1, 70)


@settings(max_examples=40, deadline=None)
@given(queries=sizes, keys=sizes, width=st.integers(1, 40), values=st.integers(1, 40), many=st.integers(1, 3))
def test_any_sizes_give_what_the_formula_gives(queries, keys, width, values, many):
    query, key, value = tensors(queries, keys, width, values, (1, many))
    with torch.inference_mode():
        truth = naive_attend(query, key, value)
        assert error(attend(query, key, value), truth) < 1e-5
        halved = attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
    assert halved.dtype == torch.bfloat16
    assert halved.shape == truth.shape
    assert error(halved, truth) < 0.05


@pytest.mark.parametrize("scale", [1.0, 3.0, 6.0])
def test_shifted_scores_lose_less_than_plain_products_in_bfloat16(scale):
    query, key, value = tensors(64, 640, 64, 16)
    with torch.inference_mode():
        truth = naive_attend(query, key * scale, value)
        halves = query.bfloat16(), (key * scale).bfloat16(), value.bfloat16()
        assert error(attend(*halves), truth) < 0.8 * error(naive_attend(*halves), truth)


def test_one_key_that_was_not_looked_at_and_outshines_all_others_is_found():
    query, key, value = tensors(20, 100, 32, 8)
    query[..., 0] = 30.0
    key[..., 0] = 0.0
    key[..., 7, 0] = 200.0  # a score about a thousand above all others; every sixteenth is looked at
    with torch.inference_mode():
        read = attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
    wanted = value[:, :, 7:8].bfloat16().expand_as(read)
    torch.testing.assert_close(read, wanted)


def test_scores_of_any_size_stay_finite():
    query, key, value = tensors(20, 100, 32, 8)
    with torch.inference_mode():
        for factor in (1e-20, 1e3, 1e10):
            for dtype in (torch.float32, torch.bfloat16):
                read = attend((query * factor).to(dtype), key.to(dtype), value.to(dtype))
                assert read.isfinite().all()


def test_scores_that_all_vanish_or_overflow_are_answered_by_the_formula():
    value = torch.randn(1, 1, 48, 4)
    for sign in (1, -1):
        query, key = torch.full((1, 1, 4, 8), 1000.0), torch.full((1, 1, 48, 8), sign * 1003.0)
        with torch.inference_mode():
            read = attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
        torch.testing.assert_close(read[0, 0, 0].float(), value[0, 0].mean(0), atol=0.02, rtol=0.02)


def test_sums_that_overflow_before_the_weights_do_are_found():
    query, key, value = torch.ones(1, 1, 4, 1), torch.zeros(1, 1, 48, 1), torch.full((1, 1, 48, 4), 5.0)
    key[..., 7, 0] = 88.0  # not looked at
    with torch.inference_mode():
        read = attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
    torch.testing.assert_close(read, torch.full_like(read, 5.0))


def test_weights_whose_sum_overflows_although_what_they_weigh_does_not_are_found():
    query, key, value = (torch.zeros(1, 1, n, 64) for n in (1024, 2048, 2048))
    query[..., 0], key[0, 0, 1:4, 0] = 8.0, 88.0  # three keys that are not looked at
    with torch.inference_mode():
        read = attend(query.bfloat16(), key.bfloat16(), (value + 0.01).bfloat16())
    torch.testing.assert_close(read, torch.full_like(read, 0.01))


def test_products_over_all_windows_at_once_are_the_formula_too(monkeypatch):
    monkeypatch.setattr(attention, "_BATCHED_SCORES", 10**6)
    query, key, value = tensors(20, 30, 16, 16, (5, 5))
    with torch.inference_mode():
        found = attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
        assert error(found, naive_attend(query, key, value)) < 0.05


@pytest.fixture(scope="module")
def network() -> SAM2:
    return random_network(config("sam2.1-tiny").at_size(128)).requires_grad_(False)


def track(network: SAM2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The logits of a tracked frame of two objects that remember two frames."""
    torch.manual_seed(1)
    side = network.config.image_size // 16
    image = torch.randn(1, 3, network.config.image_size, network.config.image_size)
    spatial = [(torch.randn(2, 64, side, side), slot) for slot in (6, 0)]
    pointers = [(torch.randn(2, 256), age) for age in (0.2, 0.1)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        memory = network.memory_tokens(spatial, pointers)
        return network.segment(network.encode_image(image), None, memory, multimask=True).logits_n1hw.float()


def test_narrow_values_change_logits_by_less_than_a_thousandth(network, monkeypatch):
    monkeypatch.setattr(attention, "_MANY_KEYS", 10**9)
    wide = track(network)
    monkeypatch.setattr(attention, "_MANY_KEYS", 0)
    narrow = track(network)
    assert not torch.equal(narrow, wide)
    assert (narrow - wide).abs().max() <= 1e-3


def test_values_are_folded_anew_when_weights_change(network, monkeypatch):
    monkeypatch.setattr(attention, "_MANY_KEYS", 0)
    before = track(network)
    weight = network.memory_attention.layers[0].cross_attn_image.v_proj.weight
    with torch.no_grad():
        weight.mul_(2)
        after = track(network)
        weight.div_(2)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(track(network), before)


def test_bfloat16_weights_give_the_bits_of_rounding_them_in_every_call(network):
    halved = with_bfloat16_weights(network)
    assert halved.image_encoder.trunk.blocks[0].mlp.layers[0].weight.dtype == torch.bfloat16
    assert halved.maskmem_tpos_enc.dtype == torch.float32
    assert network.image_encoder.trunk.blocks[0].mlp.layers[0].weight.dtype == torch.float32
    assert torch.equal(track(halved, torch.bfloat16), track(network, torch.bfloat16))


@pytest.mark.parametrize(
    ("name", "able", "precision", "dtype"),
    [
        ("sam2.1-tiny", {"avx512_bf16": True}, "auto", torch.bfloat16),
        ("sam2.1-tiny", {"amx_bf16": True}, "auto", torch.bfloat16),
        ("sam2.1-tiny", {"avx512_bf16": True}, "exact", torch.float32),
        ("sam2.1-tiny", {"avx512_bf16": False}, "auto", torch.float32),
        ("sam2.1-tiny", None, "auto", torch.float32),
        ("nano", {"avx512_bf16": True}, "auto", torch.float32),
    ],
)
def test_the_processor_decides_in_what_a_large_model_computes(name, able, precision, dtype, monkeypatch):
    if able is None:  # an older torch, which does not tell
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    sizes = config(name) if name == "nano" else config(name).at_size(64)
    model = Sam2Model(SAM2(sizes), name, torch.device("cpu"), precision)
    assert model.dtype == dtype


def test_a_device_that_nobody_knows_computes_in_float32():
    assert devices.prefers_bfloat16(torch.device("meta")) is False
