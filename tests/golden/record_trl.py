"""Record what TRL's trainers compute from fixed tensors, for tests/algorithms/test_trl.py.

Run it in an environment of its own that has trl (recorded with 1.16.0; `pip install trl`):

    python tests/golden/record_trl.py > tests/golden/trl.json

The trainers' own `_compute_loss` and `_generate_and_score_completions` run, the second as far as advantages go; only
what surrounds them (the model's forward pass, generation, the accelerator, metrics) is replaced, because it is no part
of the formulas.
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
REWARDS = [
    [0.1, 0.9, 0.4, 0.35],
    [0.52, 0.5, 0.51, 0.5],  # a spread of a fiftieth of the others'
    [0.25, 0.25, 0.25, 0.25],
    [0.7, None, -0.4, 1.3],
    [None, 0.6, None, None],
    [None, None, None, None],
]
"""Of groups of four; None where nobody judged."""
NOTHING = (
    "environment_factories",
    "environments",
    "mask_truncated_completions",
    "normalize_advantages",
    "pad_to_multiple_of",
    "reward_clip_range",
    "tools",
)
"""What the trainers ask for and these have none of."""
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
        device=torch.device("cpu"),
        num_processes=1,
        process_index=0,
        gather=lambda x: x,
        gather_for_metrics=lambda x: x,
        reduce=lambda x, reduction: x,
    )
    values = {
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
        "accelerator": accelerator,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "model": SimpleNamespace(training=True, is_gradient_checkpointing=False),
        "args": SimpleNamespace(
            delta=settings.pop("delta", None),
            use_bias_correction_kl=False,
            steps_per_generation=1,
            gradient_accumulation_steps=1,
            gradient_checkpointing_kwargs=None,
            per_device_train_batch_size=SEQUENCES,
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


def advantages(kind: type, **settings: Any) -> list[list[float]]:
    """What the trainer makes of `REWARDS`."""
    rows, samples = len(REWARDS) * len(REWARDS[0]), len(REWARDS[0])
    given = [float("nan") if reward is None else reward for group in REWARDS for reward in group]
    made = trainer(kind, torch.zeros(rows, 1, dtype=torch.float64), **settings)
    said = [[0]] * rows, [[0]] * rows  # prompts and completions of one token
    surroundings = {
        **dict.fromkeys(NOTHING),
        "_generate": lambda _: (*said, [""] * rows) if kind is RLOOTrainer else (*said, None, [""] * rows, *[None] * 4),
        "_calculate_rewards": lambda *_: torch.tensor(given, dtype=torch.float64)[:, None],
        "_tokenizer": SimpleNamespace(pad_token_id=0),
        "_logs": defaultdict(list, rewards=defaultdict(list)),
        "_pending_extra_logs": {},
        "_pending_metrics": {},
        "num_generations": samples,
        "num_iterations": 1,
        "multi_objective_aggregation": "sum_then_normalize",
        "reward_weights": torch.ones(1, dtype=torch.float64),
        "reward_func_names": ["fixed"],
    }
    for name, value in surroundings.items():
        object.__setattr__(made, name, value)
    found = made._generate_and_score_completions([{"prompt": ""}] * rows)["advantages"]
    return found.view(-1, samples).tolist()


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
    scaled = [
        {"trainer": "grpo", "scale_rewards": scale, "advantages": advantages(GRPOTrainer, scale_rewards=scale)}
        for scale in ("group", "batch", "none")
    ]
    scaled.append({"trainer": "rloo", "advantages": advantages(RLOOTrainer)})
    record = {
        "trl": trl.__version__,
        "clip": [EPSILON_LOW, EPSILON_HIGH],
        "tensors": {name: value.tolist() for name, value in fixed().items()},
        "cases": cases,
        "rewards": REWARDS,
        "advantages": scaled,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
