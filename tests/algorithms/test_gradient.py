"""On a problem small enough to enumerate, the expected update is the exact gradient of the expected reward."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from eclectus.algorithms import kl
from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.losses import distinct, risk_weights
from eclectus.rollouts.base import exploring
from eclectus.rollouts.limits import Limits, truncated
from tests.algorithms import enumerated
from tests.algorithms.enumerated import (
    REWARD,
    algorithm,
    exact_gradient,
    expected_update,
    groups,
    inputs,
    loss_of,
    rows,
    some_logits,
)

ALL = ("rloo", "grpo", "reinforce", "self_critical", "mrt", "mixer")


@pytest.fixture
def logits():
    return some_logits()


def remembering(baseline, dense=False):
    """REINFORCE that has met a step with rewards of this mean before, given to tokens or not."""
    chosen = algorithm("reinforce", baseline=baseline)
    rewards = torch.tensor([[0.2, 0.5]], dtype=torch.float64)
    tokens = torch.tensor([[[0.1, 0.1], [0.4, 0.1]]], dtype=torch.float64) if dense else None
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    chosen.advantages(AdvantageInputs(rewards, ["en-es"], mask=mask, token_rewards=tokens))
    return chosen


@pytest.mark.parametrize(
    ("chosen", "samples", "greedy"),
    [
        (algorithm("rloo"), 3, None),
        (algorithm("reinforce", baseline="none"), 1, None),
        (remembering("moving"), 1, None),
        (remembering("direction"), 2, None),
        (algorithm("reinforce"), 3, None),  # nothing remembered yet: the other samples are the baseline
        (algorithm("self_critical"), 1, 0.4),
        (algorithm("self_critical"), 2, 0.4),
        (algorithm("mixer"), 2, None),  # everything released
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_expected_update_is_the_exact_gradient(logits, chosen, samples, greedy):
    assert torch.allclose(expected_update(logits, chosen, samples, greedy), exact_gradient(logits), atol=1e-10)


@pytest.mark.parametrize(
    ("chosen", "samples"),
    [
        (algorithm("rloo"), 2),
        (algorithm("rloo"), 3),
        (algorithm("reinforce", baseline="none"), 1),
        (remembering("moving", dense=True), 1),
        (remembering("direction", dense=True), 2),
        (remembering("direction"), 2),  # what was remembered of whole rewards serves every position
        (algorithm("reinforce"), 3),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_with_rewards_of_tokens_it_is_the_exact_gradient_too(logits, chosen, samples):
    update = expected_update(logits, chosen, samples, dense=True)
    assert torch.allclose(update, exact_gradient(logits), atol=1e-10)
    one = [loss_of(chosen, rows(logits)[3 : 3 + samples], dense=dense) for dense in (False, True)]
    assert one[0].item() != pytest.approx(one[1].item(), abs=1e-3)  # though of one step it is another estimate


def test_a_good_potential_makes_the_estimate_less_noisy(logits, monkeypatch):
    """With the expected reward of each state as its potential, as a perfect critic would say."""
    table = torch.softmax(logits.detach(), dim=-1)
    perfect = {a: sum(float(table[a, b]) * REWARD[a, b] for b in range(3)) for a in (1, 2)}
    monkeypatch.setattr(enumerated, "POTENTIAL", perfect)

    def variance(dense):
        exact, total = exact_gradient(logits), 0.0
        for probability, group in groups(rows(logits), 2):
            loss = loss_of(algorithm("rloo"), group, dense=dense)
            gradient = -torch.autograd.grad(loss, logits, retain_graph=True)[0]
            total += probability * float((gradient - exact).square().sum())
        return total

    assert variance(dense=True) < 0.95 * variance(dense=False)


def test_grpo_with_rewards_of_tokens_keeps_its_factor(logits):
    for ratio in ("token", "sequence"):
        update = expected_update(logits, algorithm("grpo", constant_length=5, ratio=ratio), 3, dense=True)
        assert torch.allclose(update * 5 * 3 / 2, exact_gradient(logits), atol=1e-10), ratio


def test_one_ratio_for_a_sequence_leaves_each_token_its_own_advantage():
    """GSPO-token: the value of the ratio is the sequence's, its gradient the token's; one advantage makes it GSPO."""
    old = torch.tensor([[-0.4, -0.9, -0.85], [0.0, -0.5, 0.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    logprobs = torch.tensor([[-0.5, -0.7, -0.9], [-0.3, -0.2, -9.0]], requires_grad=True)
    ratio = torch.tensor([math.exp(0.05 / 3), math.exp(0.0)])
    for advantages in (torch.tensor([[3.0, 0.0, -3.0], [1.0, 2.0, 7.0]]), torch.tensor([1.0, -2.0])):
        step = inputs(logprobs, torch.zeros(2), advantages, mask, old_logprobs=old)
        loss, _ = algorithm("grpo", ratio="sequence").loss(step)
        each = step.token_advantages * ratio[:, None] * mask
        assert loss.item() == pytest.approx(-each.sum().item() / 2)
        assert torch.allclose(torch.autograd.grad(loss, logprobs)[0], -each / 2)


def test_token_advantages_used_again_have_the_same_gradient_while_the_policy_has_not_moved():
    logprobs = torch.tensor([[-0.5, -0.2], [-0.1, -0.9]], requires_grad=True)
    advantages = torch.tensor([[1.0, -0.5], [0.2, 0.0]])
    for name in ("rloo", "reinforce"):
        gradients = []
        for reused in (False, True):
            step = inputs(logprobs, torch.zeros(2), advantages, reused=reused)
            gradients.append(torch.autograd.grad(algorithm(name).loss(step)[0], logprobs)[0])
        assert torch.allclose(*gradients) and torch.allclose(gradients[0], -advantages / 2)


def test_the_greedy_baseline_is_a_constant_of_the_source_whatever_the_policy(logits):
    """The greedy translation changes with the policy, but its reward is held fixed: still unbiased."""
    greedy = max(rows(logits), key=lambda row: row.probability.item()).reward
    update = expected_update(logits, algorithm("self_critical"), 1, greedy)
    assert torch.allclose(update, exact_gradient(logits), atol=1e-10)


def test_grpo_without_scaling_and_with_constant_length_is_unbiased_up_to_a_factor(logits):
    """Centring on the whole group's mean shrinks the gradient by (G - 1) / G; Dr. GRPO divides by a constant."""
    update = expected_update(logits, algorithm("grpo", constant_length=5), 3)
    assert torch.allclose(update * 5 * 3 / 2, exact_gradient(logits), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("grpo", {"scale": "group"}),
        ("grpo", {"scale": "batch"}),
        ("grpo", {"scale": "direction"}),
        ("grpo", {"length": "sequence"}),
        ("grpo", {"length": "token"}),
        ("grpo", {"ratio": "sequence", "length": "sequence"}),
        ("mrt", {"alpha": 0.005}),
        ("mrt", {"alpha": 1.0}),
    ],
)
def test_biased_estimators_point_elsewhere(logits, name, options):
    update, exact = expected_update(logits, algorithm(name, **options), 3), exact_gradient(logits)
    cosine = cosine_similarity(update.flatten(), exact.flatten(), dim=0)
    assert cosine > 0.9
    assert (1 - cosine**2).sqrt() > 0.01  # sine of the angle between them; for the unbiased ones it is below 1e-7


