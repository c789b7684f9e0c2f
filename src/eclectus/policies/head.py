"""The vocabulary head in blocks: log-probabilities and losses that never hold the whole [tokens, vocabulary] tensor.

On a small model most of a step's time goes into this tensor being written and read again. All functions work through
a block at a time, which stays in the processor's cache, and are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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

_LEAST = -1e30
"""Stands for the logarithm of 0 where it is multiplied by 0."""


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


@dataclass(frozen=True)
class _Asked:
    """What is wanted of a distribution beside the label's log-probability, and what it is made of."""

    temperature: float
    softcap: float | None = None
    uniform: bool = False
    entropy: bool = False
    anchor: Predicted | None = None
    limited: tuple[Limits, torch.Tensor] | None = None

    def divided(self, values: torch.Tensor, part: slice) -> torch.Tensor:
        """A block of logits in single precision, over the temperature, minus infinity for what cannot be drawn."""
        if self.limited is not None:
            values = self.limited[0].applied(values, self.limited[1], part.start)
        return values.float() if self.temperature == 1 else values.float().div_(self.temperature)

    def gap(self, values: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """How far a block of logits is above the anchor's, and those; both end at `_LEAST` below."""
        assert self.anchor is not None
        others = biased(self.anchor.hidden, self.anchor.head[part], self.anchor.bias[part], self.anchor.softcap)
        others = self.divided(others, part).clamp_(min=_LEAST)
        return values.clamp(min=_LEAST).sub_(others), others


@dataclass
class _Block:
    """What is kept of a block of columns: exp(logit - top), [N, columns], and the largest logit of each row, [N, 1];
    how far its logits are above an anchor's."""

    scaled: torch.Tensor
    top: torch.Tensor
    gap: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        return self.scaled.nbytes + (0 if self.gap is None else self.gap.nbytes)


def _top(values: torch.Tensor) -> torch.Tensor:
    """The largest value of each row, [N, 1]."""
    # A block of tokens that can never be has no finite logit to subtract.
    return values.amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(values.dtype).min)


