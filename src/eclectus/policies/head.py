"""The vocabulary head in pieces: log-probabilities and losses that never hold the whole [tokens, vocabulary] tensor.

On a small model most of a step's time goes into this tensor being written and read again. All functions work through
a few hundred tokens at a time, which stay in the processor's cache, and are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

_PIECE_ELEMENTS = 2_000_000
"""Elements of the largest logits tensor that is held at once."""


def _pieces(tokens: int, vocabulary: int) -> list[slice]:
    size = max(64, _PIECE_ELEMENTS // vocabulary)
    return [slice(first, min(first + size, tokens)) for first in range(0, tokens, size)]


def product(hidden: torch.Tensor, head: torch.Tensor, softcap: float | None = None) -> torch.Tensor:
    """hidden @ head.T, squashed to `softcap * tanh(product / softcap)` where the model does so.

    The bias is added by the caller, after the cap: it also says which tokens are never generated, and no cap may undo
    that.
    """
    values = linear(hidden, head)
    return values if softcap is None else softcap * torch.tanh(values / softcap)


def _uncap(slope: torch.Tensor, capped: torch.Tensor, softcap: float | None) -> torch.Tensor:
    """Turn the gradient by the capped product into that by the plain one: d tanh(x) = 1 - tanh(x) ** 2."""
    return slope if softcap is None else slope.mul_(1 - (capped / softcap) ** 2)


class _TokenLogprobs(torch.autograd.Function):
    """Backward makes each piece of logits again: one more matrix product instead of gigabytes kept."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        bias: torch.Tensor,
        labels: torch.Tensor,
        temperature: float,
        softcap: float | None,
    ) -> torch.Tensor:
        result = hidden.new_empty(len(labels), dtype=torch.float32)
        for part in _pieces(len(labels), len(head)):
            values = (product(hidden[part], head, softcap) + bias).float() / temperature
            result[part] = values.gather(1, labels[part, None]).squeeze(1) - torch.logsumexp(values, dim=-1)
        ctx.save_for_backward(hidden, head, bias, labels)
        ctx.temperature, ctx.softcap = temperature, softcap
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, head, bias, labels = ctx.saved_tensors
        scale = grads[0] / ctx.temperature
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(head)
        for part in _pieces(len(labels), len(head)):
            capped = product(hidden[part], head, ctx.softcap)
            # d log p(y) / d logit = [y] - p, times the incoming gradient.
            slope = torch.softmax((capped + bias).float() / ctx.temperature, dim=-1).mul_(-scale[part, None])
            slope.scatter_add_(1, labels[part, None], scale[part, None])
            slope = _uncap(slope, capped, ctx.softcap).to(head.dtype)
            grad_hidden[part] = slope @ head
            grad_head.addmm_(slope.T, hidden[part])
        return grad_hidden, grad_head, None, None, None, None


