"""The gradient of a step does not depend on how the step is cut, ordered or padded, whatever the algorithm."""

from dataclasses import replace

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.losses import StepSize
from eclectus.config import KlConfig
from eclectus.policies.causal import CausalPolicy
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.training import passes
from eclectus.training.backward import accumulate
from eclectus.training.update import Demonstration, step_size
from tests.algorithms.enumerated import algorithm
from tests.policies.tiny_models import build
from tests.tiny import segments, tiny_policy
from tests.training.tiny_update import ROWS, gradient, make_work, shown

EVERY = [
    ("rloo", {}),
    ("reinforce", {}),
    ("self_critical", {}),
    ("mrt", {"alpha": 0.5}),
    ("mixer", {}),
    ("grpo", {}),
    ("grpo", {"length": "token", "ratio": "sequence"}),
    ("grpo", {"length": "sequence"}),
    ("a2c", {}),
    ("a2c", {"trunk": 0.5}),
    ("ppo", {"trunk": 0.5, "value_clip": 0.01}),
    ("ppo", {"length": "constant"}),
]
CRITICS = ("a2c", "ppo")
VARIANTS = {
    "plain": {},
    "reused": {"reused": True},
    "exploring": {},
    "limited": {},
    "shown": {},
    "limited reused": {"reused": True, "kl": KlConfig(estimator="k1")},
    "limited exact": {"kl": KlConfig(estimator="exact"), "entropy_weight": 0.3},
    "tokens": {},
    "tokens reused": {"reused": True},
    "k1": {"kl": KlConfig(estimator="k1")},
    "exact": {"kl": KlConfig(estimator="exact"), "entropy_weight": 0.3},
}


def built(name, policy, **options):
    """An algorithm whose critic, where it has one, already says something."""
    chosen = algorithm(name, **options)
    chosen.build(policy, seed=1)
    if chosen.module is not None:
        torch.nn.init.normal_(chosen.module.value.weight, generator=torch.Generator().manual_seed(8))
    return chosen


def with_targets(work, chosen, policy):
    """The step with advantages, targets and values of an actor-critic; one sample of it is not judged."""
    rewards = work.rewards.clone()
    rewards[4, 1] = float("nan")
    states = passes.hidden_states(policy, work.sources, work.rollouts, 100)
    signals = chosen.signals(AdvantageInputs(rewards, ["en-es"] * 8, mask=work.rollouts.actions, states=states))
    return replace(
        work,
        rewards=rewards,
        advantages=signals.advantages,
        targets=signals.targets,
        values=signals.values,
        size=step_size(rewards, work.rollouts),
    )


@pytest.fixture
def policy():
    """Untrained, but with an end that is likely enough for translations of all lengths."""
    made = tiny_policy()
    made.model.final_logits_bias[0, made.end_id] = 3.5
    return made


@pytest.fixture
def work(policy):
    return make_work(policy)


