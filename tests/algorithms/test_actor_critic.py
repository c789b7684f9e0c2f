"""Returns and advantages against tables made by hand and a plain loop; A2C and PPO on the enumerated problem."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from eclectus.algorithms import returns
from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.critic import Critic
from eclectus.algorithms.losses import StepSize
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from tests.algorithms.enumerated import REWARD, algorithm, exact_gradient, groups, inputs, rows, some_logits

NAN = math.nan


def test_the_whole_reward_stands_at_the_last_sampled_token():
    mask = torch.tensor([[[True, True, True], [True, False, False], [False, True, False], [False, False, False]]])
    found = returns.at_last_token(torch.tensor([[0.5, 0.7, 0.9, 1.0]]), mask)
    assert found.tolist() == [[[0, 0, 0.5], [pytest.approx(0.7), 0, 0], [0, pytest.approx(0.9), 0], [0, 0, 0]]]


# rewards, values, gamma, lambda -> advantages; computed by hand
GAE = [
    # lambda 1: returns 6 5 3 minus values
    ([1.0, 2.0, 3.0], [0.5, 1.0, 2.0], 1.0, 1.0, [5.5, 4.0, 1.0]),
    # lambda 0: the temporal-difference errors 1 + 1 - 0.5, 2 + 2 - 1, 3 - 2
    ([1.0, 2.0, 3.0], [0.5, 1.0, 2.0], 1.0, 0.0, [1.5, 3.0, 1.0]),
    # gamma 1/2: errors 1, 2, 1; times 1/4 from each to the one before
    ([1.0, 2.0, 3.0], [0.5, 1.0, 2.0], 0.5, 0.5, [1.0 + 0.25 * 2.25, 2.0 + 0.25 * 1.0, 1.0]),
    # a reward at the end only
    ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0], 0.5, 1.0, [0.25, 0.5, 1.0]),
]


@pytest.mark.parametrize(("rewards", "values", "gamma", "lam", "expected"), GAE)
def test_generalised_advantages_against_values_computed_by_hand(rewards, values, gamma, lam, expected):
    # behind the end, and in a given prefix, stands garbage that must not be seen
    padded = [torch.tensor([[9.0, *row, 9.0, -9.0]]) for row in (rewards, values)]
    mask = torch.tensor([[False, True, True, True, False, False]])
    found = returns.generalised_advantages(*padded, mask, gamma, lam)
    assert found[0].tolist() == pytest.approx([0.0, *expected, 0.0, 0.0])


def test_vectorised_equals_a_loop():
    generator = torch.Generator().manual_seed(2)
    rewards, values = (torch.randn(4, 5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    lengths = torch.randint(0, 8, (4, 5), generator=generator)
    mask = torch.arange(7) < lengths[..., None]
    found = returns.generalised_advantages(rewards, values, mask, 0.9, 0.7)
    summed = returns.discounted(rewards * mask, 0.9)
    for b in range(4):
        for g in range(5):
            length = int(lengths[b, g])
            for t in range(7):
                expected, plain = 0.0, 0.0
                for k in range(t, length):
                    following = float(values[b, g, k + 1]) if k + 1 < length else 0.0
                    delta = float(rewards[b, g, k]) + 0.9 * following - float(values[b, g, k])
                    expected += (0.9 * 0.7) ** (k - t) * delta
                    plain += 0.9 ** (k - t) * float(rewards[b, g, k])
                assert float(found[b, g, t]) == pytest.approx(expected, abs=1e-12)
                assert float(summed[b, g, t]) == pytest.approx(plain, abs=1e-12)


def test_an_episode_of_one_token():
    assert returns.discounted(torch.tensor([[2.0]]), 0.5).tolist() == [[2.0]]


def test_explained_variance_of_known_critics():
    targets = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert returns.explained_variance(targets, targets) == 1.0
    assert returns.explained_variance(targets, torch.full((4,), 3.0)) == 0.0
    assert returns.explained_variance(targets, -targets) == pytest.approx(-3.0)
    assert returns.explained_variance(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])) == pytest.approx(0.75)
    assert returns.explained_variance(torch.ones(4), targets) is None
    assert returns.explained_variance(torch.ones(1), torch.ones(1)) is None


# --- the three-token, two-step problem: the state is the prefix, one of nothing, 1 and 2


def states_of(group):
    """One-hot states [G, 2, 3] of the two steps; the second state of a sequence that has ended is the first."""
    second = [int(row.tokens[0]) if row.mask[1] else 0 for row in group]
    return torch.eye(3, dtype=torch.float64)[torch.tensor([[0, s] for s in second])]


class Table(torch.nn.Module):
    """A critic that has one value for each state."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, states):
        return states @ self.values


