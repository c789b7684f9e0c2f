"""What the mutation check works on: modules with the tests that should notice, mistakes by hand, and known survivors.

A module more is a line more in `TARGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass

A = "tests/algorithms"
GRADIENT, ADVANTAGES, UPDATE = f"{A}/test_gradient.py", f"{A}/test_advantages.py", "tests/training/test_update.py"
CRITIC, DENSE, VALUES = f"{A}/test_actor_critic.py", f"{A}/test_dense_advantages.py", f"{A}/test_value_based.py"
FIRST_WEIGHTS = f"{A}/test_store.py::test_first_weights_depend_on_the_seed_alone"
VALUES_LOOP = f"{VALUES}::test_loss_and_gradient_equal_a_loop_over_tokens"
STRATEGIES, BANDITS = "tests/exploration/test_strategies.py", "tests/exploration/test_bandits.py"


@dataclass(frozen=True)
class Target:
    """A module under src/eclectus, the tests that run on its mutants (files or single tests, the likeliest killers
    first), and the qualified names of functions that are left alone."""

    module: str
    tests: tuple[str, ...]
    skip: frozenset[str] = frozenset()


def _all(folder: str, tests: str, *names: str) -> list[Target]:
    return [Target(f"{folder}/{name}.py", (tests,)) for name in names]


_VALUES_QUICK = (
    "what_a_step_leaves_in_the_memory",
    "rewards_of_tokens_of_what_goes_on_and_of_references",
    "each_translation_is_remembered_with_its_own_source",
    "nothing_without_a_reward_is_remembered_and_it_is_counted",
    "what_cannot_be_is_refused",
    "micro_batches_hold_what_fits_and_each_translation_once",
    "a_batch_has_its_share_of_references_and_is_drawn_anew_each_time",
    "one_translation_is_its_own_mean",
    "the_target_network_follows_by_tau",
    "first_weights_depend_on_the_seed_alone",
    "an_update_before_anything_is_remembered_changes_nothing",
    "state_in_a_checkpoint_comes_back",
    "beta_zero_is_the_model_itself_token_for_token",
)
"""Those that train nothing, or for a few steps only: the others take ten times as long and find nothing more."""

TARGETS = [
    Target("algorithms/advantages.py", (ADVANTAGES, DENSE, GRADIENT)),
    Target("algorithms/returns.py", (CRITIC, f"{A}/test_sb3.py")),
    Target("algorithms/losses.py", (f"{A}/test_trl.py", DENSE, GRADIENT)),
    Target("algorithms/kl.py", (GRADIENT,)),
    Target("algorithms/coefficients.py", (f"{A}/test_coefficients.py",)),
    Target("algorithms/reinforce.py", (ADVANTAGES, DENSE, GRADIENT)),
    Target("algorithms/rloo.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/grpo.py", (ADVANTAGES, DENSE, f"{A}/test_trl.py", GRADIENT)),
    Target("algorithms/mrt.py", (GRADIENT,)),
    Target("algorithms/mixer.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/self_critical.py", (ADVANTAGES, GRADIENT)),
    Target("algorithms/critic.py", (f"{A}/test_sb3.py", FIRST_WEIGHTS, CRITIC)),
    Target("algorithms/a2c.py", (CRITIC,)),
    Target("algorithms/ppo.py", (f"{A}/test_sb3.py", CRITIC)),
    Target("algorithms/td.py", (f"{A}/test_td.py",)),
    Target("algorithms/replay.py", (f"{A}/test_replay.py",)),
    Target("algorithms/value_based.py", (VALUES_LOOP, *(f"{VALUES}::test_{name}" for name in _VALUES_QUICK))),
    Target("algorithms/q_learning.py", (VALUES_LOOP,)),
    Target("algorithms/sarsa.py", (VALUES_LOOP,)),
    Target("algorithms/expected_sarsa.py", (VALUES_LOOP,)),
    Target("algorithms/tabular.py", (f"{A}/test_tabular.py",)),
    Target(
        "training/update.py",
        (f"{UPDATE}::test_the_divisors_by_hand", f"{UPDATE}::test_parts_of_a_step_are_steps_of_their_own", UPDATE),
    ),
    Target(
        "training/backward.py",
        (
            f"{UPDATE}::test_terms_without_a_reward_by_hand",
            f"{UPDATE}::test_the_mismatch_is_the_mean_distance_of_drawn_tokens",
            f"{UPDATE}::test_the_loss_is_not_scaled_unless_asked_for",
            f"{UPDATE}::test_the_exact_divergence_does_not_depend_on_what_is_measured",
            "tests/training/test_engines.py::test_a_single_update_weights_its_samples_in_its_own_pass",
            UPDATE,
        ),
        skip=frozenset({"_pass_back"}),  # of processes that split layers, see tests/policies/test_sharded.py
    ),
    Target("training/dense.py", ("tests/training/test_dense.py",)),
    Target("training/back_translator.py", ("tests/training/test_back_translator.py",)),
    Target("training/material.py", ("tests/training/test_material.py",)),
    Target("rewards/composite/dense.py", ("tests/rewards/test_reward_dense.py",)),
    Target("rollouts/base.py", ("tests/rollouts/test_native.py", GRADIENT)),
    Target("rollouts/native.py", ("tests/rollouts/test_native.py",)),
    Target("rollouts/choice.py", ("tests/rollouts/test_native.py", "tests/rollouts/test_limits.py")),
    Target("rollouts/recorded.py", ("tests/rollouts/test_recorded.py",)),
    Target("rollouts/limits.py", ("tests/rollouts/test_limits.py", "tests/policies/test_predicted.py")),
    Target("policies/head.py", ("tests/policies/test_head.py", "tests/policies/test_predicted.py")),
    Target("policies/dropout.py", ("tests/policies/test_dropout.py",)),
    Target("policies/predicted.py", ("tests/policies/test_predicted.py",)),
    Target("policies/guide.py", ("tests/policies/test_guide.py", VALUES_LOOP)),
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
            "distinct(inputs.tokens.view(*rewards.shape, -1), rewards.isfinite())",
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
            'if self.options.baseline == "moving":',
            "if True:",
        ),
        ("what is remembered is on the step's scale", "returns[rows] * scales[rows]", "returns[rows]"),
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
    "algorithms/mrt.py": [
        ("alpha is ignored", "self.options.alpha", "1.0"),
        ("the gradient grows with alpha", "expected_risk(inputs, alpha) / alpha", "expected_risk(inputs, alpha)"),
    ],
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
    "algorithms/returns.py": [
        ("lambda is forgotten", "gamma * lam) * mask", "gamma) * mask"),
        ("the discount is forgotten in what follows", "rewards + gamma * following", "rewards + following"),
        (
            "a value is that of the state before",
            "torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)",
            "torch.cat([torch.zeros_like(values[..., :1]), values[..., :-1]], dim=-1)",
        ),
        (
            "the last state is worth what it is before its token",
            "torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)",
            "torch.cat([values[..., 1:], values[..., -1:]], dim=-1)",
        ),
        ("values behind the end are believed", "rewards * mask, values * mask", "rewards * mask, values"),
        ("the reward stands at the first token", "(later == 1)", "(mask.cumsum(dim=-1) == 1)"),
        ("the deviation is the biased one", "chosen.std() +", "chosen.std(correction=0) +"),
        ("the mean is over all tokens", "chosen = advantages[known]", "chosen = advantages.flatten()"),
    ],
    "algorithms/critic.py": [
        ("the value loss always reaches the policy", "else inputs.states.detach()\n", "else inputs.states\n"),
        ("the share of the trunk is that of the rest", "share + inputs", "(1 - share) + share * inputs"),
        ("the critic is asked with gradient for the advantages", "with torch.no_grad():", "with torch.enable_grad():"),
        ("the clipped error is the smaller one", "torch.maximum(errors, bounded)", "torch.minimum(errors, bounded)"),
        ("the clip is around the target", "inputs.values + (values -", "targets + (values -"),
        ("targets are not what the advantages say", "advantages + values", "rewards"),
        (
            "targets are made of normalised advantages",
            "        returns = advantages + values\n",
            "        returns = (normalised(advantages, known) if o.normalise else advantages) + values\n",
        ),
        ("what nobody judged is a target", "torch.where(known, returns, float", "torch.where(mask, returns, float"),
        ("the KL has the wrong sign", "(inputs.logprobs - inputs.reference", "(-inputs.logprobs + inputs.reference"),
        ("lambda and gamma are swapped", "mask, o.gamma, o.gae_lambda)", "mask, o.gae_lambda, o.gamma)"),
        ("the critic does not begin at 0", "nn.init.zeros_(self.value.weight)", "nn.init.ones_(self.value.weight)"),
        ("the policy learns while it should wait", "step > self.options.critic_steps", "True"),
        ("the divisor is that of the micro-batch", "/ 2 / inputs.size.tokens", "/ 2 / known.sum()"),
    ],
    "algorithms/a2c.py": [
        ("tokens after the end count", "inputs.logprobs * inputs.mask)", "inputs.logprobs)"),
        ("the loss is a mean over tokens", "inputs.size.sequences", "inputs.size.tokens"),
        (
            "log-probabilities are shifted by one token",
            "inputs.logprobs * inputs.mask",
            "inputs.logprobs.roll(1, dims=1) * inputs.mask",
        ),
        ("the critic does not learn", "policy + value, metrics", "policy, metrics"),
    ],
    "algorithms/ppo.py": [
        ("values are never clipped", "self.value_loss(inputs, o.value_clip)", "self.value_loss(inputs)"),
        ("values are clipped as ratios are", "inputs, o.value_clip", "inputs, o.clip"),
        ("the upper limit of the ratio is lost", "o.max_ratio", "1e9"),
        ("the length is ignored", "o.length, o.constant_length", '"token", 1.0'),
        ("the policy does not learn", "return policy + value", "return value"),
    ],
    "algorithms/td.py": [
        (
            "a value stands one token too early",
            "later[:, steps : steps + width]",
            "later[:, steps - 1 : steps - 1 + width]",
        ),
        ("what is behind the end is worth something", "+ gamma * after[:, None] * last", "+ gamma * after[:, None]"),
        ("what was cut is over", "rewards * mask + gamma * after[:, None] * last", "rewards * mask"),
        ("the value is not discounted", "gamma**steps * later", "later"),
        ("rewards are not discounted", "gamma**k * padded", "padded"),
        ("the best is the best that cannot be said", 'values.masked_fill(~allowed, float("-inf")).amax', "values.amax"),
        ("the network that chooses also judges", "judging.gather(1, best)", "choosing.gather(1, best)"),
        (
            "the network that judges also chooses",
            'choosing.masked_fill(~allowed, float("-inf")).argmax',
            'judging.masked_fill(~allowed, float("-inf")).argmax',
        ),
        ("all tokens are equally likely", "(probabilities * values).sum(dim=-1)", "values.mean(dim=-1)"),
        ("the excess is the best value", "torch.logsumexp(", "torch.amax("),
    ],
    "algorithms/replay.py": [
        (
            "the newest is forgotten",
            "self._episodes[self._oldest] = episode",
            "self._episodes[self._oldest - 1] = episode",
        ),
        ("nothing is forgotten", "len(self) < self._capacity", "True"),
        ("the order of forgetting is lost", 'int(tensors["oldest"])', "0"),
        ("each is drawn once", "rng.choices(self._episodes, k=count)", "rng.sample(self._episodes, len(self))"),
        ("whether it has ended is lost", "tuple(rewards), end)", "tuple(rewards), True)"),
    ],
    "algorithms/value_based.py": [
        ("targets have gradient", "with torch.no_grad():", "with torch.enable_grad():"),
        (
            "the policy that acts explores nothing",
            "if self.sampling.epsilon:",
            "if False:",
        ),
        ("the policy that acts has no temperature", "[hidden], self.sampling.temperature)", "[hidden], 1.0)"),
        (
            "the mean is over the network that learns",
            "td.expected_values(self.target.values",
            "td.expected_values(self.online.values",
        ),
        ("the target network does not follow", "old.lerp_(new, self.options.tau)", "old.lerp_(new, 0.0)"),
        ("the target network is the other one", "old.lerp_(new, self.options.tau)", "old.lerp_(new, 1.0)"),
        (
            "the target network begins with other weights",
            "copy.deepcopy(self.online)",
            "Guide(self.online.shape, self.online.beta)",
        ),
        (
            "states are those behind the token",
            "predicted = policy.predicted(states[:, :-1][mask])",
            "predicted = policy.predicted(states[:, 1:][mask])",
        ),
        (
            "values are those of the state before",
            "values[mask] = ask(states[:, :-1]",
            "values[mask] = ask(states[:, 1:]",
        ),
        (
            "what was cut is worth its last state but one",
            "device=mask.device), mask.sum(dim=1)]",
            "device=mask.device), mask.sum(dim=1) - 1]",
        ),
        ("what has ended goes on", "[not e.ended for e in episodes]", "[True for e in episodes]"),
        ("the discount is forgotten", "self.options.n_step, self.options.gamma)", "self.options.n_step, 1.0)"),
        ("a value stands for the rest at once", "self.options.n_step, self.options.gamma", "1, self.options.gamma"),
        ("every micro-batch has its own divisor", "(2 * size)", "(2 * len(found))"),
        ("the conservative term lowers what is in the data", "(most - found).sum()", "-(most - found).sum()"),
        ("what was said is lowered too", "(most - found).sum()", "most.sum()"),
        ("references are taken for samples", "self._remember(self.demonstrations,", "self._remember(self.rollouts,"),
        ("no references are drawn", "self.demonstrations.sample(shown, draw)", "self.rollouts.sample(shown, draw)"),
        (
            "a source has the samples of another",
            "for source in inputs.sources for _ in range(samples)",
            "for _ in range(samples) for source in inputs.sources",
        ),
        ("padding is remembered", "source, tokens[:length],", "source, tokens,"),
        ("the first weights are those of any seed", "torch.manual_seed(seed)", "torch.manual_seed(0)"),
        ("every update draws the same", "rng(self._seed, *purpose)", "rng(self._seed)"),
        ("beta never moves", "value_at(self.options.beta, step)", "value_at(self.options.beta, None)"),
        (
            "the policy goes on exploring",
            "finally:\n            self.online.beta = value_at(self.options.beta, None)",
            "finally:\n            pass",
        ),
        (
            "rewards of tokens are not looked at",
            "if dense is None:\n            # Whatever",
            "if True:\n            # Whatever",
        ),
        ("the verdict on a cut text is paid", "length = length if over else length - 1", "pass"),
        ("demonstrations are paid at the end", "reference, reward, True, dense)", "reference, reward, True, None)"),
        (
            "the target network is not restored",
            'self.target.load_state_dict(parts["target"])',
            "self.target.load_state_dict(self.online.state_dict())",
        ),
    ],
    "algorithms/q_learning.py": [
        ("the target network is not used", "judging = states.target.values", "judging = states.online.values"),
        (
            "the network that learns judges what it has chosen",
            "states.online.values(hidden), judging",
            "judging, states.online.values(hidden)",
        ),
        ("double is ignored", "if not self.options.double:", "if True:"),
        ("double cannot be turned off", "if not self.options.double:", "if False:"),
    ],
    "algorithms/sarsa.py": [
        ("the target network is not used", "states.target.values_of", "states.online.values_of"),
        (
            "the best token is taken, not the one that was said",
            "states.target.values_of(states.hidden, states.tokens)",
            "states.target.values(states.hidden).amax(dim=-1)",
        ),
    ],
    "algorithms/expected_sarsa.py": [
        (
            "the best token is taken, not the mean",
            "states.expected()",
            "states.target.values(states.hidden)[:, states.allowed].amax(dim=-1)",
        ),
        (
            "the token that was said is taken, not the mean",
            "states.expected()",
            "states.expected() if states.tokens is None else states.target.values_of(states.hidden, states.tokens)",
        ),
    ],
    "training/dense.py": [
        ("the reward stands at the first token", ".scatter_(-1, last, rewards", ".scatter_(-1, 0 * last, rewards"),
        ("prefixes are one token longer", "range(1, length)]", "range(2, length + 1)]"),
    ],
    "rewards/composite/dense.py": [
        ("the last token gets what it adds", "[0.0, *potentials, total]", "[0.0, *potentials, *potentials[-1:]]"),
        ("potentials are not scaled", "shares[name] / divisors[b][name]", "shares[name]"),
        ("abstaining on the way is worth 0", "last if value is None else value", "0.0 if value is None else value"),
    ],
    "policies/guide.py": [
        ("beta is forgotten", "return self.beta * linear(", "return linear("),
        ("one token's value leaves its bias out", "+ self.token_bias[tokens]", ""),
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
    "training/backward.py": [
        (
            "the policy's temperature is forgotten",
            "work.sampling.temperature,\n                entropy",
            "1.0,\n                entropy",
        ),
        (
            "the reference's temperature is forgotten",
            "part.mask, work.sampling.temperature, part.limits",
            "part.mask, 1.0, part.limits",
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
            "size=replace(work.size, sequences=float(part.actions.shape[0] * part.samples)),",
        ),
        ("rewards are those of other sources", "work.rewards[rows].flatten()", "work.rewards[: len(rows)].flatten()"),
        ("what exploration adds is forgotten", "torch.where(part.actions, mixed, logprobs)", "logprobs"),
        ("the KL of the step carries no gradient", "return (terms.view", "return (terms.detach().view"),
        (
            "references are scored at another temperature",
            "policy.token_logprobs([d.source for d in part], tokens, mask)",
            "policy.token_logprobs([d.source for d in part], tokens, mask, 2.0)",
        ),
    ],
    "rollouts/base.py": [
        ("the policy's own share is not reduced", "logprobs + math.log1p(-epsilon)", "logprobs"),
        ("given tokens count as drawn", "self.mask & ~self.forced", "self.mask"),
    ],
    "rollouts/native.py": [
        (
            "the mask leaves the end out",
            "mask[going, position] = alive",
            "mask[going, position] = alive & ~torch.isin(chosen, end)",
        ),
        (
            "random numbers belong to a place in the batch",
            "uniform[position, going]",
            "uniform[position, : len(going)]",
        ),
        (
            "random numbers are those of the position before",
            "uniform[position, going]",
            "uniform[max(0, position - 1), going]",
        ),
        ("samples that have ended go on", "others = alive.nonzero()", "others = torch.ones_like(alive).nonzero()"),
        ("the policy is not told what was drawn", "last[going] = tokens", "pass"),
        ("samples that part stay in one row", "row = going[of]", "row = before[of]"),
        ("a row is taken that somebody needs", "idle[going] = False", "pass"),
        (
            "rows that part are copies of another",
            "stepper.branch(torch.cat([more,",
            "stepper.branch(torch.cat([more.flip(0),",
        ),
    ],
    "rollouts/choice.py": [
        ("the temperature is forgotten", "else logits.div_(temperature)", "else logits"),
        (
            "the temperature is forgotten beside exploration",
            "logits if drawn is None else logits / sampling.temperature",
            "logits",
        ),
        (
            "what is recorded is at temperature 1",
            "return chosen, probabilities[row, chosen].log()",
            "return chosen, torch.log_softmax(logits * self.sampling.temperature, dim=-1)[row, chosen]",
        ),
        (
            "what is recorded leaves exploration out",
            "return chosen, scores[row, chosen]",
            "return chosen, policy[row, chosen]",
        ),
        ("a given token is fed although another was drawn", "chosen = torch.where(following, wanted, chosen)", "pass"),
        ("what was left is that of another sample", ".to(torch.int32)[row]", ".to(torch.int32)[row.flip(0)]"),
        ("what was cut off counts as left", "tokens.masked_fill(scores.isneginf(), -1)", "tokens"),
    ],
    "rollouts/limits.py": [
        (
            "what is left is not made to sum to 1",
            'torch.log_softmax(values.log().masked_fill_(before >= top_p, float("-inf")), dim=-1)',
            'values.log().masked_fill_(before >= top_p, float("-inf"))',
        ),
    ],
    "policies/head.py": [
        ("the bias is added before the cap", "values = linear(hidden, head)", "values = linear(hidden, head) + 0.1"),
        ("the entropy's gradient leaves out the entropy", ".add_(entropy[:, None])", ""),
        ("the divergence's gradient leaves out the divergence", "(apart - divergence)[:, None]", "apart[:, None]"),
        (
            "the block's logits are limited as the first block's are",
            ", self.limited[1], part.start)",
            ", self.limited[1])",
        ),
    ],
    "policies/predicted.py": [
        ("the anchor gets gradient", "with torch.no_grad():", "with torch.enable_grad():"),
        (
            "the divergence is the other one",
            "columns.append((logs.exp() * (logs - fixed).masked_fill",
            "columns.append((fixed.exp() * (fixed - logs).masked_fill",
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
        "group_deviation: `(count - 1).clamp(min=1)` forgets clamp": (
            "only a group of one judged reward divides by 0, and its deviation is set to infinity"
        ),
        "group_mean: 1 becomes 2": "groups of fewer than two judged rewards have no signal and are set to 0",
    },
    "algorithms/losses.py": {
        "sequence_weights: `inputs.logprobs.detach()` forgets detach": "only the shape is used, and it has no gradient",
        "risk_weights: 0.0 becomes 1.0": "it fills rows without candidates, which are multiplied by 0 afterwards",
        "expected_risk: 0.0 becomes 1.0": "it stands where the weight is 0; only that it is a number matters",
    },
    "algorithms/reinforce.py": {
        "Reinforce.advantages: `torch.zeros_like(returns)` with ones_like": "each row is written by its direction",
    },
    "rollouts/recorded.py": {
        "_Steps.__init__: 0 becomes 1": "it stands there until the first step",
        "_Steps.__init__: 0 becomes 1 (2)": "it stands there until the first step",
    },
    "policies/dropout.py": {
        "dropout: `dropped - _LEVELS // 2` with +": "one level more than 16 bits hold, which wraps to the same number",
        "dropout: `_LEVELS // 2` with /": "it has no remainder",
    },
    "algorithms/mixer.py": {
        "Mixer.forced: `step <= o.likelihood_steps` with <": "at that very step the formula below releases nothing too",
        "Mixer.loss: `likelihood.detach()` forgets detach": "`float` takes no gradient along either",
    },
    "algorithms/critic.py": {
        "ActorCritic.check: `super().check(config)` is left out": "what it refuses, no actor-critic algorithm minds",
        "ActorCritic.signals: `self._values(inputs.states) * mask` forgets `mask`": (
            "what stands behind the end is masked by what takes it"
        ),
        "ActorCritic.signals: 0.0 becomes 1.0": "it stands where nothing was judged, and all advantages are set to 0",
        "ActorCritic.value_loss: 0.0 becomes 1.0": "it stands where the error is multiplied by 0",
        "ActorCritic.value_loss: `loss.detach()` forgets detach": "`float` takes no gradient along either",
    },
    "algorithms/value_based.py": {
        "ValueBased.check: `super().check(config)` is left out": "what it refuses, no value-based algorithm minds",
        "ValueBased.accumulate: `value.detach()` forgets detach": "`float` takes no gradient along either",
        "ValueBased._targets: `torch.zeros(mask.shape, device=mask.device)` with ones": (
            "what stands behind the end is masked by what takes it"
        ),
        "ValueBased._targets: `torch.zeros_like(values)` with ones_like": "the same",
    },
    "training/backward.py": {
        "_Means.add: `total + value` with -": "the sum over processes turns the sign once more",
        "_Means.add: `n + count` with -": "the sum over processes turns the sign once more",
        "accumulate: `inputs.logprobs.detach()` forgets detach": "`float` takes no gradient along either",
        "accumulate: `entropy.detach()` forgets detach": "`float` takes no gradient along either",
        "accumulate: `loss.detach()` forgets detach": "`float` takes no gradient along either",
        "_cut: `work.asks_anchor(row) is asked` with is not": "the two kinds come in the other order",
        "_kl_term: `values.detach()` forgets detach": "`tolist` takes no gradient along either",
        "_likelihood: `logprobs.detach()` forgets detach": "`float` takes no gradient along either",
    },
    "rollouts/native.py": {
        "_go_on: `rows - wanted >= _LEAVING * rows` with >": "when rows leave changes nothing but the time",
        "draw: `mask.sum(dim=-1).clamp(min=1)` forgets clamp": "every row has at least one token",
        "draw: `torch.zeros(count, dtype=torch.bool, device=device)` with ones": "it is set anew at the first position",
        "draw: `used < length` with <= (2)": "nothing is asked of the decoder after the last token",
        "_go_on: `len(more) - len(free)` with +": "more idle rows change nothing but the time",
        "_ended_by_text: `end + 1 < len(row)` with <=": "where nothing stands behind an end, nothing is cut",
        "_ended_by_text: `end + 1` with -": "where nothing stands behind an end, nothing is cut",
    },
    "rollouts/limits.py": {
        "Limits.applied: `places >= width` with >": "the place behind the last is the column that is cut off",
        "_likeliest: `probabilities.device.type != 'cpu'` with ==": "all at once, not a few first: the same, slower",
        "_likeliest: `most <= _FEW` with <": "all at once, not a few first: the same, slower",
        "_likeliest: `top_p == 1` with !=": "all at once, not a few first: the same, slower",
        "_likeliest: 1 becomes 2": "a few first, which never suffice: the same, slower",
        "_likeliest: `values.sum(dim=-1) < top_p` with <=": "what is behind exactly `top_p` is cut off anyway",
        "_likeliest: `values.sum(dim=-1)` with mean": "more rows look for all their tokens: the same, slower",
    },
    "rollouts/choice.py": {
        "inverse_cdf: `whole < vocabulary` with <=": "a block more without words has no probability and is never met",
        "Choice.__init__: `torch.zeros(shape, device=device)` with ones (2)": "it is written, or the sample has ended",
        "Choice.limits: 1 becomes 2 (3)": "any negative number says that there is no token",
        "Choice._among_the_likeliest: `-1` without its sign": "it is written, or the sample has ended",
        "Choice._among_the_likeliest: 1 becomes 2": "it is written, or the sample has ended",
        "Choice._by_scores: `wanted.clamp(min=0)` forgets clamp": "what it picks where nothing is given is not used",
        "Choice._by_scores: `self.floor is not None and added is not None` with or": "both are there or neither is",
        "Choice._by_scores: 10000.0 becomes 20000.0": "it replaces an infinity that meets a probability of 0",
        "_single: 0 becomes 1": "the size of a tensor that is asked for its type alone",
        "given_tokens: 0 becomes 1": "it is the width for no sources at all",
        "given_tokens: 1 becomes 2": "any negative number says that the prefix has ended",
    },
    "policies/head.py": {
        "biased: `hidden.dtype == head.dtype == bias.dtype` with !=": "the other way gives the same, in more passes",
        "biased: `not torch.is_grad_enabled()` without its sign": "no workspace is given where there is a gradient",
        "in_pieces: `torch.zeros(0, device=rows[0].device)` with ones": "there is nothing in it",
        "_BlockScores.forward: 0 becomes 1": "a block is larger than one byte, so none is kept",
        "_BlockScores.forward: `ctx.set_materialize_grads(False)` is left out": "gradients of zero add nothing, slowly",
        "_BlockScores.forward: False becomes True": "gradients of zero add nothing, slowly",
        "smoothed_cross_entropy: `smoothing > 0` with >=": "the mean that is then made as well counts for nothing",
    },
    "policies/predicted.py": {
        "scores: 1 becomes 2": "any negative id is none",
        "_shifted_scores: 0.0 becomes 1.0 (2)": "it replaces an infinity that is multiplied by a probability of 0",
        "_shifted_scores: 0.0 becomes 1.0": "it replaces an infinity that is multiplied by a probability of 0",
    },
    "policies/guide.py": {
        "Guide.save: `v.detach()` forgets detach": "what `state_dict` gives is detached",
        "Guide.save: 1 becomes 2": "the indentation of a file",
        "added_to_output: 1 becomes 2": "the first input is used",
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
    "rollouts/native.py": {
        "draw: `torch.device(device).type == 'mps'` with !=": "there is no such device in the tests",
    },
    "rollouts/choice.py": {
        "inverse_cdf: `columns >= vocabulary` with >": "it is behind the last word, where only rounding could lead",
        "inverse_cdf: 0.0 becomes 1.0 (2)": "it is behind the last word, where only rounding could lead",
    },
    "training/update.py": {
        "Update._shown_with: `apart + 1` with -": "they are shared out as evenly, in another order",
        "Update.anchored: `any(map(self.asks_anchor, range(len(self.sources))))` with all": "split layers alone use it",
    },
    "training/backward.py": {
        "accumulate: False becomes True": "torch turns this scaler off where there is no CUDA device, as in the tests",
        "accumulate: 1 becomes 2": "more than one source in a pass of weight 0, which only split layers make",
        "_likelihood: 1 becomes 2": "more than one source in a pass of weight 0, which only split layers make",
        "accumulate: `_pass_back(scores.logprobs)` is left out": "split layers alone need it, in several processes",
        "_likelihood: `_pass_back(logprobs)` is left out": "split layers alone need it, in several processes",
    },
    "algorithms/value_based.py": {
        "ValueOptions._not_negative: 1000000.0 becomes 2000000.0": "a limit chosen far from where beta is of use",
    },
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
