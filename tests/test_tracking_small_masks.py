"""Painted masks of few pixels: what is made of them for the network still holds them, where they are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2_core import Prompt, load_model
from sam2_core.tracking.sam2_prompts import to_logits


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", windows=False)


def painted(row, column, height, width, size=256):
    mask = np.zeros((size, size), bool)
    mask[row : row + height, column : column + width] = True
    return mask


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 9), st.integers(1, 9))
def test_a_mask_of_few_pixels_keeps_some_logits_above_zero_at_its_place(row, column, height, width):
    mask = painted(row, column, height, width)
    rows, columns = np.nonzero(mask)
    there = to_logits(mask, 256)[0, 0] > 0
    assert there.any()
    found = torch.nonzero(there).double().mean(0) * 4 + 2
    assert np.abs(found.numpy() - (rows.mean() + 0.5, columns.mean() + 0.5)).max() <= 4


def test_an_empty_mask_stays_empty():
    assert not (to_logits(np.zeros((256, 256), bool), 256) > 0).any()


@pytest.mark.parametrize("side", [1, 2, 3, 5, 9])
def test_the_memory_of_a_painted_mask_knows_where_it_is(nano, side):
    features = nano.encode_image(np.zeros((256, 256, 3), np.uint8))
    mask = painted(101, 38, side, side)
    answer = nano.segment(features, Prompt(0, 1, mask=mask), None)
    (memory,) = nano.encode_memory(features, [answer], prompted=True)
    assert (memory.mask_11hw > 0).any()
    expected = torch.tensor([[101 + side / 2, 38 + side / 2]]) / 256
    assert float((memory.centre_12 - expected).abs().max()) < 8 / 256  # half a cell