def test_mrt_over_all_translations_at_alpha_one_is_exact(logits):
    """The bias of MRT is that candidates stand for all translations: with all of them there is none."""
    loss = loss_of(algorithm("mrt", alpha=1.0), rows(logits))
    gradient = torch.autograd.grad(-loss, logits)[0]
    assert torch.allclose(gradient, exact_gradient(logits), atol=1e-10)


def test_mrt_gradient_is_its_closed_form(logits):
    """sum_i Q_i (r_i - sum_j Q_j r_j) grad log pi(y_i)."""
    alpha, group = 0.3, rows(logits)[1:5]
    gradient = torch.autograd.grad(-loss_of(algorithm("mrt", alpha=alpha), group), logits, retain_graph=True)[0]
    scores = torch.stack([row.logprobs.sum() for row in group])
    rewards = torch.tensor([row.reward for row in group], dtype=torch.float64)
    q = torch.softmax(alpha * scores.detach(), dim=0)
    weights = q * (rewards - (q * rewards).sum())
    assert torch.allclose(gradient, torch.autograd.grad((weights * scores).sum(), logits)[0], atol=1e-12)


@pytest.mark.parametrize(("name", "options"), [("rloo", {}), ("grpo", {}), ("mrt", {}), ("mrt", {"alpha": 0.02})])
def test_updates_are_of_one_size_so_that_a_weight_of_kl_means_the_same_beside_each(logits, name, options):
    """GRPO's is (G - 1) / G of the exact gradient's; MRT weighs distinct candidates alike, however often they came."""
    update, exact = expected_update(logits, algorithm(name, **options), 3), exact_gradient(logits)
    assert 0.6 < float(update.norm() / exact.norm()) < 1.1


