"""Losses: pure functions of a dataclass of tensors, (loss, metrics) out.

Every loss is a sum over the sequences at hand divided by a number that belongs to the whole step. So the gradient of
a step is the sum of the gradients of its micro-batches, however they are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

_LOG_RATIO = 20.0
"""Log-ratios are cut here before `exp`: a ratio of e^20 says "far too far" as well as one that overflows."""


@dataclass(frozen=True)
class StepSize:
    """What the losses of one step are divided by: counts over the whole step, not over one micro-batch.

    Args:
        sequences: sampled sequences with a judged reward, those of groups without signal included.
        tokens: their tokens.
        sources: sources with at least one judged sample.
        drawn: all sampled sequences, judged or not, for terms that no reward has a part in.
    """

    sequences: float
    tokens: float
    sources: float
    drawn: float


@dataclass(frozen=True)
class LossInputs:
    """N sampled sequences of at most T tokens; the samples of a source stand together, and none is elsewhere.

    Args:
        logprobs: [N, T] of the tokens under the distribution they are sampled from, with gradient.
        old_logprobs: [N, T] recorded while sampling.
        advantages: [N], or [N, T] one for each token.
        mask: bool [N, T], the tokens that were sampled, end-of-sequence included.
        size: divisors of the whole step.
        tokens: int64 [N, T], equal after the end.
        rewards: [N], NaN where not judged.
        samples: G, how many sequences each source has.
        forced: bool [N, T], tokens that stood fixed before the sampled ones; None where there are none.
        reused: these samples have been used for an update already, so the policy is not the one they are from.
        states: [N, T, d] that the tokens are predicted from, with gradient; only for an algorithm that `needs_states`.
        targets: [N, T], what the algorithm's module is to predict at each token; NaN where nothing. See `Signals`.
        values: [N, T], what it predicted before the first update on these samples.
    """

    logprobs: torch.Tensor
    old_logprobs: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    size: StepSize
    tokens: torch.Tensor
    rewards: torch.Tensor
    samples: int
    forced: torch.Tensor | None = None
    reused: bool = False
    states: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    values: torch.Tensor | None = None

    @property
    def token_advantages(self) -> torch.Tensor:
        """[N, T] or [N, 1]."""
        return self.advantages if self.advantages.dim() == 2 else self.advantages[:, None]


@dataclass(frozen=True)
class Clip:
    """Where a ratio of probabilities stops to count.

    Args:
        low, high: no gain beyond 1 - low and 1 + high.
        maximum: a ratio above it is cut to it and carries no gradient, also where moving on would lose: the two-sided
            clip of INTELLECT-2 (arXiv:2505.07291, section 3.4), TRL's `delta`.
    """

    low: float
    high: float
    maximum: float


Length = Literal["sequence", "token", "constant"]
Level = Literal["token", "sequence"]


def sequence_weights(inputs: LossInputs, length: Length, constant: float) -> torch.Tensor:
    """Weight [N, 1] of each token of a sequence.

    "sequence": 1 / (its length * sequences), GRPO as published; "token": 1 / tokens of the step, DAPO (Yu et al. 2025,
    equation 12); "constant": 1 / (constant * sequences), Dr. GRPO (Liu et al. 2025, section 3.2).
    """
    rows = inputs.logprobs.detach()[:, :1]
    if length == "token":
        return torch.full_like(rows, 1 / inputs.size.tokens)
    if length == "constant":
        return torch.full_like(rows, 1 / (constant * inputs.size.sequences))
    lengths = inputs.mask.sum(dim=1).clamp(min=1)
    return (1 / (lengths * inputs.size.sequences))[:, None]


def policy_gradient(inputs: LossInputs, clip: Clip) -> tuple[torch.Tensor, dict[str, float]]:
    """-sum_i A_i * log pi(y_i | x_i) / sequences: REINFORCE (Williams 1992) with whole sequences as actions.

    Samples that are used again are no longer the policy's own. Then each stands with the ratio of its probabilities,
    -sum_i min(ratio * A, clip(ratio) * A) / sequences, as in TRL's RLOO; its gradient at a ratio of 1 is the same.

    With advantages for tokens, each token is an action: -sum_i sum_t A_it * log pi(y_it | x_i, y_i,<t) / sequences, and
    used again it has a ratio and a clip of its own, as in PPO.
    """
    if inputs.advantages.dim() == 2:
        if inputs.reused:
            return clipped_surrogate(inputs, clip, "constant", 1.0)
        return -(inputs.advantages * inputs.logprobs * inputs.mask).sum() / inputs.size.sequences, {}
    if inputs.reused:
        ratio = sequence_ratio(inputs)
        value, metrics = clipped(ratio, inputs.advantages, clip)
        inside = inputs.mask.any(dim=1)
        return -(value * inside).sum() / inputs.size.sequences, _named(metrics, inside, "sequences")
    sequence = (inputs.logprobs * inputs.mask).sum(dim=1)
    return -(inputs.advantages * sequence).sum() / inputs.size.sequences, {}


def sequence_ratio(inputs: LossInputs) -> torch.Tensor:
    """pi(y | x) / pi_old(y | x), [N]."""
    difference = ((inputs.logprobs - inputs.old_logprobs) * inputs.mask).sum(dim=1)
    return difference.clamp(-_LOG_RATIO, _LOG_RATIO).exp()


def clipped_surrogate(
    inputs: LossInputs, clip: Clip, length: Length, constant: float, level: Level = "token"
) -> tuple[torch.Tensor, dict[str, float]]:
    """-sum w * min(ratio * A, clip(ratio, 1 - low, 1 + high) * A) over tokens: PPO (Schulman et al. 2017, equation 7).

    Args:
        level: "token": the ratio of each token; "sequence": all tokens share the geometric mean of their ratios, as in
            GSPO (Zheng et al. 2025, arXiv:2507.18071, equation 7). Each token then takes the gradient of its own
            advantage (GSPO-token, equation 14), which is the same where a sequence has but one.

    Returns:
        (loss, numbers of tokens at which the clip took the gradient away, and whose ratio exploded).
    """
    difference = (inputs.logprobs - inputs.old_logprobs) * inputs.mask
    if level == "sequence":
        mean = difference.sum(dim=1, keepdim=True) / inputs.mask.sum(dim=1, keepdim=True).clamp(min=1)
        difference = mean.detach() + difference - difference.detach()
    ratio = difference.clamp(-_LOG_RATIO, _LOG_RATIO).exp()
    value, metrics = clipped(ratio, inputs.token_advantages, clip)
    weights = sequence_weights(inputs, length, constant) * inputs.mask
    return -(value * weights).sum(), _named(metrics, inputs.mask, "tokens")


def clipped(
    ratio: torch.Tensor, advantages: torch.Tensor, clip: Clip
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """min(ratio * A, clip(ratio) * A), and bools: where the clip acted, and where the ratio was over the maximum."""
    plain = ratio.clamp(max=clip.maximum) * advantages
    bounded = ratio.clamp(1 - clip.low, 1 + clip.high) * advantages
    return torch.minimum(plain, bounded), (bounded < plain, (ratio > clip.maximum) & (advantages != 0))


def _named(flags: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor, unit: str) -> dict[str, float]:
    acted, exploded = ((flag & mask).sum() for flag in flags)
    return {f"clipped_{unit}": float(acted), f"exploded_{unit}": float(exploded)}


def risk_weights(logprobs: torch.Tensor, candidates: torch.Tensor, alpha: float) -> torch.Tensor:
    """Q(y_i) = pi(y_i)^alpha / sum_j pi(y_j)^alpha over the candidates of a source.

    Shen et al. 2016, "Minimum risk training for neural machine translation" (arXiv:1512.02433), equation 11.

    Args:
        logprobs: [B, G] of whole sequences.
        candidates: bool [B, G]; a sequence that is none gets weight 0.

    Returns:
        [B, G]; rows sum to 1, or to 0 without any candidate.
    """
    scores = (alpha * logprobs).masked_fill(~candidates, float("-inf"))
    # A row of nothing but -inf has no softmax; its own is never used.
    empty = ~candidates.any(dim=1, keepdim=True)
    return torch.softmax(scores.masked_fill(empty, 0.0), dim=1) * candidates


def distinct(tokens: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
    """Bool [B, G]: the first of each set of equal samples `among` [B, G]. Tokens [B, G, T] are equal after the end."""
    equal = (tokens[:, :, None] == tokens[:, None, :]).all(dim=-1) & among[:, None, :]
    earlier = torch.ones(equal.shape[1:], dtype=torch.bool, device=tokens.device).tril(diagonal=-1)
    return among & ~(equal & earlier).any(dim=-1)


def expected_risk(inputs: LossInputs, alpha: float) -> torch.Tensor:
    """-sum_x sum_i Q(y_i | x) * r_i / sources, over the distinct judged samples of each source; see `risk_weights`.

    Its gradient is -alpha * sum_i Q_i * (r_i - sum_j Q_j r_j) * grad log pi(y_i).
    """
    rewards = inputs.rewards.view(-1, inputs.samples)
    candidates = distinct(inputs.tokens.view(*rewards.shape, -1), rewards.isfinite())
    sequence = (inputs.logprobs * inputs.mask).sum(dim=1).view(rewards.shape)
    weights = risk_weights(sequence, candidates, alpha)
    return -(weights * rewards.masked_fill(~candidates, 0.0)).sum() / inputs.size.sources


def forced_likelihood(inputs: LossInputs) -> torch.Tensor:
    """-sum log pi(forced tokens) / all sequences: what a prefix of the reference teaches."""
    if inputs.forced is None:
        return inputs.logprobs.new_zeros(())
    return -(inputs.logprobs * inputs.forced).sum() / inputs.size.drawn
