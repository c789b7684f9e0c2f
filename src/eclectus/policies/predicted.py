"""What a model predicts at some positions, and what that says: of a label, of the distribution, of another model.

Nothing here holds the whole [tokens, vocabulary] tensor; `head` has the products in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from eclectus.policies.head import Anchor, Asked, biased, block_scores, in_pieces
from eclectus.rollouts.limits import Limits
from eclectus.rollouts.workspace import Workspace


@dataclass(frozen=True)
class Predicted:
    """A distribution over the vocabulary at each of N positions, not yet made: softmax((product + bias + shift) / T).

    Args:
        hidden: [N, d]; head: [V, d]; bias: [V], -inf for tokens that can never be.
        softcap: see `product`.
        shift: from hidden [n, d] to what is added to the logits [n, V]; None: nothing.
        limited: what can be drawn at all, with the ids [N, K] at these positions; None: every token.
    """

    hidden: torch.Tensor
    head: torch.Tensor
    bias: torch.Tensor
    softcap: float | None = None
    shift: Callable[[torch.Tensor], torch.Tensor] | None = None
    limited: tuple[Limits, torch.Tensor] | None = None

    @property
    def rows(self) -> tuple[torch.Tensor, ...]:
        """What `log_distribution` takes, of all positions."""
        return (self.hidden,) if self.limited is None else (self.hidden, self.limited[1])

    def over(self, words: torch.Tensor) -> Predicted:
        """The same of these words of the vocabulary alone, int64 [W]; what is limited keeps its ids."""
        return replace(self, head=self.head.index_select(0, words), bias=self.bias[words])

    def logits(self, hidden: torch.Tensor, workspace: Workspace | None = None) -> torch.Tensor:
        """[n, V] at some of the positions, in `workspace` where they can be made there."""
        values = biased(hidden, self.head, self.bias, self.softcap, workspace)
        return values if self.shift is None else values + self.shift(hidden)

    def log_distribution(self, rows: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
        """Log-probabilities, float32 [n, V], at some of the positions, whose part of `rows` is given."""
        logits = self.logits(rows[0]).float()
        if self.limited is not None:
            logits = self.limited[0].applied(logits, rows[1])
        return torch.log_softmax(logits / temperature, dim=-1)


class Scores(NamedTuple):
    """Of N positions, float32 [N] each, with gradient.

    Args:
        logprobs: log p(label).
        entropy: -sum_v p log p, in nats; None: not asked for.
        divergence: KL(p || p_0) = sum_v p (log p - log p_0) from an anchor's p_0, in nats; None: there is none.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor | None = None
    divergence: torch.Tensor | None = None


def scores(
    of: Predicted, labels: torch.Tensor, temperature: float, *, entropy: bool = False, anchor: Predicted | None = None
) -> Scores:
    """What the distributions say of labels int64 [N] and of themselves.

    Args:
        anchor: predicts over the same vocabulary, limited alike, and gets no gradient; a token that it can never say
            must be one that `of` cannot either.
    """
    if of.shift is not None or (anchor is not None and anchor.shift is not None):
        return _shifted_scores(of, labels, temperature, entropy, anchor)
    limited = of.limited
    if limited is not None and limited[0].only:
        # No other words have a part in it: of a large vocabulary they are few.
        limits, ids = limited
        words = torch.cat([ids.flatten().to(labels.dtype), labels]).unique()
        words = words[words >= 0]
        of, anchor = of.over(words), None if anchor is None else anchor.over(words)
        labels = torch.searchsorted(words, labels)
        limited = limits, torch.where(ids < 0, -1, torch.searchsorted(words, ids.to(words.dtype)))
    fixed = None if anchor is None else Anchor(anchor.hidden, anchor.head, anchor.bias, anchor.softcap)
    asked = Asked(temperature, of.softcap, entropy=entropy, anchor=fixed, limited=limited)
    logprobs, _, *rest = block_scores(of.hidden, of.head, of.bias, labels, asked)
    return Scores(logprobs, *rest)


def _shifted_scores(
    of: Predicted, labels: torch.Tensor, temperature: float, entropy: bool, anchor: Predicted | None
) -> Scores:
    """`scores` where something is added to the logits that has a gradient of its own."""

    def found(wanted: torch.Tensor, *rows: torch.Tensor) -> torch.Tensor:
        logs = of.log_distribution(rows[: len(of.rows)], temperature)
        columns = [logs.gather(1, wanted[:, None]).squeeze(1)]
        # p log p is 0 where p is 0, but 0 * -inf is not a number.
        if entropy:
            columns.append(-(logs.exp() * logs.masked_fill(logs.isneginf(), 0.0)).sum(dim=-1))
        if anchor is not None:
            with torch.no_grad():
                fixed = anchor.log_distribution(rows[len(of.rows) :], temperature)
            columns.append((logs.exp() * (logs - fixed).masked_fill(logs.isneginf(), 0.0)).sum(dim=-1))
        return torch.stack(columns, dim=-1)

    others = () if anchor is None else anchor.rows
    logprobs, *rest = in_pieces(found, len(of.head), labels, *of.rows, *others).unbind(dim=-1)
    return Scores(logprobs, rest[0] if entropy else None, rest[-1] if anchor is not None else None)


@torch.no_grad()
def label_ranks(of: Predicted, labels: torch.Tensor) -> torch.Tensor:
    """1 + the number of tokens that are likelier than the label at each position, float32 [N]; labels int64 [N]."""

    def rank(hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = of.logits(hidden)
        return 1 + (logits > logits.gather(1, wanted[:, None])).sum(dim=-1).float()

    return in_pieces(rank, len(of.head), of.hidden, labels)