def test_risk_is_the_mean_over_the_sources():
    """Two sources of two samples, at alpha 1: weights 0.8 and 0.2, and 0.5 and 0.5."""
    logprobs = torch.tensor([[0.4], [0.1], [0.3], [0.3]]).log()
    rewards = torch.tensor([1.0, 0.0, 0.6, 0.2])
    loss, _ = algorithm("mrt", alpha=1.0).loss(inputs(logprobs, rewards, rewards, samples=2))
    assert loss.item() == pytest.approx(-(0.8 + 0.4) / 2)


def test_risk_weights_against_a_table_made_by_hand():
    # probabilities 0.4, 0.1, 0.4 (equal to the first, so no candidate) and 0.2 (not judged)
    logprobs = torch.tensor([[0.4, 0.1, 0.4, 0.2]]).log()
    candidates = torch.tensor([[True, True, False, False]])
    assert risk_weights(logprobs, candidates, 1.0)[0].tolist() == pytest.approx([0.8, 0.2, 0.0, 0.0])
    assert risk_weights(logprobs, candidates, 0.5)[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0.0, 0.0])
    assert risk_weights(logprobs, torch.zeros(1, 4, dtype=torch.bool), 1.0).tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_equal_samples_are_one_candidate():
    tokens = torch.tensor([[[3, 4], [3, 4], [3, 5], [3, 4]], [[1, 0], [2, 0], [1, 0], [2, 0]]])
    every = torch.ones(2, 4, dtype=torch.bool)
    assert distinct(tokens, every).tolist() == [[True, False, True, False], [True, True, False, False]]
    # The twin that is not judged does not take the place of the one that is.
    judged = torch.tensor([[False, True, True, True], [True, False, False, True]])
    assert distinct(tokens, judged).tolist() == [[False, True, True, False], [True, False, False, True]]


def test_mixer_learns_the_prefix_by_likelihood_and_the_rest_by_reward(logits):
    group = [row for row in rows(logits) if row.tokens[0] == 2]
    forced = torch.tensor([[True, False]] * 3)
    masks = torch.stack([row.mask for row in group]) & ~forced
    logprobs = torch.stack([row.logprobs for row in group])
    rewards = torch.tensor([row.reward for row in group], dtype=torch.float64)
    chosen = algorithm("mixer")
    advantages = chosen.advantages(AdvantageInputs(rewards[None], ["en-es"]))[0]
    loss, metrics = chosen.loss(inputs(logprobs, rewards, advantages, masks, forced=forced))
    expected = -logprobs[:, 0].mean() - (advantages * logprobs[:, 1]).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    assert metrics["prefix_loss"] == pytest.approx(-logprobs[0, 0].item())


@pytest.mark.parametrize(
    ("step", "forced"), [(1, [5, 2]), (3, [5, 2]), (4, [3, 0]), (13, [3, 0]), (14, [1, 0]), (24, [0, 0]), (999, [0, 0])]
)
def test_mixer_releases_references_from_their_end(step, forced):
    assert algorithm("mixer", likelihood_steps=3, release=2, every=10).forced(step, [5, 2]) == forced


def test_exploration_is_unbiased_for_the_policy_that_explores(logits):
    """The gradient is that of the expected reward under what is really sampled from, whatever epsilon is."""
    epsilon = 0.3
    floor = torch.zeros(3, 3, dtype=torch.float64)
    floor.scatter_(1, torch.log_softmax(logits, -1).topk(2, dim=-1).indices, epsilon / 2)

    def behaviour(values):
        return exploring(torch.log_softmax(values, -1), floor, epsilon)

    assert float(behaviour(logits).detach().exp().sum(-1).sub(1).abs().max()) < 1e-12
    update = expected_update(logits, algorithm("rloo"), 2, distribution=behaviour)
    assert torch.allclose(update, exact_gradient(logits, behaviour), atol=1e-10)
    plain = cosine_similarity(update.flatten(), exact_gradient(logits).flatten(), dim=0)
    assert 0.9 < plain < 0.9999


