"""Importance weights of samples that another program drew than the one that trains.

A program that samples with the policy's weights computes in another order or precision, so what it draws from, mu, is
not quite the policy pi. Weights w = min(pi / mu, C) put that right in the mean, E_mu[w f] = E_pi[f], but for what the
cap takes away; it bounds their variance (Ionides 2008, "Truncated importance sampling"). Applied to a policy that is
trained by another program than it is sampled by: Yao et al. 2025, "Your efficient RL framework secretly brings you
off-policy RL training", https://fengyao.notion.site/off-policy-rl.

Every policy-gradient loss here is proportional to its advantages, whatever it clips, so the weights go into these.
"""

from __future__ import annotations

from typing import Literal

import torch

Level = Literal["sequence", "token"]


def truncated_weights(
    logprobs: torch.Tensor, behaviour: torch.Tensor, mask: torch.Tensor, cap: float, level: Level
) -> torch.Tensor:
    """min(pi / mu, cap).

    Args:
        logprobs, behaviour: [B, G, T] of the sampled tokens under the policy and under what they were drawn from.
        mask: bool [B, G, T], the tokens that were sampled.
        cap: largest weight, at least 1.
        level: "sequence": of whole translations, unbiased but for the cap, for any loss that is a sum over
            translations; "token": of each token by itself, as in Yao et al.: less variance in long translations, but
            biased, for what came before a token is then drawn from mu.

    Returns:
        [B, G], or [B, G, T] and 0 where the mask is false.
    """
    differences = torch.where(mask, logprobs - behaviour, 0.0)
    if level == "sequence":
        return differences.sum(dim=-1).exp().clamp(max=cap)
    return differences.exp().clamp(max=cap) * mask


def weighted(advantages: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Advantages times weights, each [B, G] or [B, G, T]; [B, G, T] where one of them is."""
    if advantages.dim() < weights.dim():
        return advantages[..., None] * weights
    return advantages * (weights if weights.dim() == advantages.dim() else weights[..., None])


def effective_share(weights: torch.Tensor) -> float:
    """Effective sample size over the sample size, (sum w)^2 / (n sum w^2): 1 where all are equal (Kong 1992)."""
    return float(weights.sum() ** 2 / (weights.numel() * (weights**2).sum()))