def token_logprobs(
    hidden: torch.Tensor,
    head: torch.Tensor,
    bias: torch.Tensor,
    labels: torch.Tensor,
    temperature: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """log softmax((product(hidden, head, softcap) + bias) / temperature)[labels].

    Args:
        hidden: [N, d], with gradient; head: [V, d], with gradient; bias: [V], without.
        labels: int64 [N].
        softcap: see `product`.

    Returns:
        float32 [N].
    """
    result: torch.Tensor = _TokenLogprobs.apply(hidden, head, bias, labels, temperature, softcap)
    return result


class _SmoothedCrossEntropy(torch.autograd.Function):
    """The gradient is made in the forward pass, while the logits are at hand: it is only scaled later."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        bias: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        softcap: float | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = torch.zeros((), device=hidden.device)
        plain = torch.zeros((), device=hidden.device)
        grad_hidden, grad_head = torch.empty_like(hidden), torch.zeros_like(head)
        for part in _pieces(len(labels), len(head)):
            capped = product(hidden[part], head, softcap)
            values = (capped + bias).float()
            normaliser = torch.logsumexp(values, dim=-1)
            likelihood = normaliser - values.gather(1, labels[part, None]).squeeze(1)
            uniform = normaliser - values.mean(dim=-1)
            plain += likelihood.sum()
            loss += ((1 - smoothing) * likelihood + smoothing * uniform).sum()
            slope = values.sub_(normaliser[:, None]).exp_().sub_(smoothing / len(head))
            slope.scatter_add_(1, labels[part, None], slope.new_full((len(slope), 1), smoothing - 1))
            slope = _uncap(slope, capped, softcap).to(head.dtype)
            grad_hidden[part] = slope @ head
            grad_head.addmm_(slope.T, hidden[part])
        ctx.save_for_backward(grad_hidden, grad_head)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_head = ctx.saved_tensors
        return grad_hidden * grads[0], grad_head * grads[0], None, None, None, None


def smoothed_cross_entropy(
    hidden: torch.Tensor,
    head: torch.Tensor,
    bias: torch.Tensor,
    labels: torch.Tensor,
    smoothing: float,
    softcap: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over N tokens: (label-smoothed cross-entropy with gradient, plain negative log-likelihood).

    Label smoothing as in Szegedy et al. 2016, section 7: the target is (1 - s) on the label plus s / V everywhere.
    Shapes as in `token_logprobs`; `bias` is finite.
    """
    result: tuple[torch.Tensor, torch.Tensor] = _SmoothedCrossEntropy.apply(
        hidden, head, bias, labels, smoothing, softcap
    )
    return result


@dataclass(frozen=True)
class Predicted:
    """A distribution over the vocabulary at each of N positions, not yet made: softmax((product + bias + shift) / T).

    Args:
        hidden: [N, d]; head: [V, d]; bias: [V], -inf for tokens that can never be.
        softcap: see `product`.
        shift: from hidden [n, d] to what is added to the logits [n, V]; None: nothing.
    """

    hidden: torch.Tensor
    head: torch.Tensor
    bias: torch.Tensor
    softcap: float | None = None
    shift: Callable[[torch.Tensor], torch.Tensor] | None = None

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[n, V] at some of the positions."""
        values = product(hidden, self.head, self.softcap) + self.bias
        return values if self.shift is None else values + self.shift(hidden)

    def log_distribution(self, hidden: torch.Tensor, temperature: float) -> torch.Tensor:
        """Log-probabilities, float32 [n, V], at some of the positions."""
        return torch.log_softmax(self.logits(hidden).float() / temperature, dim=-1)


def logprobs(of: Predicted, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """log p(label) at each position, float32 [N], with gradient; labels int64 [N]."""
    if of.shift is None:
        return token_logprobs(of.hidden, of.head, of.bias, labels, temperature, of.softcap)

    def picked(hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return of.log_distribution(hidden, temperature).gather(1, wanted[:, None]).squeeze(1)

    return in_pieces(picked, len(of.head), of.hidden, labels)


def entropies(of: Predicted, temperature: float) -> torch.Tensor:
    """-sum_v p log p at each position, in nats, [N], with gradient."""

    def entropy(hidden: torch.Tensor) -> torch.Tensor:
        logs = of.log_distribution(hidden, temperature)
        # p log p is 0 where p is 0, but 0 * -inf is not a number.
        return -(logs.exp() * logs.masked_fill(logs.isneginf(), 0.0)).sum(dim=-1)

    return in_pieces(entropy, len(of.head), of.hidden)


def divergences(of: Predicted, anchor: Predicted, temperature: float) -> torch.Tensor:
    """KL(p || p_0) = sum_v p (log p - log p_0) at each position, in nats, [N], with gradient with respect to p alone.

    Args:
        anchor: predicts over the same vocabulary; a token that it can never say must be one that `of` cannot either.
    """

    def divergence(hidden: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        logs = of.log_distribution(hidden, temperature)
        with torch.no_grad():
            fixed = anchor.log_distribution(other, temperature)
        return (logs.exp() * (logs - fixed).masked_fill(logs.isneginf(), 0.0)).sum(dim=-1)

    return in_pieces(divergence, len(of.head), of.hidden, anchor.hidden)


def in_pieces(function: Callable[..., torch.Tensor], vocabulary: int, *rows: torch.Tensor) -> torch.Tensor:
    """Apply a function that needs [n, vocabulary] to slices of `rows` [N, ...]; returns [N, ...].

    The backward pass makes each piece again.
    """
    parts = _pieces(len(rows[0]), vocabulary)
    found = [checkpoint(function, *(row[part] for row in rows), use_reentrant=False) for part in parts]
    return torch.cat(found) if found else rows[0].new_zeros(0, dtype=torch.float32)