@pytest.mark.parametrize(("top_k", "top_p"), [(2, 1.0), (0, 0.7), (1, 1.0)])
def test_samples_within_limits_are_unbiased_for_what_was_left(logits, top_k, top_p):
    """The gradient is that of the expected reward of the policy among the tokens that were left, these held fixed."""
    tokens, scores = truncated(torch.softmax(logits.detach(), -1), top_k, top_p)
    ids = tokens.masked_fill(scores.isneginf(), -1).to(torch.int32)

    def behaviour(values):
        logs = torch.log_softmax(Limits(ids, only=True).applied(values, ids), -1)
        return logs.masked_fill(logs.isneginf(), -1000.0)  # a number whose exponential is 0

    left = behaviour(logits).detach().exp()
    assert torch.allclose(left.sum(-1), torch.ones(3, dtype=torch.float64)) and (left == 0).any()
    update = expected_update(logits, algorithm("rloo"), 2, distribution=behaviour)
    assert torch.allclose(update, exact_gradient(logits, behaviour), atol=1e-10)
    assert (update[left == 0] == 0).all()  # nothing is learnt of what cannot be drawn
    assert update.abs().max() > 1e-3 or top_k == 1  # a single token teaches nothing


# --- divergence from the starting policy


@pytest.fixture
def start(logits):
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return (logits + noise).detach()


def exact_kl(logits, start):
    pairs = zip(rows(logits), rows(start), strict=True)
    return sum(a.probability * (a.logprobs.sum() - b.logprobs.sum()) for a, b in pairs)


def expected(logits, start, value):
    """Sum over sequences of probability (held fixed) times `value(logprobs, reference, mask)`."""
    total = 0.0
    for own, other in zip(rows(logits), rows(start), strict=True):
        total = total + own.probability.detach() * value(own.logprobs[None], other.logprobs[None], own.mask[None]).sum()
    return total


@pytest.mark.parametrize("estimator", [kl.k1, kl.k3])
def test_estimates_of_the_divergence_are_unbiased(logits, start, estimator):
    assert float(expected(logits, start, estimator).detach()) == pytest.approx(
        exact_kl(logits, start).item(), abs=1e-10
    )


def test_k3_is_never_negative_and_k1_may_be(logits, start):
    pairs = [(a.logprobs[None], b.logprobs[None], a.mask[None]) for a, b in zip(rows(logits), rows(start), strict=True)]
    assert min(float(kl.k3(*pair).detach()) for pair in pairs) >= 0
    assert min(float(kl.k1(*pair).detach()) for pair in pairs) < 0


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_k1_surrogate_has_the_exact_gradient(logits, start, samples):
    wanted = torch.autograd.grad(exact_kl(logits, start), logits)[0]
    references = {tuple(row.tokens.tolist()): row.logprobs for row in rows(start)}
    total = torch.zeros_like(logits)
    for probability, group in groups(rows(logits), samples):
        logprobs = torch.stack([row.logprobs for row in group])
        reference = torch.stack([references[tuple(row.tokens.tolist())] for row in group])
        terms = kl.k1_surrogate(logprobs, reference, torch.stack([row.mask for row in group]), samples)
        total += probability * torch.autograd.grad(terms.mean(), logits, retain_graph=True)[0]
    assert torch.allclose(total, wanted, atol=1e-10)


def test_nothing_after_the_end_counts_in_a_divergence():
    logprobs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    reference = torch.tensor([[-1.5, -1.0, -9.0]])
    mask = torch.tensor([[True, True, False]])
    assert kl.k1(logprobs, reference, mask).item() == pytest.approx(0.5 - 1.0)
    # exp(-d) - 1 + d at d = 0.5 and d = -1
    assert kl.k3(logprobs, reference, mask).item() == pytest.approx(math.exp(-0.5) - 0.5 + math.e - 2)
    for terms in (kl.k3(logprobs, reference, mask), kl.k1_surrogate(logprobs, reference, mask, 1)):
        gradient = torch.autograd.grad(terms.sum(), logprobs)[0][0]
        assert gradient[2] == 0 and gradient[:2].all()


