"""One step of reinforcement learning with made-up advantages: all that it works on, its gradient, its update."""

import torch

from eclectus.algorithms.losses import StepSize
from eclectus.config import KlConfig
from eclectus.rollouts.base import Sampling
from eclectus.training.backward import accumulate
from eclectus.training.optimizer import update
from eclectus.training.update import Demonstration, Update
from tests.algorithms.enumerated import algorithm
from tests.tiny import segments

ROWS = [*segments("en", "es"), *segments("en", "fr")]


def shown(policy, weights, apart=()):
    """The references with a weight above 0, and those of the sources `apart` as if nothing were sampled from them."""
    sources, targets = policy.tokenize_sources(ROWS), policy.tokenize_targets([row.reference for row in ROWS])
    own = [Demonstration(sources[i], targets[i], weight, i) for i, weight in enumerate(weights) if weight]
    return own + [Demonstration(sources[i], targets[i], 0.3, None) for i in apart]


def make_work(policy, *, epsilon=0.0, forced=False, temperature=1.0, limits=None, **changes):
    """What a step works on: three samples of each source and made-up advantages; `changes` are fields of `Update`."""
    rows = ROWS
    sampling = Sampling(temperature, 10, epsilon, 5, **limits or {})
    prefixes = None
    if forced:
        targets = policy.tokenize_targets([row.reference for row in rows])
        prefixes = [tokens[: i % 3] for i, tokens in enumerate(targets)]
    rollouts = policy.sample(rows, 3, sampling, torch.Generator().manual_seed(5), prefixes)
    torch.manual_seed(6)
    advantages = torch.randn(len(rows), 3)
    advantages[2] = 0.0  # a group without signal
    values = {
        "sources": policy.tokenize_sources(rows),
        "rollouts": rollouts,
        "rewards": advantages + 1,
        "advantages": advantages,
        "kl_weights": [0.1, 0.0] * 4,
        "demonstrations": shown(policy, [0.5, 0.0] * 4),
        "size": StepSize(24.0, float(rollouts.actions.sum()), 8.0, 24.0),
        "sampling": sampling,
        "kl": KlConfig(),
        "measure_kl": False,
        "entropy_weight": 0.0,
        "owners": ["one", "two"] * 4,
    }
    return Update(**{**values, **changes})


def gradient(policy, module=None):
    """The whole gradient in a row, of a module of the algorithm too; then none is left."""
    modules = [policy.model] if module is None else [policy.model, module]
    parts = [p.grad.flatten() for own in modules for p in own.parameters() if p.grad is not None]
    for own in modules:
        own.zero_grad()
    return torch.cat(parts)


def step(policy, optimizer, seed):
    """Change the policy by one step; returns what it worked on."""
    rows = segments("en", "es")
    rollouts = policy.sample(rows, 4, Sampling(1.0, 8), torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    advantages = torch.randn(len(rows), 4)
    work = Update(
        sources=policy.tokenize_sources(rows),
        rollouts=rollouts,
        rewards=advantages,
        advantages=advantages - advantages.mean(dim=1, keepdim=True),
        kl_weights=[0.0] * len(rows),
        demonstrations=[],
        size=StepSize(
            float(advantages.numel()), float(rollouts.mask.sum()), float(len(rows)), float(advantages.numel())
        ),
        sampling=Sampling(1.0, 8),
        kl=KlConfig(),
        measure_kl=False,
        entropy_weight=0.0,
        owners=["task"] * len(rows),
    )
    accumulate(policy, policy, algorithm("rloo"), work, 10_000)
    update(optimizer, 1e-3, 1.0)
    return work
