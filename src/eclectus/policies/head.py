"""The vocabulary head in blocks: log-probabilities and losses that never hold the whole [tokens, vocabulary] tensor.

On a small model most of a step's time goes into this tensor being written and read again. All functions work through
a block at a time, which stays in the processor's cache, and are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from eclectus.rollouts.limits import Limits
from eclectus.rollouts.workspace import Workspace

_PIECE_ELEMENTS = 2_000_000
_DEVICE_PIECE_ELEMENTS = 16_000_000
"""Elements of the largest logits tensor that is worked on at once: on a processor it stays in the cache, on a device a
small one takes less time than its kernels' launches."""

_KEPT_BYTES = 256 * 2**20
_KEPT_SHARE = 0.75
"""Memory for what one loss keeps of its forward pass: so many bytes, in which a small vocabulary fits whole, or so much
of what the weight's gradient takes anyway."""

_LEAST = -1e30
"""Stands for the logarithm of 0 where it is multiplied by 0."""


def _pieces(tokens: int, vocabulary: int, device: torch.device) -> list[slice]:
    """Slices of the tokens."""
    return _slices(tokens, max(64, _most(device) // vocabulary))


def _columns(tokens: int, vocabulary: int, device: torch.device) -> list[slice]:
    """Slices of the vocabulary."""
    return _slices(vocabulary, max(1, _most(device) // max(1, tokens)))


def _most(device: torch.device) -> int:
    return _PIECE_ELEMENTS if device.type == "cpu" else _DEVICE_PIECE_ELEMENTS


def _slices(length: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


def _room(head: torch.Tensor, wants_hidden: bool, wants_head: bool) -> int:
    """Bytes that may be kept for backward."""
    if not wants_hidden and not wants_head:
        return 0
    return max(_KEPT_BYTES, int(_KEPT_SHARE * head.nbytes)) if wants_head else _KEPT_BYTES


def _inside(labels: torch.Tensor, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Which labels lie in a block, bool [N], and their columns there, int64 [N, 1]; of the others any column."""
    # How many lie there is not asked: a device would be waited for at each block.
    columns = labels - part.start
    inside = (columns >= 0) & (columns < part.stop - part.start)
    return inside, columns.clamp(0, part.stop - part.start - 1)[:, None]


def biased(
    hidden: torch.Tensor,
    head: torch.Tensor,
    bias: torch.Tensor,
    softcap: float | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """product(hidden, head, softcap) + bias, in `workspace` where there is any and it can be made there."""
    # Autocast would round the bias too.
    plain = hidden.dtype == head.dtype == bias.dtype and not torch.is_autocast_enabled(hidden.device.type)
    if softcap is not None or not plain:
        return product(hidden, head, softcap) + bias
    if workspace is not None and not torch.is_grad_enabled():
        return torch.addmm(bias, hidden, head.T, out=workspace.take((len(hidden), len(head)), hidden))
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


class Anchor(NamedTuple):
    """What the logits of another distribution over the same words are made of; it gets no gradient.

    Args:
        hidden: [N, d]; head: [V, d]; bias: [V]; softcap: see `product`.
    """

    hidden: torch.Tensor
    head: torch.Tensor
    bias: torch.Tensor
    softcap: float | None


@dataclass(frozen=True)
class Asked:
    """What is wanted of a distribution beside the label's log-probability, and what it is made of.

    Args:
        softcap: see `product`.
        uniform: the mean log-probability over the vocabulary.
        entropy: its entropy.
        anchor: its divergence from this one.
        limited: what can be drawn at all, with the ids [N, K] at these positions; None: every token.
    """

    temperature: float
    softcap: float | None = None
    uniform: bool = False
    entropy: bool = False
    anchor: Anchor | None = None
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
        ctx: Any, hidden: torch.Tensor, head: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor, asked: Asked
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        picked = hidden.new_zeros(len(labels), dtype=torch.float32)
        summed, total = torch.zeros_like(picked), torch.full_like(picked, float("-inf"))
        anchored = total  # the anchor's, where there is one
        kept: dict[int, _Block] = {}
        tops, sums, weighted, crossed = [], [], [], []
        room = 0 if asked.softcap is not None else _room(head, *ctx.needs_input_grad[:2])
        for number, part in enumerate(_columns(len(labels), len(head), head.device)):
            values = asked.divided(biased(hidden, head[part], bias[part], asked.softcap), part)
            inside, columns = _inside(labels, part)
            picked = torch.where(inside, values.gather(1, columns).squeeze(1), picked)
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
        asked: Asked = ctx.asked
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        by_label, everywhere, by_entropy, by_divergence = (
            None if grad is None else (grad / asked.temperature)[:, None] for grad in grads
        )
        sloped = -sum((grad for grad in (by_label, everywhere) if grad is not None), torch.zeros_like(total)[:, None])
        # Sums over blocks are made in single precision at least, whatever the model's own.
        grad_hidden = torch.zeros_like(hidden, dtype=torch.promote_types(hidden.dtype, torch.float32))
        grad_head = torch.empty_like(head) if wants_head else None
        for number, part in enumerate(_columns(len(labels), len(head), head.device)):
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
                inside, columns = _inside(labels, part)
                slope.scatter_add_(1, columns, by_label.where(inside[:, None], 0.0))
            if capped is not None:
                slope = _uncap(slope, capped, asked.softcap)
            slope = slope.to(head.dtype)
            if wants_hidden:
                grad_hidden += slope @ head[part]
            if grad_head is not None:
                torch.mm(slope.T, hidden, out=grad_head[part])
        return grad_hidden.to(hidden.dtype) if wants_hidden else None, grad_head, None, None, None


def block_scores(
    hidden: torch.Tensor, head: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor, asked: Asked
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Scores of tokens under softmax((product(hidden, head, softcap) + bias) / temperature).

    Args:
        hidden: [N, d], with gradient; head: [V, d], with gradient; bias: [V], without.
        labels: int64 [N].

    Returns:
        Log-probability of each label, the mean over the vocabulary, the distribution's entropy and its divergence from
        the anchor's, float32 [N] each, with gradient; None what is not asked for.
    """
    found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None] = _BlockScores.apply(
        hidden, head, bias, labels, asked
    )
    return found


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
    Shapes as in `block_scores`; `bias` is finite.
    """
    asked = Asked(1.0, softcap, uniform=smoothing > 0)
    picked, mean, *_ = block_scores(hidden, head, bias, labels, asked)
    plain = -picked.sum()
    loss = plain if mean is None else (1 - smoothing) * plain - smoothing * mean.sum()
    return loss, plain.detach()


def in_pieces(function: Callable[..., torch.Tensor], vocabulary: int, *rows: torch.Tensor) -> torch.Tensor:
    """Apply a function that needs [n, vocabulary] to slices of `rows` [N, ...]; returns [N, ...].

    The backward pass makes each piece again.
    """
    parts = _pieces(len(rows[0]), vocabulary, rows[0].device)
    found = [checkpoint(function, *(row[part] for row in rows), use_reentrant=False) for part in parts]
    return torch.cat(found) if found else torch.zeros(0, device=rows[0].device)