def perfect(logits):
    """The value of each prefix under the policy."""
    found = rows(logits.detach())
    values = [float(sum(row.probability * row.reward for row in found))]
    for first in (1, 2):
        below = [row for row in found if row.tokens[0] == first]
        values.append(float(sum(row.logprobs[1].exp() * row.reward for row in below)))
    return values


WRONG = [-3.0, -1.0, 0.5]


def signals_of(chosen, group, **more):
    rewards = torch.tensor([[row.reward for row in group]], dtype=torch.float64)
    return chosen.signals(
        AdvantageInputs(
            rewards,
            ["en-es"],
            mask=torch.stack([row.mask for row in group])[None],
            logprobs=torch.stack([row.logprobs.detach() for row in group])[None],
            states=states_of(group)[None],
            **more,
        )
    )


def loss_of(chosen, group, **more):
    signals = signals_of(chosen, group, **more)
    step = inputs(
        torch.stack([row.logprobs for row in group]),
        torch.tensor([row.reward for row in group]),
        signals.advantages[0],
        torch.stack([row.mask for row in group]),
        states=states_of(group),
        targets=signals.targets[0],
        values=signals.values[0],
    )
    return chosen.loss(step)[0]


def expected_update(logits, name, critic, size=1, references=None, **options):
    chosen = algorithm(name, **options)
    chosen.module = Table(critic)
    total = torch.zeros_like(logits)
    for probability, group in groups(rows(logits), size):
        more = {}
        if references is not None:
            more["reference_logprobs"] = torch.stack([references[tuple(row.tokens.tolist())] for row in group])[None]
        total -= probability * torch.autograd.grad(loss_of(chosen, group, **more), logits, retain_graph=True)[0]
    return total


@pytest.fixture
def logits():
    return some_logits()


@pytest.mark.parametrize("critic", ["perfect", "wrong"])
def test_a2c_with_lambda_one_is_unbiased_whatever_the_critic(logits, critic):
    values = perfect(logits) if critic == "perfect" else WRONG
    assert torch.allclose(expected_update(logits, "a2c", values), exact_gradient(logits), atol=1e-10)


@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_with_a_perfect_critic_a2c_is_unbiased_for_any_lambda(logits, lam):
    update = expected_update(logits, "a2c", perfect(logits), gae_lambda=lam)
    assert torch.allclose(update, exact_gradient(logits), atol=1e-10)


def test_with_a_wrong_critic_and_lambda_zero_a2c_is_biased(logits):
    exact = exact_gradient(logits)
    update = expected_update(logits, "a2c", WRONG, gae_lambda=0.0)
    # It says that token 1 leads nowhere, so the probability of token 1 falls where it should rise.
    assert update[0, 1] < 0 < exact[0, 1]
    assert cosine_similarity(update.flatten(), exact.flatten(), dim=0) < 0.5
    # The bias is where the critic is believed: the last step has its reward and no later value.
    assert torch.allclose(update[1:], exact[1:], atol=1e-10)


def test_a_perfect_critic_leaves_less_noise_than_none(logits):
    def noise(critic):
        chosen, total = algorithm("a2c"), 0.0
        chosen.module = Table(critic)
        for row in rows(logits):
            gradient = -torch.autograd.grad(loss_of(chosen, [row]), logits, retain_graph=True)[0]
            total += float(row.probability.detach()) * float((gradient - exact_gradient(logits)).square().sum())
        return total

    assert noise(perfect(logits)) < 0.6 * noise([0.0, 0.0, 0.0])


def test_first_update_of_ppo_is_that_of_a2c(logits):
    """With fresh samples the ratio is 1; a constant length divides by a number that the samples do not change."""
    options = {"gae_lambda": 1.0, "normalise": False}
    assert torch.allclose(expected_update(logits, "ppo", WRONG, **options), exact_gradient(logits), atol=1e-10)
    divided = expected_update(logits, "ppo", WRONG, **options, length="constant", constant_length=4)
    assert torch.allclose(4 * divided, exact_gradient(logits), atol=1e-10)


