"""Which tokens can be drawn at all: the likeliest ones (top-k, top-p), and no end before a least length.

A token's log-probability is that among the tokens that are left, in sampling and in training alike. Training keeps to
the very tokens that were left when a sample was drawn: what the policy would leave after an update is another set, and
a ratio of probabilities over two sets means nothing (DeepSeek-V3.2, 2025, arXiv:2512.02556, "Keep Sampling Mask").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

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

    def applied(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Logits [n, V] of n tokens with minus infinity for what could not be drawn.

        Args:
            ids: int32 [n, K], theirs.
        """
        vocabulary = logits.shape[1]
        # Where there is no token, a column that is cut off again.
        places = ids.to(torch.int64)
        places = torch.where(places < 0, vocabulary, places)
        named = torch.zeros(len(ids), vocabulary + 1, dtype=torch.bool, device=logits.device).scatter_(1, places, True)
        return logits.masked_fill(named[:, :-1] != self.only, float("-inf"))


def truncated(logprobs: torch.Tensor, top_k: int, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest tokens of each row.

    They are the `top_k` likeliest, and of these no more than it takes to reach `top_p` of the probability (Fan et al.
    2018, section 5.1; Holtzman et al. 2020, equations 2 and 3); the likeliest one is always left.

    Args:
        logprobs: [N, V].
        top_k: 0: `MOST`.

    Returns:
        int64 [N, K], the likeliest first, and their log-probabilities among what is left, minus infinity for others.
    """
    values, tokens = logprobs.topk(min(top_k or MOST, logprobs.shape[1]), dim=-1)
    probabilities = values.exp()
    before = probabilities.cumsum(dim=-1) - probabilities
    return tokens, torch.log_softmax(values.masked_fill(before >= top_p, float("-inf")), dim=-1)
