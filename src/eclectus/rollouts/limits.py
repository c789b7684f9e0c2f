"""Which tokens can be drawn at all: the likeliest ones (top-k, top-p), and no end before a least length.

A token's log-probability is that among the tokens that are left, in sampling and in training alike. Training keeps to
the very tokens that were left when a sample was drawn: what the policy would leave after an update is another set, and
a ratio of probabilities over two sets means nothing (DeepSeek-V3.2, 2025, arXiv:2512.02556, "Keep Sampling Mask").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

_FEW = 16
"""Tokens that are looked for at first."""

MOST = 256
"""Tokens that top-p leaves at most where top-k sets no number; they are written down for each token that is drawn."""


@dataclass(frozen=True)
class Limits:
    """What each token of some samples was drawn from.

    Args:
        ids: int32 [B, G, T, K], -1 where there are fewer.
        only: they are the tokens that could be drawn; False: those that could not.
    """

    ids: torch.Tensor
    only: bool

    def of(self, rows: Sequence[int], width: int | None = None) -> Limits:
        """Those of some of the sources, for the first `width` tokens."""
        return Limits(self.ids[list(rows), :, :width], self.only)

    def to(self, device: torch.device | str) -> Limits:
        """The same on another device."""
        return Limits(self.ids.to(device), self.only)

    def applied(self, logits: torch.Tensor, ids: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Logits [n, W] of n tokens with minus infinity for what could not be drawn.

        Args:
            ids: [n, K], theirs; first: the id that the logits begin with, the others follow.
        """
        width = logits.shape[1]
        places = ids.to(torch.int64) - first
        # Where there is no token, or none of these, a column that is cut off again.
        places = torch.where((ids < first) | (places >= width), width, places)
        named = torch.zeros(len(ids), width + 1, dtype=torch.bool, device=logits.device).scatter_(1, places, True)
        return logits.masked_fill(named[:, :-1] != self.only, float("-inf"))


def truncated(probabilities: torch.Tensor, top_k: int, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest tokens of each row.

    They are the `top_k` likeliest, and of these no more than it takes to reach `top_p` of the probability (Fan et al.
    2018; Holtzman et al. 2020, equations 2 and 3); the likeliest one is always left.

    Args:
        probabilities: [N, V].
        top_k: 0: `MOST`.

    Returns:
        int64 [N, K], the likeliest first, and their log-probabilities among what is left, minus infinity for others.
    """
    values, tokens = _likeliest(probabilities, min(top_k or MOST, probabilities.shape[1]), top_p)
    before = values.cumsum(dim=-1) - values
    return tokens, torch.log_softmax(values.log().masked_fill_(before >= top_p, float("-inf")), dim=-1)


def _likeliest(probabilities: torch.Tensor, most: int, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """As many of each row and their places, [N, most], the likeliest first; 0 behind what reaches `top_p`."""
    # A processor finds a few in a fraction of the time, and they are enough for most rows; a GPU would be waited for.
    if probabilities.device.type != "cpu" or most <= _FEW or top_p == 1:
        return probabilities.topk(most, dim=-1)
    values, tokens = (functional.pad(found, (0, most - _FEW)) for found in probabilities.topk(_FEW, dim=-1))
    missing = (values.sum(dim=-1) < top_p).nonzero().squeeze(1)
    if len(missing):
        values[missing], tokens[missing] = probabilities[missing].topk(most, dim=-1)
    return values, tokens