def test_k3_far_from_the_start_is_large_and_finite():
    logprobs = torch.tensor([[-500.0]], requires_grad=True)
    value = kl.k3(logprobs, torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
    assert value.item() == pytest.approx(math.exp(20) - 21)
    assert torch.isfinite(torch.autograd.grad(value.sum(), logprobs)[0]).all()


def test_k1_surrogate_has_the_other_samples_as_its_baseline():
    """Differences to the start of 1, 3 and 5: minus the mean of the other two, -3, 0 and 3, times log pi."""
    logprobs = torch.tensor([[-1.0], [-2.0], [-4.0]], requires_grad=True)
    reference = torch.tensor([[-2.0], [-5.0], [-9.0]])
    mask = torch.ones(3, 1, dtype=torch.bool)
    terms = kl.k1_surrogate(logprobs, reference, mask, 3)
    assert terms.tolist() == pytest.approx([3.0, 0.0, -12.0])
    assert torch.autograd.grad(terms.sum(), logprobs)[0].flatten().tolist() == pytest.approx([-3.0, 0.0, 3.0])


def test_k1_differentiated_as_it_stands_teaches_nothing_and_k3_the_other_divergence(logits, start):
    plain = torch.autograd.grad(expected(logits, start, kl.k1), logits, retain_graph=True)[0]
    assert plain.abs().max() < 1e-12
    k3 = torch.autograd.grad(expected(logits, start, kl.k3), logits)[0]
    wanted = torch.autograd.grad(exact_kl(logits, start), logits)[0]
    assert 0.5 < cosine_similarity(k3.flatten(), wanted.flatten(), dim=0) < 0.999
    # At each position visited it is the gradient of KL(start || policy): softmax(policy) - softmax(start).
    visits = torch.cat([torch.ones(1, dtype=torch.float64), torch.softmax(logits[0], -1)[1:]])
    forward = visits[:, None] * (torch.softmax(logits, -1) - torch.softmax(start, -1))
    assert torch.allclose(k3, forward, atol=1e-10)


# --- clipping, ends, and what must not blow up


def test_clip_stops_the_gradient_only_where_the_ratio_ran_too_far():
    old = torch.zeros(4, 1)
    logprobs = torch.tensor([[0.5], [0.5], [-0.5], [-0.5]], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    chosen = algorithm("grpo", clip_low=0.2, clip_high=0.28, length="token")
    loss, metrics = chosen.loss(inputs(logprobs, advantages, advantages, old_logprobs=old))
    loss.backward()
    # exp(0.5) > 1.28 with A > 0, and exp(-0.5) < 0.8 with A < 0, are clipped; the others push back.
    assert (logprobs.grad.squeeze(1) == 0).tolist() == [True, False, False, True]
    assert metrics == {"clipped_tokens": 2, "exploded_tokens": 0}


def test_clip_higher_leaves_more_room_above_than_below():
    old = torch.zeros(2, 1)
    logprobs = torch.log(torch.tensor([[1.25], [0.75]])).requires_grad_()
    advantages = torch.tensor([1.0, -1.0])
    loss, metrics = algorithm("grpo").loss(inputs(logprobs, advantages, advantages, old_logprobs=old))
    loss.backward()
    assert (logprobs.grad.squeeze(1) == 0).tolist() == [False, True]
    assert metrics["clipped_tokens"] == 1


def test_one_ratio_for_a_sequence_is_the_geometric_mean():
    old = torch.zeros(1, 2)
    logprobs = torch.tensor([[math.log(4.0), math.log(0.25)]], requires_grad=True)
    advantages = torch.tensor([1.0])
    by_token, counted = algorithm("grpo", length="token").loss(
        inputs(logprobs, advantages, advantages, old_logprobs=old)
    )
    together, free = algorithm("grpo", length="token", ratio="sequence").loss(
        inputs(logprobs, advantages, advantages, old_logprobs=old)
    )
    assert by_token.item() == pytest.approx(-(1.28 + 0.25) / 2)
    assert together.item() == pytest.approx(-1.0)
    assert (counted["clipped_tokens"], free["clipped_tokens"]) == (1, 0)


@pytest.mark.parametrize("name", ["rloo", "reinforce", "self_critical", "mixer", "grpo"])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_exploding_ratios_stay_finite_carry_no_gradient_and_are_counted(name, advantage):
    logprobs = torch.tensor([[0.0, 0.0], [-0.1, -0.1]], requires_grad=True)
    old = torch.tensor([[-500.0, -500.0], [-0.1, -0.1]])
    advantages = torch.tensor([advantage, advantage])
    loss, metrics = algorithm(name).loss(inputs(logprobs, advantages, advantages, old_logprobs=old, reused=True))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logprobs.grad).all()
    assert (logprobs.grad[0] == 0).all() and (logprobs.grad[1] != 0).all()
    assert metrics.get("exploded_tokens", 0) + metrics.get("exploded_sequences", 0) == (2 if name == "grpo" else 1)


@pytest.mark.parametrize("name", ["rloo", "reinforce", "self_critical", "mixer"])
def test_the_ratio_of_a_sequence_is_clipped_where_the_options_say(name):
    """Ratios e^0.5 = 1.65 and e^-0.5 = 0.61, of two tokens each; with a clip of 0.3 they count as 1.3 and as 0.7."""
    logprobs = torch.tensor([[0.25, 0.25], [-0.25, -0.25]], requires_grad=True)
    values = torch.tensor([1.0, -2.0])
    step = inputs(logprobs, values, values, old_logprobs=torch.zeros(2, 2), reused=True)
    for clip, expected, acted in ((0.3, -(1.3 - 1.4) / 2, 2), (0.9, -(math.exp(0.5) - 2 * math.exp(-0.5)) / 2, 0)):
        loss, metrics = algorithm(name, clip=clip).loss(step)
        assert loss.item() == pytest.approx(expected)
        assert metrics["clipped_sequences"] == acted
    _, metrics = algorithm(name, max_ratio=1.5).loss(step)
    assert metrics["exploded_sequences"] == 1


@pytest.mark.parametrize("name", ["rloo", "reinforce", "self_critical", "mixer"])
def test_reused_samples_give_the_same_gradient_while_the_policy_has_not_moved(name):
    logprobs = torch.tensor([[-0.5, -0.2], [-0.1, -0.9]], requires_grad=True)
    advantages = torch.tensor([1.0, -0.5])
    gradients = []
    for reused in (False, True):
        loss, _ = algorithm(name).loss(inputs(logprobs, advantages, advantages, reused=reused))
        gradients.append(torch.autograd.grad(loss, logprobs)[0])
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("reused", [False, True])
def test_the_end_gets_gradient_and_nothing_after_it_does(name, reused):
    logprobs = torch.full((2, 3), -0.1, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    values = torch.tensor([1.0, -1.0])
    loss, _ = algorithm(name).loss(inputs(logprobs, values, values, mask, reused=reused))
    loss.backward()
    assert logprobs.grad[0, 2] == 0
    assert (logprobs.grad[mask] != 0).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in ALL]
    + [("grpo", {"length": "sequence"}), ("grpo", {"length": "sequence", "ratio": "sequence"})],
)
@pytest.mark.parametrize("reused", [False, True])
def test_a_sequence_of_which_nothing_was_drawn_has_no_part(name, options, reused):
    """As where the whole translation was given: no token of it is an action."""
    logprobs = torch.full((2, 2), -0.1, requires_grad=True)
    mask = torch.tensor([[False, False], [True, True]])
    values = torch.tensor([1.0, -1.0])
    loss, metrics = algorithm(name, **options).loss(
        inputs(logprobs, values, values, mask, old_logprobs=torch.full((2, 2), -30.0), reused=reused)
    )
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logprobs.grad).all()
    assert not logprobs.grad[0].any()
    assert metrics.get("exploded_sequences", 1.0) == 1.0 and metrics.get("exploded_tokens", 2.0) == 2.0