def moved(policy):
    """The policy after samples were drawn from it, so that ratios are not 1."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))


def shuffled(work):
    """The same step in another order, padded five positions further."""
    order = [3, 1, 7, 0, 5, 2, 6, 4]
    old = work.rollouts

    def wider(values):
        return None if values is None else torch.nn.functional.pad(values[order], (0, 5))

    padded = Rollouts(
        wider(old.tokens),
        wider(old.logprobs),
        wider(old.mask),
        old.finished[order],
        [old.texts[i] for i in order],
        wider(old.floor),
        wider(old.forced),
        None if old.limits is None else old.limits.of(order),
    )
    if padded.limits is not None:
        ids = torch.nn.functional.pad(padded.limits.ids, (0, 0, 0, 5), value=-1)
        padded = replace(padded, limits=replace(padded.limits, ids=ids))
    lists = {name: [getattr(work, name)[i] for i in order] for name in ("sources", "kl_weights", "owners")}
    lists["demonstrations"] = [
        replace(one, row=None if one.row is None else order.index(one.row)) for one in reversed(work.demonstrations)
    ]
    tensors = {name: wider(getattr(work, name)) for name in ("targets", "values")}
    advantages = work.advantages[order] if work.targets is None else wider(work.advantages)
    return replace(work, rollouts=padded, advantages=advantages, rewards=work.rewards[order], **lists, **tensors)


def test_padding_side_of_sources_is_the_policys_own_affair(policy, work):
    """Long and short sources in one batch give what each gives alone: padding has no part in the update."""
    reference = tiny_policy(seed=2).copy()
    lengths = {len(source) for source in work.sources}
    assert len(lengths) > 1
    accumulate(policy, reference, algorithm("rloo"), work, 100_000)
    together = gradient(policy)
    accumulate(policy, reference, algorithm("rloo"), work, 1)  # each source alone, without padding
    assert torch.allclose(gradient(policy), together, atol=1e-6)


def test_one_advantage_for_each_token_is_accepted(policy, work):
    by_token = replace(work, advantages=work.advantages[:, :, None].expand(work.rollouts.tokens.shape))
    chosen = algorithm("grpo", length="token")
    accumulate(policy, policy.copy(), chosen, work, 60)
    expected = gradient(policy)
    accumulate(policy, policy.copy(), chosen, by_token, 60)
    assert torch.allclose(gradient(policy), expected)


def test_parts_of_a_step_are_steps_of_their_own(policy, work):
    """Their losses, weighed by their sizes, add up to that of the step."""
    chosen = built("ppo", policy, length="sequence")
    whole = with_targets(work, chosen, policy)
    halves = [whole.only([6, 1, 4]), whole.only([0, 7, 2, 3, 5])]
    assert [half.size.sequences for half in halves] == [8.0, 15.0]  # one sample of source 4 is not judged
    assert sum(half.size.tokens for half in halves) == whole.size.tokens
    assert halves[0].owners == ["one", "two", "one"] and halves[0].rollouts.texts[1] == work.rollouts.texts[1]
    parts = []
    for step in (whole, *halves):
        count = len(step.sources)
        quiet = replace(step, kl_weights=[0.0] * count, demonstrations=[])
        accumulate(policy, policy.copy(), chosen, quiet, 60)
        chosen.module.zero_grad()  # its loss is a mean over tokens, not over sequences
        parts.append(gradient(policy))
    expected = sum(part * half.size.sequences / 23 for part, half in zip(parts[1:], halves, strict=True))
    assert torch.allclose(parts[0], expected, atol=1e-6)


def test_demonstrations_go_with_their_sources_and_the_others_are_shared_out(policy, work):
    whole = replace(work, demonstrations=shown(policy, [0.5, 0.0] * 4, apart=[1, 3, 5, 5, 7, 1, 3, 5, 7]))
    parts = [whole.only([6, 1, 4]), whole.only([0, 7, 2, 3, 5])]
    for part, rows in zip(parts, ([6, 1, 4], [0, 7, 2, 3, 5]), strict=True):
        own = [one for one in part.demonstrations if one.row is not None]
        assert sorted(rows[one.row] for one in own) == sorted(row for row in rows if row % 2 == 0)
        assert all(one.source == part.sources[one.row] for one in own)
    apart = [[one for one in part.demonstrations if one.row is None] for part in parts]
    assert [len(rows) for rows in apart] == [3, 6]
    assert sorted(str(one) for rows in apart for one in rows) == sorted(
        str(one) for one in whole.demonstrations if one.row is None
    )


def test_only_the_critic_learns_where_the_policy_does_not(policy, work):
    chosen = built("ppo", policy, trunk=1.0)
    first = replace(with_targets(work, chosen, policy), policy_learns=False, measure_kl=True, entropy_weight=0.1)
    metrics = accumulate(policy, tiny_policy(seed=2).copy(), chosen, first, 60)
    assert all(p.grad is None for p in policy.model.parameters())
    assert all(p.grad.abs().max() > 0 for p in chosen.module.parameters())
    assert metrics["kl"] > 0 and metrics["value_loss"] > 0 and "mle_loss" not in metrics


def test_sources_with_a_target_are_not_skipped(policy, work):
    chosen = built("a2c", policy)
    flat = with_targets(work, chosen, policy)
    flat = replace(flat, advantages=torch.zeros_like(flat.advantages))
    assert all(flat.learnable())
    nothing = replace(flat, targets=torch.full_like(flat.targets, float("nan")), demonstrations=[])
    assert not any(nothing.learnable())


def test_the_loss_is_not_scaled_unless_asked_for(policy, work):
    found = []
    for scaler in ((), (torch.amp.GradScaler("cpu", enabled=False),), (torch.amp.GradScaler("cpu", init_scale=4.0),)):
        accumulate(policy, policy.copy(), algorithm("rloo"), work, 100, *scaler)
        found.append(gradient(policy))
    assert torch.equal(found[0], found[1])
    assert torch.allclose(found[2], 4 * found[0], atol=1e-6)


def test_the_exact_divergence_does_not_depend_on_what_is_measured(policy):
    reference, found = tiny_policy(seed=2).copy(), []
    for measured in (True, False):
        work = make_work(policy, kl=KlConfig(estimator="exact"), demonstrations=[])
        work = replace(work, measure_kl=measured, kl_weights=[0.5, *[0.0] * 7])
        metrics = accumulate(policy, reference, algorithm("rloo"), work, 100)
        found.append(gradient(policy))
        assert "policy_entropy" not in metrics  # nobody asked for it
    nothing = accumulate(policy, reference, algorithm("rloo"), replace(work, kl_weights=[0.0] * 8), 100)
    assert "kl" not in nothing
    assert torch.allclose(found[0], found[1], atol=1e-7)


@pytest.mark.parametrize("estimator", ["exact", "k1", "k3"])
def test_the_anchor_reads_only_what_is_held_to_it(policy, monkeypatch, estimator):
    reference, read = tiny_policy(seed=2).copy(), []
    states = reference.states
    monkeypatch.setattr(reference, "states", lambda sources, *rest: read.extend(sources) or states(sources, *rest))
    work = make_work(policy, kl=KlConfig(estimator=estimator), kl_weights=[0.1, 0.0, 0.0, 0.3, *[0.0] * 4])
    work = replace(work, entropy_weight=1e-9)  # skips no source
    for measured, wanted in ((False, [work.sources[0], work.sources[3]]), (True, work.sources)):
        read.clear()
        accumulate(policy, reference, algorithm("rloo"), replace(work, measure_kl=measured), 100_000)
        assert sorted(map(repr, read)) == sorted(map(repr, wanted))


def test_the_mismatch_is_the_mean_distance_of_drawn_tokens(policy):
    """Old log-probabilities are moved by +0.3 or -0.1, and to nonsense where nothing was drawn."""
    work = make_work(policy)
    drawn = work.rollouts.actions
    moved_by = torch.where(torch.arange(drawn.shape[-1]) % 2 == 0, 0.3, -0.1).expand(drawn.shape)
    wanted = float(moved_by.abs()[drawn].mean())
    logprobs = torch.where(drawn, work.rollouts.logprobs + moved_by, 7.0)
    work = replace(work, rollouts=replace(work.rollouts, logprobs=logprobs), entropy_weight=1e-9)  # skips no source
    reference = policy.copy()
    assert accumulate(policy, reference, algorithm("rloo"), work, 100)["logprob_mismatch"] == pytest.approx(
        wanted, 1e-3
    )
    assert "logprob_mismatch" not in accumulate(policy, reference, algorithm("rloo"), replace(work, reused=True), 100)


@pytest.mark.parametrize("estimator", ["exact", "k3"])
def test_terms_without_a_reward_by_hand(policy, estimator):
    """KL and entropy of the tokens that were drawn over all 24 sequences, likelihood over the tokens of the references;
    some tokens were given and count for neither."""
    reference = tiny_policy(seed=2).copy()
    work = make_work(policy, forced=True, kl=KlConfig(estimator=estimator), entropy_weight=0.3, temperature=0.8)
    work = replace(work, advantages=torch.zeros(8, 3), kl_weights=[0.5, 0.0, 2.0, *[0.0] * 5])
    work = replace(work, demonstrations=shown(policy, [0.5, 0.0, 0.0, 0.0, 3.0, *[0.0] * 3], apart=[6]))
    rollouts, actions = work.rollouts, work.rollouts.actions
    assert (rollouts.mask & ~actions).any()
    metrics = accumulate(policy, reference, algorithm("rloo"), work, 100)
    found = gradient(policy)
    scores = policy.token_scores(
        work.sources,
        rollouts.tokens,
        rollouts.mask,
        0.8,
        entropy=True,
        anchor=reference if estimator == "exact" else None,
    )
    if estimator == "exact":
        kl = scores.divergence
    else:
        anchor = reference.token_logprobs(work.sources, rollouts.tokens, rollouts.mask, 0.8).detach()
        apart = anchor - scores.logprobs
        kl = apart.exp() - apart - 1
    weights = torch.tensor(work.kl_weights)[:, None, None]
    loss = (weights * kl * actions).sum() / 24 - 0.3 * (scores.entropy * actions).sum() / 24
    targets = policy.tokenize_targets([ROWS[row].reference for row in (0, 4, 6)])
    for row, weight, target in zip((0, 4, 6), (0.5, 3.0, 0.3), targets, strict=True):
        ids = torch.tensor(target)[None, None]
        likelihood = policy.token_logprobs([work.sources[row]], ids, torch.ones_like(ids, dtype=torch.bool)).sum()
        loss = loss - weight * likelihood / sum(map(len, targets))
    loss.backward()
    assert torch.allclose(found, gradient(policy), atol=1e-6)
    measured = (kl * actions)[[0, 2]].sum() / actions[[0, 2]].sum()
    assert metrics["kl"] == pytest.approx(float(measured.detach()), rel=1e-4)
    assert metrics["policy_entropy"] == pytest.approx(
        float((scores.entropy * actions).sum().detach() / actions.sum()), 1e-4
    )


def test_the_divisors_by_hand(work):
    rewards = torch.full((8, 3), float("nan"))
    rewards[2, 1], rewards[2, 2], rewards[5, 0] = 0.5, 0.1, 0.0
    lengths = work.rollouts.actions.sum(dim=-1)
    tokens = float(lengths[2, 1] + lengths[2, 2] + lengths[5, 0])
    assert step_size(rewards, work.rollouts) == StepSize(3.0, tokens, 2.0, 24.0)
    assert step_size(torch.full((8, 3), float("nan")), work.rollouts) == StepSize(1.0, 1.0, 1.0, 24.0)


def test_groups_without_signal_are_skipped(policy, work):
    reference = tiny_policy(seed=2).copy()
    nothing = replace(work, advantages=torch.zeros_like(work.advantages), demonstrations=[])
    assert accumulate(policy, reference, algorithm("rloo"), nothing, 100) == {"loss": 0.0}
    assert all(p.grad is None for p in policy.model.parameters())


def test_a_source_says_something_where_one_advantage_is_not_zero(work):
    advantages = torch.zeros_like(work.advantages)
    advantages[1, 2], advantages[4, 0] = -0.5, 0.5
    quiet = replace(work, advantages=advantages, kl_weights=[0.0] * 8)
    assert quiet.learnable() == [row in {1, 4} for row in range(8)]
    held = replace(quiet, kl_weights=[0.0, 0.0, 0.1] + [0.0] * 5)
    assert held.learnable() == [row in {1, 2, 4} for row in range(8)]
    assert held.only([1, 2, 3]).learnable() == [True, True, False]
    assert replace(held, policy_learns=False).learnable() == quiet.learnable()
    # Nothing moves the policy, so nothing holds it, unless demonstrations do.
    still = replace(held, advantages=torch.zeros_like(advantages), demonstrations=[])
    assert not any(still.learnable())
    assert replace(still, demonstrations=work.demonstrations).learnable() == [row == 2 for row in range(8)]
    assert replace(quiet, entropy_weight=0.1).learnable() == [True] * 8
    forced = torch.zeros_like(work.rollouts.mask)
    forced[0, 1, 0] = True
    given = replace(quiet, rollouts=replace(work.rollouts, forced=forced))
    assert given.learnable() == [row in {0, 1, 4} for row in range(8)]


def test_kl_is_left_out_of_a_step_and_not_of_a_part_in_which_nothing_moves_the_policy(work):
    advantages = torch.zeros_like(work.advantages)
    advantages[1, 2] = -0.5
    held = replace(work, advantages=advantages, kl_weights=[0.1, 0.0] * 4, demonstrations=[])
    assert held.only([0, 3, 4]).learnable() == [True, False, True]
    assert held.only([0, 3, 4]).only([2]).learnable() == [True]
    assert not any(replace(held, policy_learns=False).only([0, 3, 4]).learnable())
    still = replace(held, advantages=torch.zeros_like(advantages))
    assert not any(still.only([0, 3, 4]).learnable())
    # Only the first source is demonstrated, which moves the policy for all.
    demonstrated = replace(still, demonstrations=work.demonstrations[:1])
    assert demonstrated.only([4, 5]).learnable() == [True, False]


@pytest.mark.parametrize("estimator", ["k1", "k3", "exact"])
@pytest.mark.parametrize("weights", [[0.1, 0.0] * 4, [0.0] * 8])
def test_kl_is_measured_on_all_samples_and_teaches_nothing_where_it_has_no_weight(policy, estimator, weights):
    reference = tiny_policy(seed=2).copy()
    work = make_work(policy, kl=KlConfig(estimator=estimator), demonstrations=[], kl_weights=weights)
    work.advantages[3:] = 0.0  # the third has none either: six of eight sources say nothing
    found = []
    for measured in (False, True):
        for budget in (60, 100_000):
            metrics = accumulate(policy, reference, algorithm("rloo"), replace(work, measure_kl=measured), budget)
            found.append(gradient(policy))
    assert all(torch.allclose(other, found[0], atol=1e-6) for other in found[1:])
    whole = replace(work, measure_kl=True, entropy_weight=1e-9)  # skips no source
    wanted = accumulate(policy, reference, algorithm("rloo"), whole, 100)
    assert {name for name in metrics if name.startswith("kl")} == {"kl", "kl/one", "kl/two"}
    assert all(metrics[name] == pytest.approx(wanted[name], rel=1e-4) for name in ("kl", "kl/one", "kl/two"))


def test_entropy_bonus_works_where_rewards_say_nothing(policy, work):
    """A collapsed policy has groups without signal only; the bonus must still reach it."""
    quiet = replace(work, advantages=torch.zeros_like(work.advantages), demonstrations=[], kl_weights=[0.0] * 8)
    bonus = replace(quiet, entropy_weight=1.0)
    before = accumulate(policy, policy.copy(), algorithm("rloo"), bonus, 100_000)["policy_entropy"]
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.sub_(0.01 * parameter.grad if parameter.grad is not None else 0.0)
    policy.model.zero_grad()
    after = accumulate(policy, policy.copy(), algorithm("rloo"), bonus, 100_000)["policy_entropy"]
    assert after > before


@pytest.mark.parametrize(("name", "terms"), [("mixer", {}), ("rloo", {"entropy_weight": 0.3})])
def test_terms_without_a_reward_weigh_the_same_where_samples_abstain(policy, name, terms):
    """Nothing judged and everything judged alike: only the prefixes, the entropy and KL of the forced sources learn."""
    found = []
    for rewards in (torch.full((8, 3), 0.5), torch.full((8, 3), float("nan"))):
        work = make_work(policy, forced=name == "mixer", demonstrations=[], **terms)
        work = replace(work, rewards=rewards, advantages=torch.zeros(8, 3), size=step_size(rewards, work.rollouts))
        accumulate(policy, tiny_policy(seed=2).copy(), algorithm(name), work, 100)
        found.append(gradient(policy))
    assert found[0].abs().max() > 1e-4
    assert torch.allclose(found[0], found[1], atol=1e-7)


def test_forced_prefixes_are_learnt_where_rewards_say_nothing(policy):
    work = make_work(policy, forced=True, demonstrations=[], kl_weights=[0.0] * 8)
    quiet = replace(work, advantages=torch.zeros_like(work.advantages))
    metrics = accumulate(policy, policy.copy(), algorithm("mixer"), quiet, 100)
    assert metrics["prefix_loss"] == pytest.approx(metrics["loss"]) and metrics["loss"] > 0
    assert gradient(policy).abs().max() > 0


def test_likelihood_term_equals_the_mean_over_reference_tokens(policy, work):
    alone = replace(work, advantages=torch.zeros_like(work.advantages), demonstrations=shown(policy, [1.0, 0.0] * 4))
    metrics = accumulate(policy, policy.copy(), algorithm("rloo"), alone, 100)
    ours = gradient(policy)
    rows = [i for i in range(8) if i % 2 == 0]
    targets = policy.tokenize_targets([ROWS[i].reference for i in rows])
    loss, _ = policy.smoothed_loss([work.sources[i] for i in rows], targets, 0.0)
    mean = loss / sum(map(len, targets))
    mean.backward()
    theirs = gradient(policy)
    # The policy's own likelihood leaves out tokens that can never be part of a translation; the tiny model, untrained,
    # spreads some probability there.
    assert metrics["mle_loss"] == pytest.approx(mean.item(), abs=0.1)
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_what_can_never_be_said_has_no_part_in_the_likelihood(policy, work):
    """An unknown character of a reference stays what the rest of it is learnt after."""
    unknown, end = policy.never_said[0], policy.end_id
    word = policy.tokenize_targets([ROWS[0].reference])[0][0]

    def learnt(target):
        demonstration = Demonstration(work.sources[0], target, 1.0, None)
        alone = replace(work, advantages=torch.zeros_like(work.advantages), demonstrations=[demonstration])
        return accumulate(policy, policy.copy(), algorithm("rloo"), alone, 100)["mle_loss"], gradient(policy)

    (loss, ours), (before, less) = learnt([word, unknown, end]), learnt([word])
    tokens = torch.tensor([[[word, unknown, end]]])
    logprobs = policy.token_logprobs(work.sources[:1], tokens, torch.ones_like(tokens, dtype=torch.bool))
    assert logprobs[0, 0, 1] == -torch.inf
    expected = -(logprobs[0, 0, 0] + logprobs[0, 0, 2]) / 3
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(ours, gradient(policy), atol=1e-6)
    assert before == pytest.approx(-logprobs[0, 0, 0].item(), rel=1e-5) and not torch.allclose(ours, less)


@pytest.mark.parametrize("estimator", ["k1", "k3", "exact"])
def test_kl_is_zero_for_the_same_policy_and_grows_with_the_distance(policy, work, estimator):
    measured = replace(work, measure_kl=True, kl=KlConfig(estimator=estimator))
    same = accumulate(policy, policy.copy(), algorithm("rloo"), measured, 100_000)
    other = accumulate(policy, tiny_policy(seed=2).copy(), algorithm("rloo"), measured, 100_000)
    assert same["kl"] == pytest.approx(0.0, abs=1e-6)
    assert other["kl"] > 0.001
    assert {"kl/one", "kl/two"} <= set(other)


@pytest.mark.parametrize("limits", [{}, {"top_k": 4}, {"min_length": 5}])
def test_kl_is_that_of_the_distributions_sampled_from(policy, limits):
    """Both sides at the sampling temperature, the mean over the drawn tokens, by hand from the policies' numbers."""
    work = make_work(policy, temperature=0.6, measure_kl=True, kl=KlConfig(estimator="k1"), limits=limits)
    reference = tiny_policy(seed=2).copy()
    found = accumulate(policy, reference, algorithm("rloo"), replace(work, entropy_weight=1e-9), 60)["kl"]
    tokens, mask = work.rollouts.tokens, work.rollouts.mask
    allowed = work.rollouts.limits
    assert (allowed is None) == (not limits)
    own, anchor = (one.token_logprobs(work.sources, tokens, mask, 0.6, allowed).detach() for one in (policy, reference))
    assert found == pytest.approx(float(((own - anchor) * mask).sum() / mask.sum()), abs=1e-5)
    own, anchor = (one.token_logprobs(work.sources, tokens, mask, 1.0).detach() for one in (policy, reference))
    assert abs(found - float(((own - anchor) * mask).sum() / mask.sum())) > 1e-3


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_the_end_has_a_part_in_the_update_and_nothing_after_it(policy, name, options):
    work = make_work(policy, demonstrations=[])
    rollouts = work.rollouts
    assert rollouts.finished.any() and not rollouts.mask.all()
    chosen = built(name, policy, **options)
    if name in CRITICS:
        work = with_targets(work, chosen, policy)

    def update(changed):
        accumulate(policy, policy.copy(), chosen, replace(work, rollouts=changed), 100)
        return gradient(policy, chosen.module)

    expected = update(rollouts)
    other = rollouts.tokens.masked_fill(~rollouts.mask, 5)
    assert torch.allclose(update(replace(rollouts, tokens=other)), expected, atol=1e-6)
    ends = rollouts.mask & (rollouts.tokens == policy.end_id)
    assert not torch.allclose(update(replace(rollouts, mask=rollouts.mask & ~ends)), expected, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_padding_on_the_left_has_no_part_in_the_update(tmp_path, name, options):
    """Decoder-only policies see prompts of unlike length: alone, together and in another order it is one gradient."""
    policy = CausalPolicy(*build("llama", tmp_path))
    work = make_work(policy, forced=name == "mixer")
    assert len({len(source.ids) for source in work.sources}) > 1
    chosen = built(name, policy, **options)
    if name in CRITICS:
        work = with_targets(work, chosen, policy)
    found = []
    for step, budget in ((work, 1), (work, 100_000), (shuffled(work), 100)):
        accumulate(policy, policy.copy(), chosen, step, budget)
        found.append(gradient(policy, chosen.module))
    assert found[0].abs().max() > 1e-3
    for other in found[1:]:
        assert torch.allclose(other, found[0], atol=5e-6)


def test_estimates_of_kl_agree_over_many_samples(policy):
    rows = segments("en", "es")
    rollouts = policy.sample(rows, 300, Sampling(1.0, 8), torch.Generator().manual_seed(5))
    work = make_work(policy)
    many = replace(
        work,
        sources=policy.tokenize_sources(rows),
        rollouts=rollouts,
        rewards=torch.ones(4, 300),
        advantages=torch.ones(4, 300),
        kl_weights=[0.0] * 4,
        demonstrations=[],
        measure_kl=True,
        owners=["one"] * 4,
    )
    reference = tiny_policy(seed=2).copy()
    for parameter in reference.model.parameters():
        parameter.mul_(2.0)  # far away, so that the noise of k1 is small beside what it measures
    found = {
        estimator: accumulate(
            policy, reference, algorithm("rloo"), replace(many, kl=KlConfig(estimator=estimator)), 100_000
        )["kl"]
        for estimator in ("k1", "k3", "exact")
    }
    assert found["k1"] == pytest.approx(found["exact"], rel=0.1)
    assert found["k3"] == pytest.approx(found["exact"], rel=0.05)


@pytest.mark.parametrize(
    ("temperature", "epsilon", "forced", "limits"),
    [
        (1.0, 0.0, False, {}),
        (0.6, 0.0, False, {}),
        (1.0, 0.4, False, {}),
        (1.5, 0.4, False, {}),
        (0.6, 0.4, True, {}),
        (0.6, 0.0, False, {"top_k": 5, "top_p": 0.7}),
        (1.0, 0.0, False, {"top_p": 0.7, "min_length": 4}),
        (1.0, 0.3, True, {"min_length": 4}),
    ],
)
def test_the_loss_sees_the_probabilities_that_tokens_were_drawn_with(policy, temperature, epsilon, forced, limits):
    """Fresh samples have a ratio of 1 on every token that was drawn, whatever the temperature and the exploration."""
    work = make_work(policy, epsilon=epsilon, forced=forced, temperature=temperature, limits=limits)
    chosen = algorithm("mixer" if forced else "rloo")
    loss, seen = chosen.loss, []
    chosen.loss = lambda inputs: seen.append(inputs) or loss(inputs)
    accumulate(policy, policy.copy(), chosen, work, 60)
    for inputs in seen:
        assert torch.allclose(inputs.logprobs[inputs.mask], inputs.old_logprobs[inputs.mask], atol=1e-4)
        assert not forced or not (inputs.mask & inputs.forced).any()
    drawn = sum(int(inputs.mask.sum()) for inputs in seen)
    given = sum(int(inputs.forced.sum()) for inputs in seen) if forced else 0
    wanted = work.rollouts.mask[work.learnable()]
    assert drawn + given == int(wanted.sum())
    assert (given > 0) == forced


# The KL and entropy terms are the same code whatever the algorithm.
CASES = [(*chosen, variant) for variant in ("plain", "reused", "exploring") for chosen in EVERY] + [
    (name, {}, variant) for variant in ("k1", "exact") for name in ("rloo", "mixer")
]
CASES = [case for case in CASES if (case[0], case[2]) != ("a2c", "reused")]  # which it refuses
CASES += [(name, {}, variant) for variant in ("tokens", "tokens reused") for name in ("rloo", "grpo")]
CASES += [("rloo", {}, "shown")]
CASES += [(name, {}, f"limited{more}") for more in ("", " reused", " exact") for name in ("rloo", "ppo")]
LIMITS = {"top_k": 60, "top_p": 0.97, "min_length": 3}


@pytest.mark.parametrize(
    ("name", "options", "variant"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)
def test_gradient_does_not_depend_on_the_micro_batch_order_or_padding(policy, name, options, variant):
    reference = tiny_policy(seed=2).copy()
    epsilon = 0.3 if variant == "exploring" else 0.0
    limits = LIMITS if variant.startswith("limited") else None
    work = make_work(policy, epsilon=epsilon, forced=name == "mixer", limits=limits, **VARIANTS[variant])
    if variant == "shown":
        work = replace(work, demonstrations=shown(policy, [0.5, 0.0] * 4, apart=range(8)))
    chosen = built(name, policy, **options)
    if name in CRITICS:
        work = with_targets(work, chosen, policy)
    if variant.startswith("tokens"):
        wide = torch.randn(work.rollouts.mask.shape, generator=torch.Generator().manual_seed(7))
        work = replace(work, advantages=wide * work.advantages[..., None])
    if variant.endswith("reused"):
        moved(policy)
    gradients, metrics = [], []
    for step, budget in ((work, 1), (work, 60), (work, 100_000), (shuffled(work), 100), (shuffled(work), 100_000)):
        metrics.append(accumulate(policy, reference, chosen, step, budget))
        gradients.append(gradient(policy, chosen.module))
    for other, values in zip(gradients[1:], metrics[1:], strict=True):
        assert torch.allclose(other, gradients[0], atol=2e-6)
        assert values == pytest.approx(metrics[0], rel=1e-4, abs=1e-6)
    assert gradients[0].abs().max() > 1e-3
    assert len(set(work.rollouts.mask.sum(dim=-1).flatten().tolist())) > 3  # otherwise nothing is padded