def test_kl_in_the_reward_has_the_exact_gradient_of_reward_minus_kl(logits):
    start = (logits + torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)).detach()
    references = {tuple(row.tokens.tolist()): row.logprobs for row in rows(start)}
    both = zip(rows(logits), rows(start), strict=True)
    kl = sum(own.probability * (own.logprobs.sum() - other.logprobs.sum()) for own, other in both)
    wanted = exact_gradient(logits) - 0.3 * torch.autograd.grad(kl, logits, retain_graph=True)[0]
    update = expected_update(logits, "a2c", WRONG, references=references, kl_in_reward=0.3)
    assert torch.allclose(update, wanted, atol=1e-10)


def test_the_critic_learns_the_values_of_the_policy(logits):
    """Gradient descent on its expected loss over all sequences ends at the value of each prefix."""
    chosen = algorithm("a2c")
    chosen.module = Table([0.0, 0.0, 0.0])
    optimizer = torch.optim.SGD(chosen.module.parameters(), lr=1.0)
    for _ in range(100):
        for row in rows(logits.detach()):
            # The loss of a step is a mean over its tokens.
            (row.probability * row.mask.sum() * loss_of(chosen, [row])).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert chosen.module.values.tolist() == pytest.approx(perfect(logits), abs=1e-3)


def test_rewards_of_tokens_give_other_advantages_with_the_same_expected_update(logits):
    """Splitting a reward over the tokens moves noise, not the mean: here 0.4 of it is earned at the first token."""
    chosen, total = algorithm("a2c"), torch.zeros_like(logits)
    chosen.module = Table(WRONG)
    for row in rows(logits):
        split = torch.tensor([[[0.4, 0.6]]]) * row.reward if row.mask[1] else torch.tensor([[[row.reward, 0.0]]])
        loss = loss_of(chosen, [row], token_rewards=split)
        total -= row.probability.detach() * torch.autograd.grad(loss, logits, retain_graph=True)[0]
    # The first token's own reward is behind the second, which therefore has 0.6 of the signal.
    exact = exact_gradient(logits)
    assert torch.allclose(total[0], exact[0], atol=1e-7)
    assert torch.allclose(total[1:], 0.6 * exact[1:], atol=1e-7)


# --- gradients of the two parts