def _summed(total: torch.Tensor, sums: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
    """log(exp(total) + sums * exp(top)), [N]."""
    return torch.logaddexp(total, sums.log() + top.squeeze(1))


class _BlockScores(torch.autograd.Function):
    """Log-probability of each label, the mean log-probability over the vocabulary, the distribution's entropy and its
    divergence from an anchor's, [N] each; None what is not asked for.

    Goes through blocks of the vocabulary, so that each row of the weight is read once and its gradient written once.
    Backward needs each block again: some are kept (`_room`), the others are made again, which is one more matrix
    product instead of gigabytes.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor, asked: _Asked
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        picked = hidden.new_zeros(len(labels), dtype=torch.float32)
        summed, total = torch.zeros_like(picked), torch.full_like(picked, float("-inf"))
        anchored = total  # the anchor's, where there is one
        kept: dict[int, _Block] = {}
        tops, sums, weighted, crossed = [], [], [], []
        room = 0 if asked.softcap is not None else _room(head, *ctx.needs_input_grad[:2])
        for number, part in enumerate(_columns(len(labels), len(head))):
            values = asked.divided(biased(hidden, head[part], bias[part], asked.softcap), part)
            rows, columns = _inside(labels, part)
            picked[rows] = values[rows, columns]
            if asked.uniform:
                summed += values.sum(dim=-1)
            gap = None
            if asked.anchor is not None:
                gap, others = asked.gap(values, part)
                highest = _top(others)
                anchored = _summed(anchored, others.sub_(highest).exp_().sum(dim=-1), highest)
            top = _top(values)
            values.sub_(top)
            if asked.entropy:
                scaled = values.exp()
                weighted.append(values.clamp_(min=_LEAST).mul_(scaled).sum(dim=-1))  # 0 * -inf is not a number
            else:
                scaled = values.exp_()
            if gap is not None:
                crossed.append((gap * scaled).sum(dim=-1))
            sums.append(scaled.sum(dim=-1))
            tops.append(top)
            total = _summed(total, sums[-1], top)
            block = _Block(scaled, top, gap)
            room -= block.nbytes
            if room >= 0:
                kept[number] = block
        below = [top.squeeze(1) - total for top in tops]
        entropy = divergence = apart = None
        if asked.entropy:
            entropy = torch.zeros_like(picked)
            for down, share, inner in zip(below, sums, weighted, strict=True):
                entropy -= down.exp() * (inner + down * share)
        if asked.anchor is not None:
            apart = anchored - total
            divergence = apart.clone()
            for down, inner in zip(below, crossed, strict=True):
                divergence += down.exp() * inner
        ctx.save_for_backward(hidden, head, bias, labels, total, apart, entropy, divergence)
        ctx.asked, ctx.kept = asked, kept
        return picked - total, summed / len(head) - total if asked.uniform else None, entropy, divergence

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        hidden, head, bias, labels, total, apart, entropy, divergence = ctx.saved_tensors
        asked: _Asked = ctx.asked
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        by_label, everywhere, by_entropy, by_divergence = (
            None if grad is None else (grad / asked.temperature)[:, None] for grad in grads
        )
        sloped = -sum((grad for grad in (by_label, everywhere) if grad is not None), torch.zeros_like(total)[:, None])
        # Sums over blocks are made in single precision at least, whatever the model's own.
        grad_hidden = torch.zeros_like(hidden, dtype=torch.promote_types(hidden.dtype, torch.float32))
        grad_head = torch.empty_like(head) if wants_head else None
        for number, part in enumerate(_columns(len(labels), len(head))):
            block, capped = ctx.kept.pop(number, None), None
            if block is not None:
                scaled, gap, top = block.scaled, block.gap, block.top
            else:
                if asked.softcap is None:
                    values = biased(hidden, head[part], bias[part])
                else:
                    capped = product(hidden, head[part], asked.softcap)
                    values = capped + bias[part]
                values = asked.divided(values, part)
                gap = None if by_divergence is None else asked.gap(values, part)[0]
                top = _top(values)
                scaled = values.sub_(top).exp_()
            below = top - total[:, None]
            # By each logit, with p the distribution, l its logarithm and o the anchor's: [y] - p for log p(y),
            # 1 / V - p for the mean, -p (l + H) for the entropy H, p (l - o - D) for the divergence D.
            factor = sloped
            if by_entropy is not None:
                surprise = scaled.log().add_(below).clamp_(min=_LEAST).add_(entropy[:, None])
                factor = surprise.mul_(-by_entropy).add_(factor)
            if by_divergence is not None:
                assert gap is not None
                factor = gap.add_((apart - divergence)[:, None]).mul_(by_divergence).add_(factor)
            slope = scaled.mul_(below.exp_()).mul_(factor)
            if everywhere is not None:
                slope += everywhere / len(head)
            if by_label is not None:
                rows, columns = _inside(labels, part)
                slope[rows, columns] += by_label[rows, 0]
            if capped is not None:
                slope = _uncap(slope, capped, asked.softcap)
            slope = slope.to(head.dtype)
            if wants_hidden:
                grad_hidden += slope @ head[part]
            if grad_head is not None:
                torch.mm(slope.T, hidden, out=grad_head[part])
        return grad_hidden.to(hidden.dtype) if wants_hidden else None, grad_head, None, None, None


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
    result: tuple[torch.Tensor, ...] = _BlockScores.apply(hidden, head, bias, labels, _Asked(temperature, softcap))
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
    asked = _Asked(1.0, softcap, uniform=smoothing > 0)
    picked, mean, *_ = _BlockScores.apply(hidden, head, bias, labels, asked)
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

    def over(self, words: torch.Tensor) -> Predicted:
        """The same of these words of the vocabulary alone, int64 [W]; what is limited keeps its ids."""
        return replace(self, head=self.head.index_select(0, words), bias=self.bias[words])

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
    asked = _Asked(temperature, of.softcap, entropy=entropy, anchor=anchor, limited=limited)
    logprobs, _, *rest = _BlockScores.apply(of.hidden, of.head, of.bias, labels, asked)
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


def in_pieces(function: Callable[..., torch.Tensor], vocabulary: int, *rows: torch.Tensor) -> torch.Tensor:
    """Apply a function that needs [n, vocabulary] to slices of `rows` [N, ...]; returns [N, ...].

    The backward pass makes each piece again.
    """
    parts = _pieces(len(rows[0]), vocabulary)
    found = [checkpoint(function, *(row[part] for row in rows), use_reentrant=False) for part in parts]
    return torch.cat(found) if found else torch.zeros(0, device=rows[0].device)
