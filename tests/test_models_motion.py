"""Memories that move with the object: where it is, and what lies where afterwards."""

from __future__ import annotations

import pytest
import torch

from sam2_core.models.motion import centres, latest, moved

NAN = float("nan")


def logits(*squares: tuple[int, int, int], size: int = 64, inside: float = 10.0) -> torch.Tensor:
    """A square of a side, from a row and a column on, for each of n objects."""
    result = torch.full((len(squares), 1, size, size), -10.0)
    for mask, (top, left, side) in zip(result, squares, strict=True):
        mask[0, top : top + side, left : left + side] = inside
    return result


@pytest.mark.parametrize("size", [64, 256])
def test_the_centre_of_a_mask_does_not_depend_on_its_size(size):
    scale = size // 64
    found = centres(logits((8 * scale, 20 * scale, 12 * scale), size=size))
    assert found[0].tolist() == pytest.approx([14 / 64, 26 / 64], abs=1e-3)


def test_what_is_doubtful_pulls_little():
    sure, doubtful = logits((8, 8, 8)), logits((40, 40, 8), inside=0.5)
    both = torch.maximum(sure, doubtful)
    assert float((centres(both) - centres(sure)).abs().max()) < 0.06
    assert float((centres(both > 0) - centres(sure)).abs().max()) > 0.2


@pytest.mark.parametrize("value", [-1024.0, -10.0, -0.1])
def test_an_object_that_is_not_seen_has_no_centre(value):
    found = centres(torch.cat([torch.full((1, 1, 64, 64), value), logits((0, 0, 9))]))
    assert found.isnan().tolist() == [[True, True], [False, False]]


def test_the_latest_centre_is_the_first_that_is_known():
    new = torch.tensor([[0.1, 0.2], [NAN, NAN], [NAN, NAN]])
    old = torch.tensor([[0.5, 0.5], [0.3, 0.4], [NAN, NAN]])
    newest = latest([new, old])
    assert newest[:2].flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert newest[2].isnan().all()
    assert latest([]) is None


def memory() -> torch.Tensor:
    """Three memories of two channels; each cell says its row and column."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    return torch.stack([rows, columns]).expand(3, -1, -1, -1).clone()


def test_each_memory_moves_by_whole_cells_and_its_border_is_repeated():
    made_at = torch.tensor([[0.5, 0.5], [0.5, 0.5], [NAN, NAN]])
    now_at = torch.tensor([[0.5 + 2.4 / 16, 0.5 - 3.4 / 16], [0.51, 0.49], [0.9, 0.9]])
    result = moved(memory(), made_at, now_at)
    assert result[0, 0, :, 0].tolist() == [0, 0, *range(14)]
    assert result[0, 1, 0, :].tolist() == [*range(3, 16), 15, 15, 15]
    assert torch.equal(result[1], memory()[1])  # less than half a cell
    assert torch.equal(result[2], memory()[2])  # nobody knows from where


def test_a_memory_moves_out_of_the_picture_without_an_error():
    result = moved(memory(), torch.zeros(3, 2), torch.ones(3, 2))
    assert result.shape == (3, 2, 16, 16)
    assert bool((result == 0).all())
