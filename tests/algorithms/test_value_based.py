"""On a problem small enough to enumerate, values learnt over a real model are the exact ones, and so is the policy."""

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.algorithms.replay import Episode
from eclectus.config import ReinforceConfig
from eclectus.errors import ConfigError
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import within_budget
from tests.algorithms.enumerated import REWARD, algorithm
from tests.tiny import segments, tiny_policy

NETWORK = {"hidden": 32, "rank": 8, "batch": 16, "beta": 0.0, "n_step": 1}
PREFIXES = [(), (1,), (2,)]


@pytest.fixture
def policy():
    """Says three tokens only: the end, and two more; anything else has no probability."""
    policy = tiny_policy()
    tokens = [policy.end_id, 30, 40]
    policy.tokens = tokens
    policy._bias[:] = float("-inf")
    policy._bias[tokens] = 0.0
    # Far from uniform, and no logit of the model itself is lost.
    policy.model.final_logits_bias[0, tokens] = torch.tensor([0.0, 0.5, -0.5])
    return policy


@pytest.fixture
def source(policy):
    return policy.tokenize_sources(segments("en", "es")[:1])[0]


def episode(policy, source, sequence, reward, *, rewards=None, ended=True):
    tokens = tuple(policy.tokens[i] for i in sequence)
    return Episode(source, tokens, rewards or (*[0.0] * (len(tokens) - 1), reward), ended)


def every(policy, source):
    return [episode(policy, source, sequence, reward) for sequence, reward in REWARD.items()]


def hidden(policy, source, prefixes=PREFIXES):
    """States of prefixes, scaled as the head takes them."""
    rows = []
    for prefix in prefixes:
        tokens = torch.tensor([[*(policy.tokens[i] for i in prefix), 0]])
        rows.append(policy.states([source], tokens)[0, -1])
    return policy.predicted(torch.stack(rows)).hidden


@torch.no_grad()
def table(policy, source, guide):
    """Q of the three tokens, [3 prefixes, 3]."""
    return guide.values(hidden(policy, source))[:, policy.tokens]


@torch.no_grad()
def probabilities(policy, source, temperature=1.0, prefixes=PREFIXES):
    """Of the three tokens after each prefix, as the policy samples them."""
    rows = []
    for prefix in prefixes:
        stepper = policy.stepper([source], 1, 4)
        last = source.start[-1]
        for i in prefix:
            stepper.step(torch.tensor([last]))
            last = policy.tokens[i]
        rows.append(torch.softmax(stepper.step(torch.tensor([last]))[0] / temperature, dim=-1)[policy.tokens])
    return torch.stack(rows)


def exact(choose):
    """Backward induction: `choose(prefix, values of the three tokens)` is what a state is worth."""
    second = {prefix: torch.tensor([REWARD[prefix[0], a] for a in range(3)]) for prefix in PREFIXES[1:]}
    first = torch.tensor([REWARD[0,], *(choose(prefix, second[prefix]) for prefix in PREFIXES[1:])])
    return torch.stack([first, second[1,], second[2,]])


def fill(memory, episodes):
    for row in episodes:
        memory.add(row)


