"""Record what Stable-Baselines3's PPO computes from fixed tensors, for tests/algorithms/test_sb3.py.

Run it in an environment of its own that has stable_baselines3 (recorded with 2.9.2; `pip install stable_baselines3`):

    python tests/golden/record_sb3.py > tests/golden/sb3.json

The library's own `RolloutBuffer.compute_returns_and_advantage` and `PPO.train` run; only what surrounds them (the
policy network, the buffer's sampling, the logger) is replaced, because it is no part of the formula.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer

LENGTHS = [5, 3, 1, 4, 5, 2]
CLIP, VALUE_CLIP = 0.2, 0.15


def fixed() -> dict[str, torch.Tensor]:
    """Tokens of all sequences one after another."""
    generator = torch.Generator().manual_seed(12)
    tokens = sum(LENGTHS)

    def noise() -> torch.Tensor:
        return torch.randn(tokens, generator=generator)

    logprobs = -torch.rand(tokens, generator=generator) * 2
    old_values = noise()
    return {
        "logprobs": logprobs,
        "old_logprobs": logprobs + 0.3 * noise(),
        "rewards": noise(),
        "old_values": old_values,
        "values": old_values + 0.3 * noise(),
    }


def estimate(gamma: float, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """Advantages and returns of the library's buffer, each sequence an episode."""
    values, buffer = fixed(), object.__new__(RolloutBuffer)
    starts = np.zeros((sum(LENGTHS), 1), dtype=np.float32)  # of one environment
    starts[np.cumsum([0, *LENGTHS[:-1]])] = 1
    buffer.buffer_size, buffer.gamma, buffer.gae_lambda = len(starts), gamma, lam
    buffer.rewards, buffer.values = values["rewards"].numpy()[:, None], values["old_values"].numpy()[:, None]
    buffer.episode_starts, buffer.advantages = starts, np.zeros_like(starts)
    buffer.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
    return buffer.advantages[:, 0], buffer.returns[:, 0]


def train(chosen: slice, value_clip: float | None, normalise: bool) -> tuple[dict[str, float], list[torch.Tensor]]:
    """One pass of `PPO.train` over some of the tokens: what it logs, and its gradients by log-probability and value."""
    tensors = {name: value[chosen] for name, value in fixed().items()}
    advantages, returns = (torch.tensor(part[chosen]) for part in estimate(1.0, 0.95))
    parameters = [tensors["logprobs"].clone().requires_grad_(), tensors["values"].clone().requires_grad_()]
    batch = SimpleNamespace(
        observations=None,
        actions=torch.zeros(len(advantages)),
        old_values=tensors["old_values"],
        old_log_prob=tensors["old_logprobs"],
        advantages=advantages,
        returns=returns,
    )
    logged: dict[str, float] = {}
    made: Any = object.__new__(PPO)
    made.policy = SimpleNamespace(
        set_training_mode=lambda mode: None,
        optimizer=torch.optim.SGD(parameters, lr=0.0),
        evaluate_actions=lambda observations, actions: (parameters[1], parameters[0], None),
        parameters=lambda: parameters,
    )
    made.rollout_buffer = SimpleNamespace(
        get=lambda size: [batch], values=tensors["old_values"].numpy(), returns=returns.numpy()
    )
    made._logger = SimpleNamespace(record=lambda name, value, exclude=None: logged.update({name: float(value)}))
    made._update_learning_rate = lambda optimizer: None
    made.clip_range, made.clip_range_vf = lambda _: CLIP, None if value_clip is None else (lambda _: value_clip)
    made.n_epochs, made.batch_size, made.normalize_advantage = 1, len(advantages), normalise
    made.ent_coef, made.vf_coef, made.max_grad_norm, made.target_kl = 0.0, 0.5, 1e9, None
    made.action_space, made._current_progress_remaining, made._n_updates = None, 1.0, 0
    made.train()
    return logged, [parameter.grad for parameter in parameters]


def case(value_clip: float | None, normalise: bool) -> dict[str, Any]:
    everything = slice(0, sum(LENGTHS))
    logged, (by_logprob, by_value) = train(everything, value_clip, normalise)
    alone = [train(slice(i, i + 1), value_clip, False)[0]["train/value_loss"] for i in range(sum(LENGTHS))]
    return {
        "value_clip": value_clip,
        "normalise": normalise,
        "policy_loss": logged["train/policy_gradient_loss"],
        "value_loss": logged["train/value_loss"],
        "loss": logged["train/loss"],
        "explained_variance": logged["train/explained_variance"],
        "gradient_by_logprob": by_logprob.tolist(),
        "gradient_by_value": by_value.tolist(),
        "value_loss_of_each_token": alone,
    }


def main() -> None:
    estimates = []
    for gamma, lam in ((1.0, 1.0), (1.0, 0.95), (0.9, 0.8), (0.99, 0.0)):
        advantages, returns = estimate(gamma, lam)
        estimates.append(
            {"gamma": gamma, "gae_lambda": lam, "advantages": advantages.tolist(), "returns": returns.tolist()}
        )
    cases = [case(None, False), case(None, True), case(VALUE_CLIP, False)]
    tensors = {name: value.tolist() for name, value in fixed().items()}
    record = {
        "stable_baselines3": stable_baselines3.__version__,
        "lengths": LENGTHS,
        "clip": CLIP,
        "tensors": tensors,
        "estimates": estimates,
        "cases": cases,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
