"""The one place where the formulation of attention is chosen; everything else calls ``attend``.

On a CPU torch's fused attention is no faster in bfloat16 than in float32, while plain matrix products are,
two to four times; so there attention is written as products. Decision record 14 has the measurements.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS, _KEYS = 1024, 2048
"""Queries and keys of a tile in bfloat16 (4 MiB of scores); in float32 a tile has 1024 keys too."""

_SAMPLED = 16
"""One key in so many is looked at for the largest score of a query."""

_BATCHED_SCORES = 2**20
"""Up to so many scores a head, all heads and windows share one product."""

_MANY_KEYS = 2048
"""From so many keys on (beyond nano's) values are better left narrow."""


def attend(query_bhnd: Tensor, key_bhmd: Tensor, value_bhme: Tensor) -> Tensor:
    """Softmax attention, scaled by the square root of the head width.

    A batch of 1 is broadcast against a larger one.

    Args:
        query_bhnd: ``(batch, heads, queries, width)``.
        key_bhmd: ``(batch, heads, keys, width)``.
        value_bhme: ``(batch, heads, keys, value width)``; of another width than queries and keys only where
            ``narrow_values_pay``.

    Returns:
        ``(batch, heads, queries, value width)``.
    """
    if query_bhnd.device.type != "cpu":
        return F.scaled_dot_product_attention(*_alike(query_bhnd, key_bhmd, value_bhme))
    if torch.is_grad_enabled() and any(t.requires_grad for t in (query_bhnd, key_bhmd, value_bhme)):
        # Training: the backward pass of the fused kernel takes a third of a step.
        return naive_attend(query_bhnd, key_bhmd, value_bhme)
    if query_bhnd.dtype == torch.bfloat16:
        if query_bhnd.shape[2] * key_bhmd.shape[2] <= _BATCHED_SCORES:
            return naive_attend(query_bhnd, key_bhmd, value_bhme)
        return _one_by_one(_shifted, query_bhnd, key_bhmd, value_bhme)
    if query_bhnd.shape[-1] == value_bhme.shape[-1]:
        return F.scaled_dot_product_attention(*_alike(query_bhnd, key_bhmd, value_bhme))
    return _one_by_one(_tiled, query_bhnd, key_bhmd, value_bhme)


def narrow_values_pay(query: Tensor, keys: int) -> bool:
    """Whether ``attend`` is faster with values narrower than queries: where it is written as products."""
    return query.device.type == "cpu" and not torch.is_grad_enabled() and keys >= _MANY_KEYS


def naive_attend(query_bhnd: Tensor, key_bhmd: Tensor, value_bhme: Tensor) -> Tensor:
    """The formula as it is written; what faster formulations are checked against. Shapes as ``attend``."""
    scores_bhnm = (query_bhnd * query_bhnd.shape[-1] ** -0.5) @ key_bhmd.transpose(-1, -2)
    return torch.softmax(scores_bhnm, dim=-1) @ value_bhme


def _alike(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The tensors with the batch of the largest, without copies."""
    batch = max(len(query), len(key), len(value))
    query, key, value = (t if len(t) == batch else t.expand(batch, -1, -1, -1) for t in (query, key, value))
    return query, key, value


def _one_by_one(
    formula: Callable[[Tensor, Tensor, Tensor], Tensor],
    query_bhnd: Tensor,
    key_bhmd: Tensor,
    value_bhme: Tensor,
) -> Tensor:
    """A formula for one head, for all heads of all batches: products of plain matrices are the fastest."""
    query, key, value = _alike(query_bhnd, key_bhmd, value_bhme)
    batch, heads, queries, _ = query.shape
    read_bhne = query.new_empty(batch, queries, heads, value.shape[-1]).transpose(1, 2)  # as it is used next
    for b in range(batch):
        for h in range(heads):
            read_bhne[b, h] = formula(query[b, h], key[b, h], value[b, h])
    return read_bhne


def _shifted(query_nd: Tensor, key_md: Tensor, value_me: Tensor) -> Tensor:
    """Attention of one head in bfloat16, in tiles, with scores that are small where they matter.

    A product in bfloat16 rounds the scores, the large ones most of all. So each query gets a further channel,
    about minus its largest score, and each key a one: the same softmax, of scores near 0. They need no
    maximum then, and each tile adds its exponentials. Where a score that was not looked at is so much larger
    that they overflow, or all are so large that they vanish, the formula answers.
    """
    scaled_nd = query_nd * query_nd.shape[-1] ** -0.5
    top_n1 = (scaled_nd @ key_md[::_SAMPLED].T).amax(dim=1, keepdim=True)
    query, key = torch.cat([scaled_nd, -top_n1], dim=1), F.pad(key_md, (0, 1), value=1.0)
    read_ne = query.new_empty(len(query), value_me.shape[1])
    for rows in range(0, len(query), _ROWS):
        some = slice(rows, rows + _ROWS)
        sums, total = _sums(query[some], key, value_me)
        read_ne[some] = sums / total
        if not (total.isfinite().all() and read_ne[some].isfinite().all()):
            read_ne[some] = naive_attend(query_nd[some], key_md, value_me)
    return read_ne


def _sums(query_nd: Tensor, key_md: Tensor, value_me: Tensor) -> tuple[Tensor, Tensor]:
    """The values weighed by the exponentials of the scores, ``(n, e)``, and the weights' sums, ``(n, 1)``."""
    sums = query_nd.new_zeros(len(query_nd), value_me.shape[1], dtype=torch.float32)
    total = query_nd.new_zeros(len(query_nd), 1, dtype=torch.float32)
    scratch = query_nd.new_empty(len(query_nd) * min(_KEYS, len(key_md)))
    for keys in range(0, len(key_md), _KEYS):
        tile = key_md[keys : keys + _KEYS]
        scores = scratch[: len(query_nd) * len(tile)].view(len(query_nd), -1)
        torch.mm(query_nd, tile.T, out=scores)
        scores.exp_()
        total += scores.sum(dim=1, keepdim=True)  # rounded once a tile: float32 would cost a tenth more
        sums += scores @ value_me[keys : keys + _KEYS]
    return sums, total


def _tiled(query_nd: Tensor, key_md: Tensor, value_me: Tensor) -> Tensor:
    """Attention of one head in float32, in tiles (Milakov and Gimelshein 2018: softmax in one pass)."""
    scaled_nd = query_nd * query_nd.shape[-1] ** -0.5
    read_ne = query_nd.new_empty(len(query_nd), value_me.shape[1])
    for rows in range(0, len(query_nd), _ROWS):
        query = scaled_nd[rows : rows + _ROWS]
        top = query.new_full((len(query), 1), -torch.inf)
        sums, total = query.new_zeros(len(query), value_me.shape[1]), torch.zeros_like(top)
        for keys in range(0, len(key_md), _ROWS):
            scores = query @ key_md[keys : keys + _ROWS].T
            higher = torch.maximum(top, scores.amax(dim=1, keepdim=True))
            kept = torch.exp(top - higher)
            weights = scores.sub_(higher).exp_()
            total = total * kept + weights.sum(dim=1, keepdim=True)
            sums = sums * kept + weights @ value_me[keys : keys + _ROWS]
            top = higher
        read_ne[rows : rows + _ROWS] = sums / total
    return read_ne
