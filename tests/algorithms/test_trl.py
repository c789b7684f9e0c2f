"""Losses and advantages equal TRL's on fixed tensors; the numbers are recorded by tests/golden/record_trl.py."""

import json
from pathlib import Path

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.losses import StepSize
from tests.algorithms.enumerated import algorithm, inputs

RECORD = json.loads((Path(__file__).parents[1] / "golden" / "trl.json").read_text(encoding="utf-8"))
LENGTH = {"grpo": "sequence", "dr_grpo": "constant", "dapo": "token"}


def ours(case):
    low, high = RECORD["clip"]
    if case["trainer"] == "rloo":
        return algorithm("rloo", clip=low, max_ratio=1e9)  # TRL's has no upper limit
    return algorithm(
        "grpo",
        length=LENGTH[case["loss_type"]],
        constant_length=16,
        ratio=case["importance_sampling_level"],
        clip_low=low,
        clip_high=high,
        max_ratio=case["delta"] or 1e9,
    )


def label(case):
    return "-".join(str(case[k]) for k in ("trainer", "loss_type", "importance_sampling_level", "delta") if k in case)


@pytest.mark.parametrize("case", RECORD["cases"], ids=label)
def test_loss_and_gradient_equal_those_of_trl(case):
    tensors = {name: torch.tensor(value) for name, value in RECORD["tensors"].items()}
    tensors |= {name: value.double() for name, value in tensors.items() if name != "mask"}
    logprobs = tensors["logprobs"].requires_grad_()
    mask = tensors["mask"]
    step = inputs(
        logprobs,
        tensors["advantages"],
        tensors["advantages"],
        mask,
        samples=3,
        size=StepSize(len(logprobs), float(mask.sum()), 2, len(logprobs)),
        old_logprobs=tensors["old"],
        reused=True,
    )
    loss, _ = ours(case).loss(step)
    gradient = torch.autograd.grad(loss, logprobs)[0]
    # The record passed through JSON as float64 and comes back as float32 tensors made double.
    assert loss.item() == pytest.approx(case["loss"], rel=1e-6)
    assert torch.allclose(gradient, torch.tensor(case["gradient"]).double(), atol=1e-6)


@pytest.mark.parametrize("case", RECORD["advantages"], ids=lambda case: case.get("scale_rewards", case["trainer"]))
def test_advantages_equal_those_of_trl(case):
    """Groups with a wide, a narrow and no spread, with one, three and all samples that nobody judged."""
    given = [[float("nan") if reward is None else reward for reward in group] for group in RECORD["rewards"]]
    options = {"scale": case["scale_rewards"]} if case["trainer"] == "grpo" else {}
    chosen = algorithm(case["trainer"], **options)
    found = chosen.advantages(AdvantageInputs(torch.tensor(given).double(), ["en-es"] * len(given)))
    assert torch.allclose(found, torch.tensor(case["advantages"]).double(), rtol=1e-6, atol=1e-6)
