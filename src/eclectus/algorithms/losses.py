"""Losses: pure functions of a dataclass of tensors, (loss, metrics) out.

Every loss is a sum over the sequences at hand divided by a number that belongs to the whole step. So the gradient of
a step is the sum of the gradients of its micro-batches, however they are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class StepSize:
    """What the losses of one step are divided by: counts over the whole step, not over one micro-batch.

    Args:
        sequences: sampled sequences with a judged reward, those of groups without signal included.
        tokens: their tokens.
    """

    sequences: float
    tokens: float


@dataclass(frozen=True)
class LossInputs:
    """N sampled sequences of at most T tokens.

    Args:
        logprobs: [N, T] under the policy, with gradient.
        old_logprobs: [N, T] recorded while sampling.
        advantages: [N].
        mask: bool [N, T], true up to and including end-of-sequence.
        size: divisors of the whole step.
    """

    logprobs: torch.Tensor
    old_logprobs: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    size: StepSize


Length = Literal["sequence", "token", "constant"]


def sequence_weights(inputs: LossInputs, length: Length, constant: float) -> torch.Tensor:
    """Weight [N, 1] of each token of a sequence.

    "sequence": 1 / (its length * sequences), GRPO as published; "token": 1 / tokens of the step, DAPO (Yu et al. 2025,
    equation 12); "constant": 1 / (constant * sequences), Dr. GRPO (Liu et al. 2025, section 3.2).
    """
    if length == "token":
        return torch.full_like(inputs.advantages, 1 / inputs.size.tokens)[:, None]
    if length == "constant":
        return torch.full_like(inputs.advantages, 1 / (constant * inputs.size.sequences))[:, None]
    lengths = inputs.mask.sum(dim=1).clamp(min=1)
    return (1 / (lengths * inputs.size.sequences))[:, None]


def policy_gradient(inputs: LossInputs) -> torch.Tensor:
    """-sum_i A_i * log pi(y_i | x_i) / sequences: REINFORCE (Williams 1992) with whole sequences as actions."""
    sequence = (inputs.logprobs * inputs.mask).sum(dim=1)
    return -(inputs.advantages * sequence).sum() / inputs.size.sequences


def clipped_surrogate(
    inputs: LossInputs, clip_low: float, clip_high: float, length: Length, constant: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """-sum w * min(ratio * A, clip(ratio, 1 - low, 1 + high) * A) over tokens: PPO (Schulman et al. 2017, equation 7).

    Returns:
        (loss, number of tokens at which the clip took the gradient away).
    """
    ratio = ((inputs.logprobs - inputs.old_logprobs) * inputs.mask).exp()
    advantages = inputs.advantages[:, None]
    plain = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    weights = sequence_weights(inputs, length, constant) * inputs.mask
    return -(torch.minimum(plain, clipped) * weights).sum(), ((clipped < plain) & inputs.mask).sum()


def kl_k3(logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Estimate of KL(policy || reference) per sequence: sum over tokens of r - 1 - log r, r = reference / policy.

    Schulman 2020, "Approximating KL divergence", estimator k3: unbiased as a value, never negative, low variance. Its
    gradient through on-policy samples is that of KL(reference || policy).

    Args:
        logprobs: [N, T] with gradient; reference: [N, T] without.

    Returns:
        [N].
    """
    difference = (reference - logprobs) * mask
    return (torch.expm1(difference) - difference).sum(dim=1)