def learn(chosen, policy, episodes, steps=250, sampling=None, rate=5e-3):
    chosen.build(policy, 1)
    fill(chosen.rollouts, episodes)
    optimizer = torch.optim.Adam(chosen.online.parameters(), lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        metrics = chosen.accumulate(policy, sampling or Sampling(1.0, 2), 10_000, step)
        optimizer.step()
        optimizer.zero_grad()
        chosen.moved()
    return metrics


@pytest.mark.parametrize("options", [{}, {"double": False}], ids=str)
def test_q_learning_finds_the_values_of_the_best_policy_whoever_acted(policy, source, options):
    chosen = algorithm("q_learning", **NETWORK, **options)
    metrics = learn(chosen, policy, every(policy, source))
    expected = exact(lambda prefix, values: values.max())
    assert expected[0].tolist() == pytest.approx([0.1, 0.9, 0.7])
    assert torch.allclose(table(policy, source, chosen.online), expected, atol=0.03)
    assert metrics["value_at_start"] == pytest.approx(0.9, abs=0.03)


def test_expected_sarsa_finds_the_values_of_its_own_policy_whoever_acted(policy, source):
    for sampling in (Sampling(0.7, 2), Sampling(1.0, 2, 0.5, 2)):
        policy = _again(policy)
        own = probabilities(policy, source, sampling.temperature)
        if sampling.epsilon:  # half uniform over the two likeliest
            best = own.topk(2, dim=-1).indices
            own = 0.5 * own + torch.zeros_like(own).scatter_(1, best, 0.25)
        chosen = algorithm("expected_sarsa", **NETWORK)
        learn(chosen, policy, every(policy, source), sampling=sampling)
        expected = exact(lambda prefix, values, own=own: own[prefix[0]] @ values)
        assert torch.allclose(table(policy, source, chosen.online), expected, atol=0.03)


def _again(policy):
    """The same policy without a guide."""
    fresh = tiny_policy()
    fresh.tokens, fresh._bias = policy.tokens, policy._bias
    fresh.model.final_logits_bias.copy_(policy.model.final_logits_bias)
    return fresh


def test_sarsa_finds_the_values_of_the_policy_that_acted(policy, source):
    """After token 1 it said 0, 1, 2 in shares of 1/2, 1/4, 1/4; after token 2 always 2."""
    acted = {(1, 0): 2, (1, 1): 1, (1, 2): 1, (2, 2): 3, (0,): 1}
    episodes = [episode(policy, source, s, REWARD[s]) for s, count in acted.items() for _ in range(count)]
    chosen = algorithm("sarsa", **NETWORK, tau=0.02)
    learn(chosen, policy, episodes, steps=500)
    found = table(policy, source, chosen.online)
    expected = exact(lambda prefix, values: {1: values @ torch.tensor([0.5, 0.25, 0.25]), 2: values[2]}[prefix[0]])
    assert expected[0].tolist() == pytest.approx([0.1, 0.6, 0.3])
    tried = torch.tensor([[True] * 3, [True] * 3, [False, False, True]])
    assert torch.allclose(found[tried], expected[tried], atol=0.03)


def test_n_steps_to_the_end_are_returns_without_any_value(policy, source):
    """With two steps SARSA's target is the return; the target network has no part in it."""
    chosen = algorithm("sarsa", **{**NETWORK, "n_step": 2})
    chosen.build(policy, 1)
    with torch.no_grad():
        chosen.target.state.bias.fill_(100.0)
    batch = every(policy, source)
    fill(chosen.rollouts, batch)
    chosen.accumulate(policy, Sampling(1.0, 2), 10_000, 0)
    assert max(abs(p.grad).max() for p in chosen.online.parameters() if p.grad is not None) < 10
    assert chosen.online.state.bias.grad.item() == pytest.approx(-_mean_return(chosen), abs=1e-5)


WAYS = {
    "q_learning": lambda online, target, acts, said: target[online.argmax()],
    "single": lambda online, target, acts, said: target.max(),
    "sarsa": lambda online, target, acts, said: acts @ target if said is None else target[said],
    "expected_sarsa": lambda online, target, acts, said: acts @ target,
}
"""What a state is worth, from the values of its three tokens in both networks and how the policy acts there."""


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("cut", ["ends", "continues"])
@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradient_equal_a_loop_over_tokens(policy, source, way, cut, steps, monkeypatch):
    """Two networks that have nothing in common, a discount, exploration at a temperature, and one translation cut."""
    options = {**NETWORK, "beta": 2.0, "gamma": 0.5, "n_step": steps, "conservative": 0.3, "cut": cut}
    single = {"double": False} if way == "single" else {}
    chosen = algorithm("q_learning" if single else way, **options, **single)
    chosen.build(policy, 1)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weights in (*chosen.online.parameters(), *chosen.target.parameters()):
            weights.normal_(0, 0.4, generator=generator)
    said = [(1, 0), (2, 1), (1, 1), (0,)]
    batch = [
        episode(policy, source, (1, 0), 0.9),
        episode(policy, source, (2, 1), 0.7, rewards=(0.25, 0.5)),
        episode(policy, source, (1, 1), 0.0, rewards=(0.125, 0.25), ended=False),
        episode(policy, source, (0,), 0.1),
    ]
    monkeypatch.setattr(chosen, "_batch", lambda *purpose: batch)
    prefixes = [*PREFIXES, (1, 1)]
    acts = probabilities(policy, source, 0.7, prefixes)
    acts = 0.5 * acts + torch.zeros_like(acts).scatter_(1, acts.topk(2, dim=-1).indices, 0.25)
    states = hidden(policy, source, prefixes).detach()
    online, target = (guide.values(states)[:, policy.tokens] for guide in (chosen.online, chosen.target))
    target = target.detach()

    def worth(prefix, token):
        at = prefixes.index(prefix)
        return WAYS[way](online[at].detach(), target[at], acts[at], token)

    found, squared, excess, start = [], 0.0, 0.0, 0.0
    for sequence, row in zip(said, batch, strict=True):
        start += worth((), sequence[0])
        for t, token in enumerate(sequence):
            ahead = min(steps, len(sequence) - t)
            wanted = sum(0.5**k * row.rewards[t + k] for k in range(ahead))
            if t + ahead < len(sequence):
                wanted = wanted + 0.5**ahead * worth(sequence[: t + ahead], sequence[t + ahead])
            elif cut == "continues" and not row.ended:
                wanted = wanted + 0.5**ahead * worth(sequence, None)
            values = online[prefixes.index(sequence[:t])]
            squared = squared + (values[token] - wanted) ** 2 / 2
            excess = excess + torch.logsumexp(values, 0) - values[token]
            found.append(values[token])
    loss = (squared + 0.3 * excess) / 7
    expected = torch.autograd.grad(loss, list(chosen.online.parameters()), allow_unused=True)
    for budget in (1, 10_000):
        metrics = chosen.accumulate(policy, Sampling(0.7, 2, 0.5, 2), budget, 0)
        for weights, by_hand in zip(chosen.online.parameters(), expected, strict=True):
            own, weights.grad = weights.grad, None
            assert torch.allclose(own, torch.zeros_like(own) if by_hand is None else by_hand, atol=1e-5)
        by_hand = {"loss": loss, "q_loss": squared / 7, "conservative_loss": excess / 7, "q": sum(found) / 7}
        by_hand |= {"value_at_start": start / 4, "return": torch.tensor((0.9 + 0.75 + 0.375 + 0.1) / 4)}
        for name, value in by_hand.items():
            assert metrics[name] == pytest.approx(value.item(), abs=1e-5), name


def test_one_translation_is_its_own_mean(policy, source):
    chosen = algorithm("sarsa", **{**NETWORK, "batch": 1})
    chosen.build(policy, 1)
    with torch.no_grad():
        chosen.target.state.bias.fill_(3.0)
    fill(chosen.rollouts, [episode(policy, source, (1, 0), 0.5)])
    metrics = chosen.accumulate(policy, Sampling(1.0, 2), 10_000, 0)
    assert metrics["return"] == 0.5 and metrics["value_at_start"] == pytest.approx(3.0)
    assert metrics["replay"] == 1 and metrics["demonstrations"] == metrics["replay_refused"] == metrics["beta"] == 0


def test_a_batch_has_its_share_of_references_and_is_drawn_anew_each_time(policy, source):
    chosen = algorithm("q_learning", **{**NETWORK, "batch": 8}, demonstrations=0.25)
    chosen.build(policy, 1)
    fill(chosen.rollouts, every(policy, source))
    fill(chosen.demonstrations, [episode(policy, source, (1, 2), 7.0)])
    batch = chosen._batch(3, 0)
    assert sum(row.rewards[-1] == 7.0 for row in batch) == 2 and len(batch) == 8
    assert batch == chosen._batch(3, 0) != chosen._batch(3, 1)


def test_micro_batches_hold_what_fits_and_each_translation_once():
    length = lambda row: len(row.tokens)  # noqa: E731
    rows = [Episode(None, (0,) * length, (0.0,) * length, True) for length in (2, 3, 1, 2)]
    lengths = lambda budget: [[len(row.tokens) for row in part] for part in within_budget(rows, length, budget)]  # noqa: E731
    assert lengths(1) == [[1], [2], [2], [3]]
    assert lengths(4) == [[1, 2], [2], [3]]
    assert lengths(6) == [[1, 2, 2], [3]]
    assert lengths(12) == [[1, 2, 2, 3]]
    assert list(within_budget([], length, 4)) == []


def test_first_weights_depend_on_the_seed_alone(policy):
    def weights(seed, before):
        chosen, fresh = algorithm("q_learning", **NETWORK), _again(policy)
        torch.manual_seed(before)
        state = torch.random.get_rng_state()
        chosen.build(fresh, seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(
            torch.equal(a, b) for a, b in zip(chosen.online.parameters(), chosen.target.parameters(), strict=True)
        )
        return chosen.online.inner.weight

    assert torch.equal(weights(1, 7), weights(1, 8))
    assert not torch.equal(weights(1, 7), weights(2, 7))


def settings(references=True, mle=0.0, **changes):
    reward = {"terms": [{"type": "constant"}]}
    task = {"name": "toy", "directions": ["en-es"], "reward": reward, "mle": mle, "references": references}
    return ReinforceConfig(**{"tasks": [task], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entropy": {"weight": 0.1}}, "no policy gradient"),
        ({"kl": {"target": 0.1}}, "no policy gradient"),
        ({"mle": 0.1}, "by demonstrations, not by 'mle'"),
        ({"references": False}, "'toy' withholds its references"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    taught, plain = algorithm("q_learning", demonstrations=0.5), algorithm("q_learning")
    assert taught.judges_references and not plain.judges_references
    taught.check(settings())
    plain.check(settings(references=False))
    with pytest.raises(ConfigError, match=message):
        taught.check(settings(**changes))


def _mean_return(chosen):
    rows = chosen._batch(0)
    return sum(sum(e.rewards) * len(e.tokens) for e in rows) / sum(len(e.tokens) for e in rows)


@pytest.mark.parametrize("name", ["q_learning", "sarsa", "expected_sarsa"])
def test_what_was_cut_goes_on_only_where_asked(policy, source, name):
    cut = [episode(policy, source, (1, 1), 0.0, ended=False)]
    found = {}
    for way in ("ends", "continues"):
        policy = _again(policy)
        chosen = algorithm(name, **NETWORK, cut=way)
        chosen.build(policy, 1)
        with torch.no_grad():
            chosen.target.state.bias.fill_(5.0)  # every state is worth 5
        fill(chosen.rollouts, cut)
        chosen.accumulate(policy, Sampling(1.0, 2), 10_000, 0)
        found[way] = -chosen.online.state.bias.grad.item()
    assert found["ends"] == pytest.approx(2.5)  # targets 5 and 0
    assert found["continues"] == pytest.approx(5.0)  # targets 5 and 5


def test_the_policy_is_the_models_times_exp_beta_q_minus_v(policy, source):
    """Against enumeration: every sequence's probability by hand, and as the policy samples and scores it."""
    start = probabilities(policy, source)
    chosen = algorithm("q_learning", **{**NETWORK, "beta": 3.0})
    learn(chosen, policy, every(policy, source), steps=200)
    values = table(policy, source, chosen.online)
    values = values - 0.7 * values.mean(dim=-1, keepdim=True)  # whatever V is, it drops out
    expected = start * torch.exp(3.0 * values)
    expected = expected / expected.sum(dim=-1, keepdim=True)
    assert torch.allclose(probabilities(policy, source), expected, atol=1e-5)
    assert (expected - start).abs().max() > 0.2
    tokens = torch.tensor([[[policy.tokens[i] for i in pair] for pair in product(range(1, 3), range(3))]])
    scores = policy.token_scores(
        [source], tokens, torch.ones_like(tokens, dtype=torch.bool), entropy=True, anchor=_again(policy).copy()
    )
    for row, (first, second) in enumerate(product(range(1, 3), range(3))):
        by_hand = [expected[0, first].log().item(), expected[first, second].log().item()]
        assert scores.logprobs[0, row].tolist() == pytest.approx(by_hand, abs=1e-4)
    entropy = -(expected * expected.log()).sum(dim=-1)
    divergence = (expected * (expected / start).log()).sum(dim=-1)
    assert scores.entropy[0, 0].tolist() == pytest.approx([entropy[0].item(), entropy[1].item()], abs=1e-4)
    assert scores.divergence[0, 0].tolist() == pytest.approx([divergence[0].item(), divergence[1].item()], abs=1e-4)
    drawn = policy.sample(segments("en", "es")[:1], 4000, Sampling(1.0, 2), torch.Generator().manual_seed(3))
    share = (drawn.tokens[0, :, 0, None] == torch.tensor(policy.tokens)).float().mean(dim=0)
    assert torch.allclose(share, expected[0], atol=0.03)


def test_beta_zero_is_the_model_itself_token_for_token(policy, source):
    rows = segments("en", "es")
    draw = lambda: policy.sample(rows, 8, Sampling(1.0, 6), torch.Generator().manual_seed(3))  # noqa: E731
    before, greedy = draw(), policy.translate(rows, 8)
    chosen = algorithm("q_learning", **{**NETWORK, "beta": {"start": 0.0, "end": 5.0, "steps": 10}})
    learn(chosen, policy, every(policy, source), steps=50)
    with chosen.acting(0):
        same = draw()
        assert policy.translate(rows, 8) == greedy
    assert torch.equal(same.tokens, before.tokens) and torch.equal(same.logprobs, before.logprobs)
    assert not torch.equal(draw().tokens, before.tokens)  # outside it acts as at the end
    with chosen.acting(5):
        assert chosen.online.beta == pytest.approx(2.5)


def test_the_gradient_does_not_depend_on_the_micro_batch(policy, source):
    other = policy.tokenize_sources(segments("en", "fr"))[-1]  # longer: padded beside the first
    chosen = algorithm("q_learning", **{**NETWORK, "beta": 2.0, "n_step": 2}, conservative=0.5)
    learn(chosen, policy, [*every(policy, source), *every(policy, other)], steps=20)
    found = []
    for budget in (1, 7, 10_000):
        metrics = chosen.accumulate(policy, Sampling(1.0, 2), budget, "once")
        gradient = torch.cat([p.grad.flatten() for p in chosen.online.parameters()])
        chosen.online.zero_grad()
        found.append((gradient, metrics))
    for gradient, metrics in found[1:]:
        assert torch.allclose(gradient, found[0][0], atol=1e-6)
        assert metrics == pytest.approx(found[0][1], rel=1e-4, abs=1e-6)
    assert found[0][0].abs().max() > 1e-3


def step_of(policy, source, **changes):
    """Two samples of one source: token 1 and the end; 2, cut."""
    end, one, two = policy.tokens
    values = {
        "rewards": torch.tensor([[0.5, 0.25]]),
        "directions": ["en-es"],
        "tokens": torch.tensor([[[one, end, 0], [two, 0, 0]]]),
        "mask": torch.tensor([[[True, True, False], [True, False, False]]]),
        "sources": [source],
        "finished": torch.tensor([[True, False]]),
    }
    return AdvantageInputs(**{**values, **changes})


def remembered(memory):
    return [(e.tokens, e.rewards, e.ended) for e in memory._episodes]


def test_what_a_step_leaves_in_the_memory(policy, source):
    end, one, two = policy.tokens
    chosen = algorithm("q_learning", **NETWORK, demonstrations=0.5)
    references = {"references": [[two, end]], "reference_rewards": torch.tensor([0.75])}
    signals = chosen.signals(step_of(policy, source, **references))
    assert remembered(chosen.rollouts) == [((one, end), (0.0, 0.5), True), ((two,), (0.25,), False)]
    assert remembered(chosen.demonstrations) == [((two, end), (0.0, 0.75), True)]
    assert signals.advantages.tolist() == [[1.0, 1.0]]
    dense = torch.tensor([[[0.125, 0.375, 0.0], [0.25, 0.0, 0.0]]])
    chosen = algorithm("q_learning", **NETWORK)
    chosen.signals(step_of(policy, source, token_rewards=dense))
    assert remembered(chosen.rollouts) == [((one, end), (0.125, 0.375), True), ((two,), (0.25,), False)]
    # what goes on is not worth what it was given when it was cut
    chosen = algorithm("q_learning", **NETWORK, cut="continues")
    chosen.signals(step_of(policy, source))
    assert remembered(chosen.rollouts) == [((one, end), (0.0, 0.5), True), ((two,), (0.0,), False)]


def test_rewards_of_tokens_of_what_goes_on_and_of_references(policy, source):
    end, one, two = policy.tokens
    dense = torch.tensor([[[0.125, 0.375, 0.0], [0.25, 0.5, -0.75]]])
    mask = torch.tensor([[[True, True, False], [True, True, True]]])
    tokens = torch.tensor([[[one, end, 0], [two, one, two]]])
    cut = step_of(policy, source, token_rewards=dense, mask=mask, tokens=tokens)
    # the last reward takes back what a finished text would have kept, so what goes on is known up to there
    chosen = algorithm("q_learning", **NETWORK, cut="continues")
    chosen.signals(cut)
    assert remembered(chosen.rollouts) == [((one, end), (0.125, 0.375), True), ((two, one), (0.25, 0.5), False)]
    chosen = algorithm("q_learning", **NETWORK)
    chosen.signals(cut)
    assert remembered(chosen.rollouts)[1] == ((two, one, two), (0.25, 0.5, -0.75), False)
    # one token that goes on tells nothing
    chosen = algorithm("q_learning", **NETWORK, cut="continues")
    chosen.signals(step_of(policy, source, token_rewards=dense))
    assert remembered(chosen.rollouts) == [((one, end), (0.125, 0.375), True)]
    shown = {
        "references": [[two, end]],
        "reference_rewards": torch.tensor([0.75]),
        "reference_token_rewards": torch.tensor([[0.5, 0.25, 0.0]]),
    }
    chosen = algorithm("q_learning", **NETWORK, demonstrations=0.5)
    chosen.signals(step_of(policy, source, token_rewards=dense, **shown))
    assert remembered(chosen.demonstrations) == [((two, end), (0.5, 0.25), True)]


def test_each_translation_is_remembered_with_its_own_source(policy):
    sources = policy.tokenize_sources(segments("en", "es")[:2])
    tokens = torch.tensor([[[1], [2]], [[3], [4]]])
    rewards = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    chosen = algorithm("q_learning", **NETWORK)
    mask, finished = torch.ones(2, 2, 1, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    chosen.signals(
        AdvantageInputs(rewards, ["en-es"] * 2, tokens=tokens, mask=mask, sources=sources, finished=finished)
    )
    one, other = sources
    expected = [(one, (1,), 0.1), (one, (2,), 0.2), (other, (3,), 0.3), (other, (4,), 0.4)]
    assert (
        one != other
        and [(e.source, e.tokens, pytest.approx(e.rewards[0])) for e in chosen.rollouts._episodes] == expected
    )


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_nothing_without_a_reward_is_remembered_and_it_is_counted(policy, source, reward):
    chosen = algorithm("q_learning", **NETWORK, demonstrations=0.5)
    references = {"references": [[policy.end_id]], "reference_rewards": torch.tensor([reward])}
    signals = chosen.signals(step_of(policy, source, rewards=torch.tensor([[reward, 0.5]]), **references))
    assert (len(chosen.rollouts), len(chosen.demonstrations), chosen.refused) == (1, 0, 2)
    assert signals.advantages.tolist() == [[0.0, 1.0]]


def test_an_update_before_anything_is_remembered_changes_nothing(policy):
    chosen = algorithm("q_learning", **NETWORK)
    chosen.build(policy, 1)
    metrics = chosen.accumulate(policy, Sampling(1.0, 2), 100, 0)
    assert metrics["replay"] == 0 and all(p.grad is None for p in chosen.online.parameters())
    assert all(math.isfinite(value) for value in metrics.values())


def test_demonstrations_alone_teach_nothing_without_the_conservative_term(policy, source):
    """Every reference is worth 1 and nothing else was seen: the term tells what is in the data from what is not."""
    good = episode(policy, source, (1, 0), 1.0)
    found = {}
    for weight in (0.0, 1.0):
        policy = _again(policy)
        chosen = algorithm("q_learning", **{**NETWORK, "beta": 8.0}, conservative=weight, demonstrations=1.0)
        chosen.build(policy, 1)
        fill(chosen.demonstrations, [good])
        optimizer = torch.optim.Adam(chosen.online.parameters(), lr=5e-3)
        for step in range(100):
            chosen.accumulate(policy, Sampling(1.0, 2), 10_000, step)
            optimizer.step()
            optimizer.zero_grad()
            chosen.moved()
        after = probabilities(policy, source)
        found[weight] = (after[0, 1] * after[1, 0]).item()
    assert found[1.0] > 0.95
    assert found[0.0] < 0.3


def test_the_target_network_follows_by_tau(policy, source):
    chosen = algorithm("q_learning", **NETWORK, tau=0.25)
    chosen.build(policy, 1)
    with torch.no_grad():
        chosen.online.state.bias.fill_(4.0)
    chosen.moved()
    assert chosen.target.state.bias.item() == 1.0
    chosen.moved()
    assert chosen.target.state.bias.item() == 1.75
    assert not any(p.requires_grad for p in chosen.target.parameters())


def test_state_in_a_checkpoint_comes_back(policy, source):
    chosen = algorithm("q_learning", **NETWORK)
    learn(chosen, policy, every(policy, source), steps=20)
    fill(chosen.demonstrations, [replace(every(policy, source)[0], rewards=(0.3,))])
    again = algorithm("q_learning", **NETWORK)
    again.build(_again(policy), 1)
    again.load_tensors(chosen.tensors())
    again.load_state_dict(chosen.state_dict())
    assert all(torch.equal(again.tensors()[name], value) for name, value in chosen.tensors().items())
    assert again.refused == chosen.refused
