"""How samples are drawn beside plain sampling from the policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eclectus.config.base import Model


class ExploreConfig(Model):
    """Sampling from (1 - epsilon) * policy + epsilon * uniform over the `top_k` likeliest tokens, which is also what is
    then trained: both sides know the exact probability."""

    epsilon: float = Field(0.0, ge=0, lt=1, description="0: plain sampling")
    top_k: int = Field(20, ge=0, description="0: every token that can be said; used with epsilon > 0")


class TruncateConfig(Model):
    """Tokens that can be drawn at all; probabilities are those among them, in sampling and in training. Not with
    `explore`, another engine, or an algorithm that follows values or begins with a part of the reference."""

    top_k: int = Field(0, ge=0, description="the so many likeliest; 0: all, or with `top_p` at most 256")
    top_p: float = Field(
        1.0, gt=0, le=1, description="of these the likeliest, until they have this much of the probability; 1: all"
    )


class CorrectionConfig(Model):
    """Importance weights of samples that another engine drew than the policy's own sampler: min(pi / mu, cap), pi the
    policy and mu what the engine drew from."""

    level: Literal["sequence", "token"] = Field(
        "sequence",
        description="a ratio for each translation, exact but for the cap, or for each token, biased but calmer where"
        " translations are long",
    )
    cap: float = Field(3.0, ge=1, description="larger weights are cut to it; 3 as in TRL")
