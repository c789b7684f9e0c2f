"""Attention in which the G samples of a source share that source's keys and values.

Registered with transformers under the name `eclectus`, so that one implementation serves every family that goes
through its attention registry. In cross-attention the queries come as [B * G, H, T, D] while keys and values are
[B, H, S, D]: the G rows of a source are laid out as G * T queries against one set of keys, which nobody copies. Where
sources have different numbers of rows, a `Layout` says which row is whose.

Masks: where none is given, the causal one follows from the module (`is_causal`), because the targets of an
encoder-decoder are padded on the right only. Everything else is handed over as a ready boolean mask: the padding of
the sources as [B, 1, 1, S], a decoder-only model's padding, causality and window as [B * G, 1, T, S]. transformers
builds no mask of its own for an implementation that has no entry in its mask registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from eclectus.rollouts.padding import rows_each

NAME = "eclectus"

_PLAIN_LIMIT = 128 * 128
"""Queries times keys up to which plain matrix products are used on a CPU."""


@dataclass(frozen=True)
class Layout:
    """Rows of B sources, at most `group` of each, in any order.

    Where there are as many rows as sources, the rows are those of the sources in their order.

    Args:
        places: int64 [n], for each row its source times `group` plus its number among the rows of that source.
    """

    places: torch.Tensor
    group: int


def layout_of(owners: torch.Tensor, sources: int) -> Layout | None:
    """The layout of rows of the sources `owners`, int64 [n]: 0 to `sources` - 1; None: as many of each, in order."""
    if rows_each(owners, sources) is not None:
        return None
    counts = owners.bincount(minlength=sources)
    group = int(counts.max())
    order = owners.argsort(stable=True)
    sorted_owners, first = owners[order], counts.cumsum(dim=0) - counts
    places = torch.empty_like(owners)
    numbers = torch.arange(len(owners), device=owners.device) - first[sorted_owners]
    places[order] = sorted_owners * group + numbers
    return Layout(places, group)


def shared_source_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    position_bias: torch.Tensor | None = None,
    softcap: float | None = None,
    layout: Layout | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention for query rows of which several share a key row.

    Args:
        query: [n, H, T, D], n = B * G without a layout; key, value: [B, H / k, S, D], each head shared by k queries'
            heads (grouped-query attention); G = 1 is ordinary attention.
        attention_mask: bool, true where a key may be seen, broadcastable to [B, H, T, S], or None; as transformers 4
            makes them, also numbers to add, 0 where a key may be seen.
        position_bias: T5's, [1, H, T, S], added to the scaled scores.
        softcap: Gemma 2's, scores become `softcap * tanh(score / softcap)`.
        layout: whose the rows are in cross-attention; self-attention, with as many key rows, pays it no attention.

    Returns:
        output [n, T, H, D], and None for the attention weights.
    """
    rows, heads, length, width = query.shape
    sources = key.shape[0]
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask == 0
    shared = heads // key.shape[1]
    if shared > 1 and length == 1 and rows == sources:
        # Nobody copies the whole cache for one token: heads that share keys are so many queries.
        query = query.view(rows, -1, shared, width)
    elif shared > 1:
        key, value = (x.repeat_interleave(shared, dim=1) for x in (key, value))
    if rows == sources:
        causal = bool(getattr(module, "is_causal", False)) and attention_mask is None and length > 1
        output = _attend(
            query, key, value, attention_mask, causal, scaling, dropout, bias=position_bias, softcap=softcap
        )
        return output.reshape(rows, heads, length, width).transpose(1, 2).contiguous(), None
    # T5 hands zeros over as the bias of its cross-attention, the only attention that is shared: they are left out.
    group = rows // sources if layout is None else layout.group
    if layout is not None:
        query = query.new_zeros(sources * group, *query.shape[1:]).index_copy_(0, layout.places, query)
    packed = query.view(sources, group, heads, length, width).transpose(1, 2).reshape(sources, heads, -1, width)
    output = _attend(packed, key, value, attention_mask, False, scaling, dropout, softcap=softcap)
    output = output.view(sources, heads, group, length, width).permute(0, 2, 3, 1, 4)
    output = output.reshape(sources * group, length, heads, width)
    return output if layout is None else output.index_select(0, layout.places), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    scaling: float | None,
    dropout: float,
    *,
    bias: torch.Tensor | None = None,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of [B, H, T, D] over [B, H, S, D].

    torch's fused kernel saves memory where T * S is large. On a CPU its backward pass is several times slower than
    plain matrix products at the few dozen tokens that a translation has, and so is its forward pass in fewer bits; so
    those are written out here.
    """
    short = query.shape[-2] * key.shape[-2] <= _PLAIN_LIMIT and query.device.type == "cpu"
    rounded = query.dtype != torch.float32
    if softcap is None and not (short and (rounded or torch.is_grad_enabled())):
        if bias is not None:
            mask = _biased(bias, _seen(mask, causal, bias)).to(query.dtype)
            causal = False
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scaling
        )
    if rounded:
        # A product in fewer bits takes a part of a cache apart more slowly than it is copied.
        key, value = key.contiguous(), value.contiguous()
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    scores = (query * scale) @ key.transpose(-2, -1)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias
    scores = _biased(scores, _seen(mask, causal, scores))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    return weights.to(value.dtype) @ value


def _seen(mask: torch.Tensor | None, causal: bool, scores: torch.Tensor) -> torch.Tensor | None:
    """The boolean mask for `scores` [.., T, S]: the one given, the causal one, or none."""
    if not causal:
        return mask
    return torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()


def _biased(scores: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    return scores if seen is None else scores.masked_fill(~seen, float("-inf"))


AttentionInterface.register(NAME, shared_source_attention)
