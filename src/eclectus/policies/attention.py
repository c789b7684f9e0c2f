"""Attention in which the G samples of a source share that source's keys and values.

Registered with transformers under the name `eclectus`, so that one implementation serves every family that goes
through its attention registry. In cross-attention the queries come as [B * G, H, T, D] while keys and values are
[B, H, S, D]: the G rows of a source are laid out as G * T queries against one set of keys, which nobody copies.

Masks: the causal one follows from the module (`is_causal`) because targets are padded on the right only; the padding
mask of the sources is handed over as a ready [B, 1, 1, S] boolean mask. transformers builds no mask of its own for an
implementation that has no entry in its mask registry.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "eclectus"

_PLAIN_LIMIT = 128 * 128
"""Queries times keys up to which plain matrix products are used on a CPU."""


def shared_source_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention for query rows that are a multiple of the key rows.

    Args:
        query: [B * G, H, T, D]; key, value: [B, H, S, D]; G = 1 is ordinary attention.
        attention_mask: bool, true where a key may be seen, broadcastable to [B, H, T, S], or None.

    Returns:
        output [B * G, T, H, D], and None for the attention weights.
    """
    rows, heads, length, width = query.shape
    sources = key.shape[0]
    if rows == sources:
        causal = bool(getattr(module, "is_causal", False)) and attention_mask is None and length > 1
        return _attend(query, key, value, attention_mask, causal, scaling, dropout).transpose(1, 2).contiguous(), None
    group = rows // sources
    packed = query.view(sources, group, heads, length, width).transpose(1, 2).reshape(sources, heads, -1, width)
    output = _attend(packed, key, value, attention_mask, False, scaling, dropout)
    output = output.view(sources, heads, group, length, width).permute(0, 2, 3, 1, 4)
    return output.reshape(rows, length, heads, width), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    """Attention of [B, H, T, D] over [B, H, S, D].

    torch's fused kernel saves memory where T * S is large. Its backward pass on a CPU is several times slower than
    plain matrix products at the few dozen tokens that a translation has, so those are written out here.
    """
    short = query.shape[-2] * key.shape[-2] <= _PLAIN_LIMIT and query.device.type == "cpu"
    if not (short and torch.is_grad_enabled()):
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scaling
        )
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    scores = (query * scale) @ key.transpose(-2, -1)
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    return weights.to(value.dtype) @ value


AttentionInterface.register(NAME, shared_source_attention)
