"""How samples are drawn other than by plain sampling from the policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eclectus.config.base import Model


class ExploreConfig(Model):
    """Sampling from (1 - epsilon) * policy + epsilon * uniform over the `top_k` most likely tokens. The same
    distribution is trained, with its exact probabilities."""

    epsilon: float = Field(0.0, ge=0, lt=1, description="0: plain sampling")
    top_k: int = Field(20, ge=0, description="0: every token that can be produced; used with epsilon > 0")


class TruncateConfig(Model):
    """Which tokens can be drawn at all; probabilities are renormalised over them, in sampling and in training. Not with
    `explore`, another engine, a value-based algorithm, or one that begins with a part of the reference."""

    top_k: int = Field(0, ge=0, description="this many most likely tokens; 0: all, or with `top_p` at most 256")
    top_p: float = Field(
        1.0, gt=0, le=1, description="of these the most likely, until they cover this much of the probability; 1: all"
    )


class CorrectionConfig(Model):
    """Importance weights of samples that an engine other than the policy's own sampler drew: min(pi / mu, cap), with pi
    the policy and mu the engine's distribution."""

    level: Literal["sequence", "token"] = Field(
        "sequence",
        description="one ratio per translation, exact except for the cap, or one per token, biased but with less"
        " variance in long translations",
    )
    cap: float = Field(3.0, ge=1, description="larger weights are capped at it; 3 as in TRL")
