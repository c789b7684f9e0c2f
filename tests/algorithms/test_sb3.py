"""PPO's loss and GAE equal Stable-Baselines3's; the numbers are recorded from it by tests/golden/record_sb3.py."""

import json
from pathlib import Path

import pytest
import torch

from eclectus.algorithms import returns
from tests.algorithms.enumerated import algorithm, inputs

RECORD = json.loads((Path(__file__).parents[1] / "golden" / "sb3.json").read_text(encoding="utf-8"))
LENGTHS = RECORD["lengths"]
MASK = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]


def padded(values):
    """Tokens one after another as rows [N, T]."""
    return torch.zeros(MASK.shape).masked_scatter(MASK, torch.tensor(values))


@pytest.fixture
def tensors():
    return {name: padded(values) for name, values in RECORD["tensors"].items()}


@pytest.mark.parametrize("case", RECORD["estimates"], ids=lambda case: f"{case['gamma']}-{case['gae_lambda']}")
def test_advantages_and_returns_equal_those_of_stable_baselines3(tensors, case):
    values = tensors["old_values"]
    found = returns.generalised_advantages(tensors["rewards"], values, MASK, case["gamma"], case["gae_lambda"])
    assert torch.allclose(found, padded(case["advantages"]), atol=1e-6)
    assert torch.allclose(found + values, padded(case["returns"]), atol=1e-6)


@pytest.mark.parametrize("case", RECORD["cases"], ids=lambda case: f"{case['value_clip']}-{case['normalise']}")
def test_loss_and_gradients_equal_those_of_stable_baselines3(tensors, case):
    estimate = next(e for e in RECORD["estimates"] if e["gamma"] == 1.0 and e["gae_lambda"] == 0.95)
    advantages, targets = padded(estimate["advantages"]), padded(estimate["returns"])
    if case["normalise"]:
        advantages = returns.normalised(advantages, MASK, epsilon=1e-8)
    logprobs, values = tensors["logprobs"].requires_grad_(), tensors["values"].requires_grad_()
    chosen = algorithm(
        "ppo", length="token", clip=RECORD["clip"], max_ratio=1e9, trunk=1.0, value_clip=case["value_clip"]
    )
    chosen.module = torch.nn.Flatten(-2)  # the state is the value
    loss, metrics = chosen.loss(
        inputs(
            logprobs,
            torch.zeros(len(MASK)),
            advantages,
            MASK,
            old_logprobs=tensors["old_logprobs"],
            states=values[..., None],
            targets=targets.masked_fill(~MASK, float("nan")),
            values=tensors["old_values"],
        )
    )
    by_logprob, by_value = torch.autograd.grad(loss, [logprobs, values])
    assert torch.allclose(by_logprob, padded(case["gradient_by_logprob"]), atol=1e-6)
    explained = returns.explained_variance(targets[MASK], tensors["old_values"][MASK])
    assert explained == pytest.approx(case["explained_variance"], abs=1e-5)
    if case["value_clip"] is None:
        assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
        assert metrics["value_loss"] == pytest.approx(case["value_loss"] / 2, rel=1e-5)
        assert torch.allclose(by_value, padded(case["gradient_by_value"]), atol=1e-6)
        return
    # Theirs takes the clipped error, ours the larger of both, as in OpenAI Baselines.
    plain = RECORD["cases"][0]
    pairs = zip(plain["value_loss_of_each_token"], case["value_loss_of_each_token"], strict=True)
    larger = [max(pair) for pair in pairs]
    assert metrics["value_loss"] == pytest.approx(sum(larger) / len(larger) / 2, rel=1e-5)
    acted = padded(case["value_loss_of_each_token"]) > padded(plain["value_loss_of_each_token"])
    expected = torch.where(acted, padded(case["gradient_by_value"]), padded(plain["gradient_by_value"]))
    assert torch.allclose(by_value, expected, atol=1e-6)
    assert 0 < metrics["clipped_values"] == pytest.approx(float(acted.sum() / MASK.sum()))
