"""What the mutation check works on: modules with the tests that should notice, mistakes by hand, and known survivors.

A module more is a line more in `TARGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass

A = "tests/algorithms"
GRADIENT, ADVANTAGES, UPDATE = f"{A}/test_gradient.py", f"{A}/test_advantages.py", "tests/training/test_update.py"
STRATEGIES, BANDITS = "tests/exploration/test_strategies.py", "tests/exploration/test_bandits.py"


@dataclass(frozen=True)
class Target:
    """A module under src/eclectus, the tests that run on its mutants (the likeliest killers first), and the qualified
    names of functions that are left alone."""

    module: str
    tests: tuple[str, ...]
    skip: frozenset[str] = frozenset()


def _all(folder: str, tests: str, *names: str) -> list[Target]:
    return [Target(f"{folder}/{name}.py", (tests,)) for name in names]


TARGETS = [
    Target("algorithms/advantages.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/losses.py", (f"{A}/test_trl.py", GRADIENT)),
    Target("algorithms/kl.py", (GRADIENT,)),
    Target("algorithms/coefficients.py", (f"{A}/test_coefficients.py",)),
    Target("algorithms/reinforce.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/rloo.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/grpo.py", (ADVANTAGES, GRADIENT, f"{A}/test_trl.py")),
    Target("algorithms/mrt.py", (GRADIENT,)),
    Target("algorithms/mixer.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/self_critical.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/tabular.py", (f"{A}/test_tabular.py",)),
    Target("training/update.py", (UPDATE,)),
    Target("rollouts/base.py", ("tests/rollouts/test_native.py", GRADIENT)),
    Target("rollouts/native.py", ("tests/rollouts/test_native.py",)),
    Target("policies/head.py", ("tests/policies/test_head.py",)),
    *_all(
        "exploration", STRATEGIES, "annealing", "base", "boltzmann", "count_bonus", "entropy", "entropy_target",
        "epsilon_greedy", "greedy", "uniform",
    ),
    *_all("exploration/bandits", BANDITS, "base", "exp3", "progress", "thompson", "ucb1", "uniform"),
]  # fmt: skip

NAMED: dict[str, list[tuple[str, str, str]]] = {
    "algorithms/advantages.py": [
        (
            "the leave-one-out mean includes the sample itself",
            "(values.sum(dim=1, keepdim=True) - values) / (count - 1).clamp(min=1)",
            "(values.sum(dim=1, keepdim=True) + 0 * values) / count.clamp(min=1)",
        ),
        (
            "the group's deviation is the biased one",
            "(count - 1).clamp(min=1)).sqrt()",
            "count.clamp(min=1)).sqrt()",
        ),
        ("the part's deviation is the biased one", "known.std()", "known.std(correction=0)"),
        ("the baseline is dropped", "_known(rewards) - _known(baseline), 0.0)", "_known(rewards), 0.0)"),
        ("equality is asked of the deviation", "return high > low", "return _known(rewards).std(dim=1) > 0"),
    ],
    "algorithms/losses.py": [
        ("the two sides of the clip are swapped", "1 - clip.low, 1 + clip.high", "1 - clip.high, 1 + clip.low"),
        (
            "samples used again are taken for fresh ones",
            "if inputs.reused:\n        ratio",
            "if False:\n        ratio",
        ),
        (
            "samples used again are taken for fresh ones, token by token",
            "if inputs.reused:\n            return",
            "if False:\n            return",
        ),
        (
            "log-probabilities are shifted by one token",
            "sequence = (inputs.logprobs * inputs.mask).sum(dim=1)\n    return -(inputs.advantages",
            "sequence = (inputs.logprobs.roll(1, dims=1) * inputs.mask).sum(dim=1)\n    return -(inputs.advantages",
        ),
        (
            "the ratio of a sequence is the arithmetic mean",
            "ratio = difference.clamp(-_LOG_RATIO, _LOG_RATIO).exp()\n    value",
            "ratio = difference.clamp(-_LOG_RATIO, _LOG_RATIO) + 1\n    value",
        ),
        (
            "the renormalised weights are held fixed in place of the sequence's own gradient",
            "return -(weights * rewards",
            "return -(weights.detach() * sequence * rewards",
        ),
        (
            "equal samples count as several candidates",
            "distinct(inputs.tokens.view(*rewards.shape, -1)) & rewards.isfinite()",
            "rewards.isfinite()",
        ),
    ],
    "algorithms/kl.py": [
        ("k1 has no baseline", "centred = values - leave_one_out_mean(values)", "centred = values"),
        ("k3 with the policies changed over", "((reference - logprobs) * mask)", "((logprobs - reference) * mask)"),
        (
            "the score function is detached instead of its factor",
            "centred.flatten() * (logprobs * mask).sum(dim=1)",
            "k1(logprobs, reference, mask) * (logprobs.detach() * mask).sum(dim=1)",
        ),
    ],
    "algorithms/reinforce.py": [
        (
            "the first baseline includes the sample itself",
            "leave_one_out_mean(positions).T.view(returns.shape)",
            "known.mean(dim=1).expand(returns.shape)",
        ),
        (
            "all directions share one baseline",
            'everything = self.options.baseline == "moving"',
            "everything = True",
        ),
        ("the options' clip is ignored", "Clip(o.clip, o.clip, o.max_ratio)", "Clip(0.9, 9.0, o.max_ratio)"),
    ],
    "algorithms/rloo.py": [
        ("the baseline is dropped", "inputs.compared(leave_one_out)", "inputs.compared(torch.nan_to_num)"),
        ("the upper limit of the ratio is lost", "o.max_ratio", "1e9"),
    ],
    "algorithms/grpo.py": [
        ("the upper clip is the lower one", "Clip(o.clip_low, o.clip_high,", "Clip(o.clip_low, o.clip_low,"),
        ("advantages are never centred", "inputs.compared(group_mean)", "inputs.compared(torch.nan_to_num)"),
    ],
    "algorithms/mrt.py": [("alpha is ignored", "self.options.alpha", "1.0")],
    "algorithms/mixer.py": [
        ("prefixes are not learnt", "return reward + likelihood,", "return reward,"),
        ("the baseline is dropped", "leave_one_out(inputs.rewards)", "inputs.rewards.nan_to_num()"),
    ],
    "algorithms/self_critical.py": [
        (
            "the baseline is the mean of the samples",
            "minus_baseline(inputs.rewards, inputs.greedy_rewards)",
            "minus_baseline(inputs.rewards, inputs.rewards.nanmean(dim=1))",
        ),
    ],
    "algorithms/tabular.py": [
        (
            "Q-learning takes the best of all actions, forbidden ones too",
            "self.q_table[after.state].take(after.allowed).max()",
            "self.q_table[after.state].max()",
        ),
        ("SARSA takes the best action", "self.q_table[after.state, after.action]", "self.q_table[after.state].max()"),
        (
            "expected SARSA weighs all actions equally",
            "after.probabilities @ self.q_table[after.state].take(after.allowed)",
            "self.q_table[after.state].take(after.allowed).mean()",
        ),
        (
            "a time limit counts as an end",
            "None if terminated else after)",
            "None if terminated or truncated else after)",
        ),
        ("the discount is forgotten", "self.gamma * self.next_value(after)", "self.next_value(after)"),
    ],
    "training/update.py": [
        (
            "the policy's temperature is forgotten",
            "work.sampling.temperature,\n                entropy",
            "1.0,\n                entropy",
        ),
        (
            "the reference's temperature is forgotten",
            "part.mask[wanted], work.sampling.temperature",
            "part.mask[wanted], 1.0",
        ),
        (
            "old log-probabilities are shifted by one token",
            "old_logprobs=rollouts.logprobs[rows, :, :width].flatten(0, 1)",
            "old_logprobs=rollouts.logprobs[rows, :, :width].roll(1, dims=-1).flatten(0, 1)",
        ),
        ("given tokens count as drawn", "mask=part.actions.flatten(0, 1)", "mask=part.mask.flatten(0, 1)"),
        (
            "the divisor is that of the micro-batch",
            "size=work.size,",
            "size=StepSize(float(part.actions.shape[0] * part.samples), work.size.tokens, work.size.sources),",
        ),
        ("rewards are those of other sources", "work.rewards[rows].flatten()", "work.rewards[: len(rows)].flatten()"),
        ("what exploration adds is forgotten", "torch.where(part.actions, mixed, logprobs)", "logprobs"),
        ("the KL of the step carries no gradient", "return (terms.view", "return (terms.detach().view"),
        (
            "references are scored at another temperature",
            "for row in rows], tokens, mask)",
            "for row in rows], tokens, mask, 2.0)",
        ),
    ],
    "rollouts/base.py": [
        ("the policy's own share is not reduced", "logprobs + math.log1p(-epsilon)", "logprobs"),
        ("given tokens count as drawn", "self.mask & ~self.forced", "self.mask"),
    ],
    "rollouts/native.py": [
        ("the temperature is forgotten", "torch.softmax(logits / sampling.temperature,", "torch.softmax(logits,"),
        (
            "the temperature is forgotten beside exploration",
            "logits if greedy else logits / sampling.temperature",
            "logits",
        ),
        (
            "what is recorded is at temperature 1",
            "picked = probabilities.gather(",
            "picked = torch.softmax(logits, dim=-1).gather(",
        ),
        ("what is recorded leaves exploration out", "picked = scores.gather", "picked = policy_scores.gather"),
        ("the mask goes on after the end", "mask[rows, position] = running", "mask[rows, position] = True"),
        (
            "the mask leaves the end out",
            "mask[rows, position] = running",
            "mask[rows, position] = running & ~torch.isin(chosen, end)",
        ),
        (
            "random numbers belong to a place in the batch",
            "uniform[position].view(-1)[rows.cpu()]",
            "uniform[position].view(-1)[: len(rows)]",
        ),
        (
            "random numbers are those of the position before",
            "uniform[position].view(-1)[rows.cpu()]",
            "uniform[max(0, position - 1)].view(-1)[rows.cpu()]",
        ),
        ("tokens after the end are kept", "torch.where(running, chosen, pad)", "chosen"),
        (
            "the policy is not told what was drawn",
            "last = chosen\n    else",
            "last = torch.zeros_like(chosen)\n    else",
        ),
        ("a given token is fed although another was drawn", "chosen = torch.where(following, wanted, chosen)", "pass"),
    ],
    "policies/head.py": [
        ("the bias is added before the cap", "values = linear(hidden, head)", "values = linear(hidden, head) + 0.1"),
        (
            "the anchor moves with the policy",
            "with torch.no_grad():\n            fixed = anchor.log_distribution(other, temperature)",
            "fixed = torch.log_softmax((product(other, of.head, anchor.softcap) + anchor.bias) / temperature, dim=-1)",
        ),
        ("the anchor gets gradient", "with torch.no_grad():", "with torch.enable_grad():"),
        (
            "the divergence is the other one",
            "return (logs.exp() * (logs - fixed).masked_fill",
            "return (fixed.exp() * (fixed - logs).masked_fill",
        ),
    ],
    "exploration/entropy_target.py": [
        ("the target is not a share of the highest entropy", " * math.log(len(values))", ""),
    ],
    "exploration/bandits/base.py": [
        ("every draw is the same", '"bandit", sum(self.draws)', '"bandit"'),
    ],
}
"""Mistakes by hand: what it breaks, the text in the module (exactly once), what stands there instead."""

EQUIVALENT: dict[str, dict[str, str]] = {
    "algorithms/advantages.py": {
        "group_mean: `valid.sum(dim=1, keepdim=True).clamp(min=1)` forgets clamp": (
            "only a group without any judged reward divides by 0, and all its advantages are set to 0"
        ),
        "group_mean: 1 becomes 2": "groups of fewer than two judged rewards have no signal and are set to 0",
    },
    "algorithms/losses.py": {
        "sequence_weights: `inputs.logprobs.detach()` forgets detach": "only the shape is used, and it has no gradient",
        "risk_weights: 0.0 becomes 1.0": "it fills rows without candidates, which are multiplied by 0 afterwards",
        "expected_risk: 0.0 becomes 1.0": "it stands where the weight is 0; only that it is a number matters",
    },
    "algorithms/reinforce.py": {
        "Reinforce.advantages: `torch.zeros_like(rewards)` with ones_like": "each row is written by its direction",
    },
    "algorithms/mixer.py": {
        "Mixer.forced: `step <= o.likelihood_steps` with <": "at that very step the formula below releases nothing too",
        "Mixer.loss: `likelihood.detach()` forgets detach": "`float` takes no gradient along either",
    },
    "rollouts/native.py": {
        "draw: 0 becomes 1 (2)": "it is set anew at the first position",
        "draw: 10000.0 becomes 20000.0": "it replaces an infinity that is multiplied by a probability of 0",
        "draw: `mask.sum(dim=-1).clamp(min=1)` forgets clamp": "every row has at least one token",
        "_padded: 0 becomes 1": "it is the width for no sources at all",
        "_padded: 1 becomes 2": "any negative number says that the prefix has ended",
    },
    "policies/head.py": {
        "entropies: 0.0 becomes 1.0": "it replaces an infinity that is multiplied by a probability of 0",
        "divergences: 0.0 becomes 1.0": "it replaces an infinity that is multiplied by a probability of 0",
    },
    "exploration/epsilon_greedy.py": {
        "EpsilonGreedy.probabilities: `k < len(values)` with <=": "no value is below the least of all",
    },
    "exploration/bandits/exp3.py": {
        "Exp3.__init__: 0.0 becomes 1.0": "only differences of the logarithms matter",
    },
}
"""Mutants that no test could tell from the original, with the reason."""

SURVIVORS: dict[str, dict[str, str]] = {
    "algorithms/losses.py": {
        "clipped: `ratio > clip.maximum` with >=": (
            "a ratio that is exactly the maximum is counted as exploded or not; nothing but that count depends on it"
        ),
    },
    "algorithms/tabular.py": {
        "TemporalDifference.__init__: `states * actions > _MOST_VALUES` with >=": (
            "a table of exactly the largest size would take 800 MB in a test"
        ),
    },
    "exploration/entropy_target.py": {
        "EntropyTarget.__init__: 0.0001 becomes 0.0002": "limits chosen far from where a temperature is of use",
        "EntropyTarget.__init__: 100.0 becomes 200.0": "limits chosen far from where a temperature is of use",
    },
}
"""Mutants that could be told apart and are not, with the reason why that is accepted."""
