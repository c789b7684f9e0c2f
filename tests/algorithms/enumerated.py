"""A problem small enough to enumerate: three tokens, at most two steps, every sequence with its probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch

from eclectus import registry
from eclectus.algorithms.base import AdvantageInputs, Algorithm
from eclectus.algorithms.losses import LossInputs, StepSize

REWARD = {(0,): 0.1, (1, 0): 0.9, (1, 1): 0.2, (1, 2): 0.4, (2, 0): 0.0, (2, 1): 0.7, (2, 2): 0.3}
"""Token 0 ends a sequence; the second step ends it as well."""

POTENTIAL = {0: 0.05, 1: 0.6, 2: -0.2}
"""What a sequence that begins with this token and has not ended is worth, for rewards of tokens."""

PADDING = -1


def algorithm(name: str, **options: object) -> Algorithm:
    """An algorithm with these options."""
    kind = registry.find("algorithms", name, Algorithm)
    return kind(registry.parse_options("algorithm", kind.Options, options))


def inputs(logprobs, rewards, advantages, mask=None, *, samples=None, tokens=None, **changes) -> LossInputs:
    """`LossInputs` of one step made of these sequences alone."""
    mask = torch.ones_like(logprobs, dtype=torch.bool) if mask is None else mask
    samples = len(logprobs) if samples is None else samples
    if tokens is None:  # all different
        tokens = torch.arange(len(logprobs))[:, None].expand(logprobs.shape)
    values = {
        "logprobs": logprobs,
        "old_logprobs": logprobs.detach(),
        "advantages": advantages,
        "mask": mask,
        "size": StepSize(float(len(logprobs)), float(mask.sum()), len(logprobs) / samples, float(len(logprobs))),
        "tokens": tokens,
        "rewards": rewards,
        "samples": samples,
    }
    return LossInputs(**{**values, **changes})


@dataclass(frozen=True)
class Row:
    """A sequence: token ids [2], log-probabilities [2] with gradient, mask [2], reward."""

    tokens: torch.Tensor
    logprobs: torch.Tensor
    mask: torch.Tensor
    reward: float

    @property
    def token_rewards(self) -> list[float]:
        """[2], by the potential; their sum is the reward."""
        first = POTENTIAL[int(self.tokens[0])] if self.mask[1] else self.reward
        return [first, self.reward - first]

    @property
    def probability(self) -> torch.Tensor:
        return self.logprobs.sum().exp()


def some_logits() -> torch.Tensor:
    """First token from row 0, second from the row of the first."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(3, 3, generator=generator, dtype=torch.float64).requires_grad_()


def rows(logits: torch.Tensor, distribution: Callable | None = None) -> list[Row]:
    """Every sequence; `distribution` turns logits into log-probabilities (log-softmax)."""
    table = torch.log_softmax(logits, dim=-1) if distribution is None else distribution(logits)
    found = []
    for sequence, reward in REWARD.items():
        first = table[0, sequence[0]]
        second = table[sequence[0], sequence[1]] if len(sequence) > 1 else torch.zeros((), dtype=torch.float64)
        ids = [*sequence, PADDING][:2]
        found.append(
            Row(torch.tensor(ids), torch.stack([first, second]), torch.tensor([i != PADDING for i in ids]), reward)
        )
    return found


def exact_gradient(logits: torch.Tensor, distribution: Callable | None = None) -> torch.Tensor:
    """Gradient of the expected reward."""
    expected = sum(row.probability * row.reward for row in rows(logits, distribution))
    return torch.autograd.grad(expected, logits)[0]


def groups(found: list[Row], size: int) -> Iterator[tuple[float, list[Row]]]:
    """Every group of samples with its probability."""
    for group in product(found, repeat=size):
        yield float(torch.stack([row.logprobs.detach().sum() for row in group]).sum().exp()), list(group)


def loss_of(
    chosen: Algorithm, group: list[Row], greedy: float | None = None, dense: bool = False, **changes
) -> torch.Tensor:
    """Loss of a step that is one group, with rewards of tokens or without."""
    rewards = torch.tensor([[row.reward for row in group]], dtype=torch.float64)
    known = None if greedy is None else torch.tensor([greedy], dtype=torch.float64)
    earned = torch.tensor([[row.token_rewards for row in group]], dtype=torch.float64) if dense else None
    masks = torch.stack([row.mask for row in group])[None]
    step = AdvantageInputs(rewards, ["en-es"], known, mask=masks, token_rewards=earned)
    advantages = chosen.advantages(step)[0]
    loss, _ = chosen.loss(
        inputs(
            torch.stack([row.logprobs for row in group]),
            rewards[0],
            advantages,
            torch.stack([row.mask for row in group]),
            tokens=torch.stack([row.tokens for row in group]),
            **changes,
        )
    )
    return loss


def expected_update(
    logits: torch.Tensor,
    chosen: Algorithm,
    size: int,
    greedy: float | None = None,
    distribution: Callable | None = None,
    dense: bool = False,
) -> torch.Tensor:
    """Minus the gradient of the loss, averaged over every group of samples with its probability."""
    state = chosen.state_dict()
    total = torch.zeros_like(logits)
    for probability, group in groups(rows(logits, distribution), size):
        chosen.load_state_dict(state)  # each group is met by the same baseline
        gradient = torch.autograd.grad(loss_of(chosen, group, greedy, dense), logits, retain_graph=True)[0]
        total -= probability * gradient
    return total