@pytest.mark.parametrize(("trunk", "share"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_the_share_of_the_value_loss_that_reaches_the_policys_states(logits, trunk, share):
    group = rows(logits)
    chosen = algorithm("a2c", trunk=trunk)
    chosen.module = Table(WRONG)
    states = states_of(group).requires_grad_()
    signals = signals_of(chosen, group)
    mask = torch.stack([row.mask for row in group])
    step = inputs(
        torch.stack([row.logprobs for row in group]).detach(),
        torch.tensor([row.reward for row in group]),
        signals.advantages[0],
        mask,
        states=states,
        targets=signals.targets[0],
        values=signals.values[0],
    )
    loss, _ = chosen.loss(step)
    (gradient,) = torch.autograd.grad(loss, states, allow_unused=True)
    whole = torch.tensor(WRONG) * torch.where(mask, signals.values[0] - signals.targets[0], 0.0)[..., None] / mask.sum()
    assert torch.allclose(torch.zeros_like(whole) if gradient is None else gradient, share * whole, atol=1e-7)


def test_end_of_sequence_gets_gradient_and_nothing_after_it(logits):
    group = [rows(logits)[0], rows(logits)[2]]  # ends at once, and after two tokens
    logprobs = torch.stack([row.logprobs for row in group]).detach().requires_grad_()
    for name in ("a2c", "ppo"):
        chosen = algorithm(name)
        chosen.module = Table(WRONG)
        signals = signals_of(chosen, group)
        mask = torch.stack([row.mask for row in group])
        loss, _ = chosen.loss(
            inputs(
                logprobs,
                torch.zeros(2),
                signals.advantages[0],
                mask,
                states=states_of(group),
                targets=signals.targets[0],
                values=signals.values[0],
            )
        )
        assert (torch.autograd.grad(loss, logprobs)[0] != 0).tolist() == mask.tolist(), name


def test_ppo_counts_what_the_clip_takes_and_cuts_ratios_that_exploded():
    """Four tokens of ratio 0.5, 1, 1.5 and 20; the last is worse than expected and limited to 10."""
    chosen = algorithm("ppo")
    chosen.module = Table(WRONG)
    logprobs = torch.tensor([[0.5, 1.0, 1.5, 20.0]]).log().requires_grad_()
    loss, metrics = chosen.loss(
        inputs(
            logprobs,
            torch.zeros(1),
            torch.tensor([[1.0, 1.0, 1.0, -1.0]]),
            old_logprobs=torch.zeros(1, 4),
            states=torch.zeros(1, 4, 3, dtype=torch.float64),
            targets=torch.full((1, 4), NAN),
            values=torch.zeros(1, 4),
        )
    )
    assert loss.item() == pytest.approx(-(0.5 + 1.0 + 1.2 - 10.0))
    assert torch.autograd.grad(loss, logprobs)[0].tolist()[0] == pytest.approx([-0.5, -1, 0, 0])
    wanted = {"clipped_tokens": 1, "clipped_fraction": 0.25, "exploded_tokens": 1, "value_loss": 0}
    assert metrics == pytest.approx(wanted)


def test_the_loss_of_a2c_by_hand():
    """Two sequences of two and of one token; what stands behind the end of the second must not be seen."""
    chosen = algorithm("a2c")
    chosen.module = Table(WRONG)
    step = inputs(
        torch.tensor([[-0.5, -1.0], [-2.0, -9.0]]),
        torch.zeros(2),
        torch.tensor([[1.0, 2.0], [-1.0, 5.0]]),
        torch.tensor([[True, True], [True, False]]),
        states=torch.zeros(2, 2, 3, dtype=torch.float64),
        targets=torch.full((2, 2), NAN),
        values=torch.zeros(2, 2),
    )
    assert chosen.loss(step)[0].item() == pytest.approx((0.5 * 1 + 1.0 * 2 + 2.0 * -1) / 2)


def test_the_value_loss_is_divided_by_the_tokens_of_the_step():
    chosen = algorithm("a2c")
    chosen.module = Table([1.0, 2.0, 3.0])
    step = inputs(
        torch.zeros(1, 3),
        torch.zeros(1),
        torch.zeros(1),
        states=torch.eye(3, dtype=torch.float64)[None],
        targets=torch.tensor([[1.5, NAN, 1.0]], dtype=torch.float64),
        values=torch.zeros(1, 3),
        size=StepSize(4.0, 10.0, 1.0, 4.0),
    )
    loss, metrics = chosen.value_loss(step)
    assert loss.item() == metrics["value_loss"] == pytest.approx((0.5**2 + 2.0**2) / 2 / 10)


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_critic_says_nothing_at_first_and_does_not_see_the_scale_of_states(hidden):
    critic, states = Critic(8, hidden), torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(critic(states), torch.zeros(2, 3))
    shapes = [(5, 8), (5,), (1, 5), (1,)] if hidden else [(1, 8), (1,)]
    assert [tuple(weights.shape) for weights in critic.parameters()] == shapes
    torch.nn.init.normal_(critic.value.weight, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(critic(7 * states + 3), critic(states), atol=1e-4) and critic(states).abs().min() > 0


def test_targets_are_returns_whatever_is_done_to_the_advantages(logits):
    group = rows(logits)
    found = {}
    for normalise in (False, True):
        chosen = algorithm("ppo", normalise=normalise)
        chosen.module = Table(WRONG)
        found[normalise] = signals_of(chosen, group)
        assert not any(x.requires_grad for x in (found[normalise].targets, found[normalise].advantages))
    plain, scaled = found[False], found[True]
    known = plain.targets.isfinite()
    explained = returns.explained_variance(plain.targets[known], plain.values[known])
    assert plain.metrics == scaled.metrics == {"explained_variance": explained}
    assert signals_of(chosen, group[:1]).metrics == {}  # one target does not vary
    assert torch.equal(plain.targets.nan_to_num(nan=9.0), scaled.targets.nan_to_num(nan=9.0))
    mask = torch.stack([row.mask for row in group])[None]
    expected = returns.normalised(plain.advantages, mask)
    assert torch.allclose(scaled.advantages, torch.where(mask, expected, 0.0))


def test_the_policy_waits_for_the_critic():
    chosen = algorithm("a2c", critic_steps=2)
    assert [chosen.policy_learns(step) for step in (1, 2, 3, 4)] == [False, False, True, True]


# --- what was not judged, and what cannot be


def test_samples_that_nobody_judged_teach_neither_policy_nor_critic(logits):
    group = rows(logits)[1:3]
    for name in ("a2c", "ppo"):
        chosen = algorithm(name)
        chosen.module = Table(WRONG)
        signals = chosen.signals(
            AdvantageInputs(
                torch.tensor([[0.9, NAN], [math.inf, NAN]], dtype=torch.float64),
                ["en-es"] * 2,
                mask=torch.ones(2, 2, 2, dtype=torch.bool),
                states=torch.stack([states_of(group)] * 2),
            )
        )
        assert signals.targets[0, 0].isfinite().all() and not signals.targets[0, 1].isfinite().any()
        assert not signals.targets[1].isfinite().any()
        assert signals.advantages[0, 0].any()
        assert not signals.advantages[0, 1].any() and not signals.advantages[1].any()
        assert signals.advantages.isfinite().all()


def test_normalised_advantages_have_mean_zero_and_deviation_one_over_judged_tokens():
    advantages = torch.tensor([[1.0, 3.0, 99.0], [5.0, 7.0, 99.0]])
    known = torch.tensor([[True, True, False]] * 2)
    found = returns.normalised(advantages, known, epsilon=0.0)[known]
    deviation = math.sqrt(20 / 3)  # of 1 3 5 7
    assert found.tolist() == pytest.approx([-3 / deviation, -1 / deviation, 1 / deviation, 3 / deviation])
    softened = returns.normalised(advantages, known, epsilon=1.0)[known]
    assert torch.allclose(softened, found * deviation / (deviation + 1))
    two = torch.tensor([[True, True, False], [False, False, False]])
    assert returns.normalised(advantages, two, epsilon=0.0)[two].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])
    one = torch.tensor([[True, False, False], [False, False, False]])
    assert torch.equal(returns.normalised(advantages, one), advantages)


def test_what_a_critic_cannot_do_without_is_named(logits):
    chosen, group = algorithm("a2c", kl_in_reward=0.1), rows(logits)[1:3]
    chosen.module = Table(WRONG)
    whole = {
        "rewards": torch.tensor([[0.9, 0.2]], dtype=torch.float64),
        "directions": ["en-es"],
        "mask": torch.ones(1, 2, 2, dtype=torch.bool),
        "states": states_of(group)[None],
        "logprobs": torch.zeros(1, 2, 2),
        "reference_logprobs": torch.zeros(1, 2, 2),
    }
    chosen.signals(AdvantageInputs(**whole))
    for name in ("mask", "states"):
        with pytest.raises(ValueError, match="needs the mask and the states"):
            chosen.signals(AdvantageInputs(**{**whole, name: None}))
    for name in ("logprobs", "reference_logprobs"):
        with pytest.raises(ValueError, match="kl_in_reward needs the log-probabilities"):
            chosen.signals(AdvantageInputs(**{**whole, name: None}))


def settings(**changes):
    reward = {"terms": [{"type": "constant"}]}
    task = {"name": "toy", "directions": ["en-es"], "reward": reward, "kl": changes.pop("kl", 0.0)}
    return ReinforceConfig(**{"tasks": [task], **changes})


def test_a_single_sample_that_is_compared_with_itself_is_refused():
    """Standardised among the samples of its source it is 0, so that nothing would be learnt."""
    task = settings().tasks[0].model_dump() | {"reward": {"terms": [{"type": "constant"}], "normalise": "source"}}
    alone = settings(tasks=[task], samples=1)
    for name in ("reinforce", "a2c", "ppo"):
        with pytest.raises(ConfigError, match=r"'toy' has normalise: source.*set samples higher"):
            algorithm(name).check(alone)
        algorithm(name).check(settings(tasks=[task], samples=2))
        algorithm(name).check(settings(samples=1))
    algorithm("self_critical").check(alone)  # its greedy translation is one more


@pytest.mark.parametrize("name", ["a2c", "ppo"])
def test_kl_that_would_count_twice_is_refused(name):
    chosen = algorithm(name, kl_in_reward=0.05)
    assert chosen.needs_reference_logprobs and not algorithm(name).needs_reference_logprobs
    chosen.check(settings())
    algorithm(name).check(settings(kl=0.1))
    with pytest.raises(ConfigError, match=r"'toy' has a KL term of its own, .* set kl: 0 there, or kl_in_reward: 0"):
        chosen.check(settings(kl=0.1))


@pytest.mark.parametrize("changes", [{"updates": 2}, {"minibatches": 2}])
def test_a2c_refuses_to_use_samples_again(changes):
    algorithm("a2c").check(settings())
    algorithm("ppo").check(settings(**changes))
    with pytest.raises(ConfigError, match=r"'a2c' has no ratio, .* or take the algorithm 'ppo'"):
        algorithm("a2c").check(settings(**changes))


def test_more_minibatches_than_sources_are_refused():
    with pytest.raises(ValueError, match="5 minibatches cannot be made of 4 segments"):
        settings(segments=4, minibatches=5)


def test_every_sequence_has_a_state(logits):
    assert len(REWARD) == len(rows(logits)) and set(states_of(rows(logits)).argmax(-1).flatten().tolist()) == {0, 1, 2}
