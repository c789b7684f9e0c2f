"""A tiny model with adapters, new or trained for some steps."""

import pytest

from eclectus.config import LoraConfig
from eclectus.policies.load import load_policy
from eclectus.training.optimizer import build_optimizer, update
from tests.tiny import segments

pytest.importorskip("peft")  # also skips the test modules that import this one

ROWS = [*segments("en", "es"), *segments("en", "fr")]


def adapted(tmp_path, languages=("en", "es", "fr"), **options):
    """The model in the folder `start`, with new adapters."""
    policy, _ = load_policy(str(tmp_path / "start"))
    policy.adapt(LoraConfig(rank=4, **options), str(tmp_path / "start"), list(languages), seed=3)
    return policy


def trained(policy, rows=ROWS, rate=0.02, steps=3):
    """After some supervised steps."""
    optimizer = build_optimizer("adamw", policy.model, rate)
    for _ in range(steps):
        sources, targets = policy.tokenize_sources(rows), policy.tokenize_targets([row.reference for row in rows])
        policy.smoothed_loss(sources, targets, 0.0)[0].backward()
        update(optimizer, rate, 1.0)
    return policy
