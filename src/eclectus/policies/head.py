"""The vocabulary head in blocks: log-probabilities and losses that never hold the whole [tokens, vocabulary] tensor.

On a small model most of a step's time goes into this tensor being written and read again. All functions work through
a block at a time, which stays in the processor's cache, and are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from eclectus.rollouts.limits import Limits
from eclectus.rollouts.room import Room

_PIECE_ELEMENTS = 2_000_000
"""Elements of the largest logits tensor that is worked on at once."""

_KEPT_BYTES = 256 * 2**20
_KEPT_SHARE = 0.75
"""Memory for what one loss keeps of its forward pass: so many bytes, in which a small vocabulary fits whole, or so much
of what the weight's gradient takes anyway."""


def _pieces(tokens: int, vocabulary: int) -> list[slice]:
    """Slices of the tokens."""
    return _slices(tokens, max(64, _PIECE_ELEMENTS // vocabulary))


def _columns(tokens: int, vocabulary: int) -> list[slice]:
    """Slices of the vocabulary."""
    return _slices(vocabulary, max(1, _PIECE_ELEMENTS // max(1, tokens)))


def _slices(length: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def _room(head: torch.Tensor, wants_hidden: bool, wants_head: bool) -> int:
    """Bytes that may be kept for backward."""
    if not wants_hidden and not wants_head:
        return 0
    return max(_KEPT_BYTES, int(_KEPT_SHARE * head.nbytes)) if wants_head else _KEPT_BYTES


def _inside(labels: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose label lies in a block, and its column there."""
    rows = ((labels >= part.start) & (labels < part.stop)).nonzero().squeeze(1)
    return rows, labels[rows] - part.start


def _divided(values: torch.Tensor, temperature: float) -> torch.Tensor:
    """values / temperature in single precision, in place where that is what they have."""
    return values.float() if temperature == 1 else values.float().div_(temperature)


def biased(
    hidden: torch.Tensor,
    head: torch.Tensor,
    bias: torch.Tensor,
    softcap: float | None = None,
    room: Room | None = None,
) -> torch.Tensor:
    """product(hidden, head, softcap) + bias, in `room` where there is any and it can be made there."""
    # Autocast would round the bias too.
    plain = hidden.dtype == head.dtype == bias.dtype and not torch.is_autocast_enabled(hidden.device.type)
    if softcap is not None or not plain:
        return product(hidden, head, softcap) + bias
    if room is not None and not torch.is_grad_enabled():
        return torch.addmm(bias, hidden, head.T, out=room.take((len(hidden), len(head)), hidden))
    return linear(hidden, head, bias)  # one pass over [N, V] fewer than adding it afterwards


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


@dataclass
class _Block:
    """What is kept of a block of columns: exp(logit - top), [N, columns], and the largest logit of each row, [N, 1]."""

    scaled: torch.Tensor
    top: torch.Tensor


class _LabelLogprobs(torch.autograd.Function):
    """Log-probability of each label, and the mean log-probability over the vocabulary, [N] each.

    Goes through blocks of the vocabulary, so that each row of the weight is read once and its gradient written once.
    Backward needs each block again: some are kept (`_room`), the others are made again, which is one more matrix
    product instead of gigabytes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: torch.Tensor,
        bias: torch.Tensor,
        labels: torch.Tensor,
        temperature: float,
        softcap: float | None,
        uniform: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        picked = hidden.new_zeros(len(labels), dtype=torch.float32)
        summed, total = torch.zeros_like(picked), torch.full_like(picked, float("-inf"))
        kept: dict[int, _Block] = {}
        room = 0 if softcap is not None else _room(head, *ctx.needs_input_grad[:2])
        for number, part in enumerate(_columns(len(labels), len(head))):
            values = _divided(biased(hidden, head[part], bias[part], softcap), temperature)
            rows, columns = _inside(labels, part)
            picked[rows] = values[rows, columns]
            if uniform:
                summed += values.sum(dim=-1)
            # A block of tokens that can never be has no finite logit to subtract.
            top = values.amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(values.dtype).min)
            scaled = values.sub_(top).exp_()
            total = torch.logaddexp(total, scaled.sum(dim=-1).log_() + top.squeeze(1))
            room -= scaled.nbytes
            if room >= 0:
                kept[number] = _Block(scaled, top)
        ctx.save_for_backward(hidden, head, bias, labels, total)
        ctx.temperature, ctx.softcap, ctx.kept = temperature, softcap, kept
        return picked - total, summed / len(head) - total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, head, bias, labels, total = ctx.saved_tensors
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        by_label, everywhere = (grad / ctx.temperature for grad in grads)
        sloped = -(by_label + everywhere)[:, None]
        # Sums over blocks are made in single precision at least, whatever the model's own.
        grad_hidden = torch.zeros_like(hidden, dtype=torch.promote_types(hidden.dtype, torch.float32))
        grad_head = torch.empty_like(head) if wants_head else None
        for number, part in enumerate(_columns(len(labels), len(head))):
            block, capped = ctx.kept.pop(number, None), None
            if block is not None:
                slope = block.scaled.mul_((block.top - total[:, None]).exp_().mul_(sloped))
            else:
                if ctx.softcap is None:
                    values = biased(hidden, head[part], bias[part])
                else:
                    capped = product(hidden, head[part], ctx.softcap)
                    values = capped + bias[part]
                slope = _divided(values, ctx.temperature).sub_(total[:, None]).exp_().mul_(sloped)
            # d log p(y) / d logit = [y] - p, and 1 / V - p for the mean, times the incoming gradients.
            if everywhere.any():
                slope += everywhere[:, None] / len(head)
            rows, columns = _inside(labels, part)
            slope[rows, columns] += by_label[rows]
            if capped is not None:
                slope = _uncap(slope, capped, ctx.softcap)
            slope = slope.to(head.dtype)
            if wants_hidden:
                grad_hidden += slope @ head[part]
            if grad_head is not None:
                torch.mm(slope.T, hidden, out=grad_head[part])
        return grad_hidden.to(hidden.dtype) if wants_hidden else None, grad_head, *([None] * 5)


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
    result: tuple[torch.Tensor, torch.Tensor] = _LabelLogprobs.apply(
        hidden, head, bias, labels, temperature, softcap, False
    )
    return result[0]


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
    picked, mean = _LabelLogprobs.apply(hidden, head, bias, labels, 1.0, softcap, smoothing > 0)
    plain = -picked.sum()
    loss = (1 - smoothing) * plain - smoothing * mean.sum() if smoothing else plain
    return loss, plain.detach()


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

    def logits(self, hidden: torch.Tensor, room: Room | None = None) -> torch.Tensor:
        """[n, V] at some of the positions, in `room` where they can be made there."""
        values = biased(hidden, self.head, self.bias, self.softcap, room)
        return values if self.shift is None else values + self.shift(hidden)

    def log_distribution(self, rows: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
        """Log-probabilities, float32 [n, V], at some of the positions, whose part of `rows` is given."""
        logits = self.logits(rows[0]).float()
        if self.limited is not None:
            logits = self.limited[0].applied(logits, rows[1])
        return torch.log_softmax(logits / temperature, dim=-1)


def logprobs(of: Predicted, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """log p(label) at each position, float32 [N], with gradient; labels int64 [N]."""
    if of.shift is None and of.limited is None:
        return token_logprobs(of.hidden, of.head, of.bias, labels, temperature, of.softcap)

    def picked(wanted: torch.Tensor, *rows: torch.Tensor) -> torch.Tensor:
        return of.log_distribution(rows, temperature).gather(1, wanted[:, None]).squeeze(1)

    return in_pieces(picked, len(of.head), labels, *of.rows)


def entropies(of: Predicted, temperature: float) -> torch.Tensor:
    """-sum_v p log p at each position, in nats, [N], with gradient."""

    def entropy(*rows: torch.Tensor) -> torch.Tensor:
        logs = of.log_distribution(rows, temperature)
        # p log p is 0 where p is 0, but 0 * -inf is not a number.
        return -(logs.exp() * logs.masked_fill(logs.isneginf(), 0.0)).sum(dim=-1)

    return in_pieces(entropy, len(of.head), *of.rows)


@torch.no_grad()
def label_ranks(of: Predicted, labels: torch.Tensor) -> torch.Tensor:
    """1 + the number of tokens that are likelier than the label at each position, float32 [N]; labels int64 [N]."""

    def rank(hidden: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = of.logits(hidden)
        return 1 + (logits > logits.gather(1, wanted[:, None])).sum(dim=-1).float()

    return in_pieces(rank, len(of.head), of.hidden, labels)


def divergences(of: Predicted, anchor: Predicted, temperature: float) -> torch.Tensor:
    """KL(p || p_0) = sum_v p (log p - log p_0) at each position, in nats, [N], with gradient with respect to p alone.

    Args:
        anchor: predicts over the same vocabulary; a token that it can never say must be one that `of` cannot either.
    """

    def divergence(*rows: torch.Tensor) -> torch.Tensor:
        own, others = rows[: len(of.rows)], rows[len(of.rows) :]
        logs = of.log_distribution(own, temperature)
        with torch.no_grad():
            fixed = anchor.log_distribution(others, temperature)
        return (logs.exp() * (logs - fixed).masked_fill(logs.isneginf(), 0.0)).sum(dim=-1)

    return in_pieces(divergence, len(of.head), *of.rows, *anchor.rows)


def in_pieces(function: Callable[..., torch.Tensor], vocabulary: int, *rows: torch.Tensor) -> torch.Tensor:
    """Apply a function that needs [n, vocabulary] to slices of `rows` [N, ...]; returns [N, ...].

    The backward pass makes each piece again.
    """
    parts = _pieces(len(rows[0]), vocabulary)
    found = [checkpoint(function, *(row[part] for row in rows), use_reentrant=False) for part in parts]
    return torch.cat(found) if found else torch.zeros(0, device=rows[0].device)