def test_each_token_may_have_an_advantage_of_its_own():
    ratios = torch.tensor([[1.1, 0.9], [1.0, 1.2]])
    logprobs = ratios.log().requires_grad_()
    advantages = torch.tensor([[2.0, -3.0], [0.5, 1.0]])
    loss, _ = algorithm("grpo", length="token").loss(
        inputs(logprobs, advantages[:, 0], advantages, old_logprobs=torch.zeros(2, 2))
    )
    assert loss.item() == pytest.approx(-(2.2 - 2.7 + 0.5 + 1.2) / 4)
    loss.backward()
    assert torch.allclose(logprobs.grad, -ratios * advantages / 4)


@pytest.mark.parametrize("name", ALL)
def test_nothing_judged_is_no_gradient_and_no_nan(name):
    rewards = torch.full((2, 3), math.nan)
    chosen = algorithm(name)
    advantages = chosen.advantages(AdvantageInputs(rewards, ["en-es", "en-fr"], torch.full((2,), math.nan)))
    assert not advantages.any()
    logprobs = torch.full((6, 2), -0.1, requires_grad=True)
    loss, _ = chosen.loss(inputs(logprobs, rewards.flatten(), advantages.flatten(), samples=3))
    loss.backward()
    assert float(loss.detach()) == 0 and not logprobs.grad.any()


def test_the_rewards_of_the_problem_differ():
    assert len(set(REWARD.values())) == len(REWARD)
