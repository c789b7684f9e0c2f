"""Record what TRL's trainers compute from fixed tensors, for tests/algorithms/test_trl.py.

Run it in an environment of its own that has trl (recorded with 1.16.0; `pip install trl`):

    python tests/golden/record_trl.py > tests/golden/trl.json

The trainers' own `_compute_loss` runs; only what surrounds it (the model's forward pass, the accelerator, metrics) is
replaced, because it is no part of the formula.
"""

from __future__ import annotations

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
import trl
from trl import GRPOTrainer, RLOOTrainer

SEQUENCES, TOKENS, LENGTHS = 6, 5, [5, 3, 1, 4, 5, 2]
EPSILON_LOW, EPSILON_HIGH = 0.2, 0.28


def fixed() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    logprobs = -torch.rand(SEQUENCES, TOKENS, generator=generator, dtype=torch.float64) * 2
    old = logprobs + 0.4 * torch.randn(SEQUENCES, TOKENS, generator=generator, dtype=torch.float64)
    old[1, 1] = logprobs[1, 1] - 4  # a ratio of 55
    mask = torch.arange(TOKENS)[None] < torch.tensor(LENGTHS)[:, None]
    advantages = torch.tensor([1.0, -0.7, 0.4, -1.2, 0.9, -0.4], dtype=torch.float64)
    return {"logprobs": logprobs, "old": old, "mask": mask, "advantages": advantages}


def trainer(kind: type, logprobs: torch.Tensor, **settings: Any) -> Any:
    made = object.__new__(kind)
    accelerator = SimpleNamespace(
        num_processes=1, gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, reduction: x
    )
    values = {
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
        "accelerator": accelerator,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "model": SimpleNamespace(training=True),
        "args": SimpleNamespace(
            delta=settings.pop("delta", None), use_bias_correction_kl=False, steps_per_generation=1
        ),
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "beta": 0.0,
        "use_vllm": False,
        "_entropy_bonus_enabled": False,
        "current_gradient_accumulation_steps": 1,
        "epsilon_low": EPSILON_LOW,
        "epsilon_high": EPSILON_HIGH,
        "max_completion_length": 16,
        **settings,
    }
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def measure(kind: type, **settings: Any) -> dict[str, Any]:
    values = fixed()
    logprobs = values["logprobs"].requires_grad_()
    mask = values["mask"].long()
    inputs = {
        "prompt_ids": torch.zeros(SEQUENCES, 1, dtype=torch.int64),
        "prompt_mask": torch.ones(SEQUENCES, 1, dtype=torch.int64),
        "completion_ids": torch.zeros(SEQUENCES, TOKENS, dtype=torch.int64),
        "completion_mask": mask,
        "advantages": values["advantages"],
        "old_per_token_logps": values["old"],
        "old_logps": (values["old"] * mask).sum(dim=1),
        "num_items_in_batch": mask.sum(),
    }
    loss = trainer(kind, logprobs, **settings)._compute_loss(None, inputs)
    gradient = torch.autograd.grad(loss, logprobs)[0]
    return {"loss": float(loss.detach()), "gradient": gradient.tolist()}


def main() -> None:
    grpo = [
        {"loss_type": loss_type, "importance_sampling_level": level, "delta": delta}
        for loss_type in ("grpo", "dr_grpo", "dapo")
        for level in ("token", "sequence")
        for delta in (None, 4.0)
    ]
    cases = [{"trainer": "grpo", **settings, **measure(GRPOTrainer, **settings)} for settings in grpo]
    symmetric = {"epsilon_high": EPSILON_LOW}
    cases.append({"trainer": "rloo", **measure(RLOOTrainer, **symmetric)})
    tensors = {name: value.tolist() for name, value in fixed().items()}
    record = {"trl": trl.__version__, "clip": [EPSILON_LOW, EPSILON_HIGH], "tensors": tensors, "cases": cases}
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
