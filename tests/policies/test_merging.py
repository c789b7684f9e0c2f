"""Samples of a source that agree are one row, in drawing and in scoring, and come out as if each were by itself."""

import copy
from dataclasses import replace

import pytest
import torch

from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import OLD
from eclectus.policies.distinct import Distinct
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.padding import placed
from tests.policies.adapted_models import adapted, trained
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.tiny import segments

ROWS = [*segments("en", "es"), *segments("en", "fr")]
SHARP = 0.3
"""A temperature at which the tiny models often say the same."""


@pytest.fixture(scope="module", params=[*SEQ2SEQ, *CAUSAL, "m2m100 with adapters", "llama with adapters"])
def original(request, tmp_path_factory):
    """A policy of each family, and two with an adapter for each language."""
    name, _, adapters = request.param.partition(" ")
    folder = tmp_path_factory.mktemp(name)
    model, tokenizer = build(name, folder)
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(model, tokenizer)
    if adapters:
        policy.save(folder / "start")
        policy = trained(adapted(folder, per_language=True))
    return policy


@pytest.fixture
def policies(original):
    """The same policy, merging and not."""
    found = []
    for merging in (True, False):
        policy = copy.copy(original)
        policy.model, policy.adapters = copy.deepcopy((original.model, original.adapters))
        policy.merging = merging
        found.append(policy)
    return found


def rows_of(policy):
    return [row for row in ROWS if not policy.languages or policy.has_language(row.target_lang)] or segments("en", "es")


def drawn(policy, temperature=SHARP, length=9):
    return policy.sample(rows_of(policy), 6, Sampling(temperature, length), torch.Generator().manual_seed(5))


@pytest.mark.parametrize("temperature", [SHARP, 1.0])
def test_merged_samples_are_those_drawn_apart(policies, temperature, monkeypatch):
    merged, apart = policies
    rows = []
    logits = type(merged).next_logits
    monkeypatch.setattr(
        type(merged), "next_logits", lambda self, h, *memory: (rows.append(len(h)), logits(self, h, *memory))[1]
    )
    one = drawn(merged, temperature)
    few, rows[:] = sum(rows), []
    other = drawn(apart, temperature)
    assert torch.equal(one.tokens, other.tokens) and torch.equal(one.mask, other.mask)
    assert torch.equal(one.finished, other.finished) and one.texts == other.texts
    assert torch.allclose(one.logprobs, other.logprobs, atol=1e-5)
    assert few == sum(rows) if OLD else few < sum(rows)
    assert other.mask.sum() > 50


BRANCHES = {
    "a source has lost its only row": [("branch", [2], [0])],
    "each source has one row, in another order": [("branch", [0, 0], [3, 4]), ("keep", [1, 2, 4])],
    "an idle row and new ones": [("branch", [0, 2, 2], [1, 3, 4]), ("branch", [4], [5])],
    "a row takes the place of another, then leaves": [("branch", [1], [2]), ("keep", [0, 2]), ("branch", [1], [2])],
}


def test_nothing_to_tokenise_is_nothing(original):
    assert original.tokenize_sources([]) == original.tokenize_targets([]) == []


def test_a_device_that_is_seldom_waited_for_draws_the_same(policies, monkeypatch):
    """As on a GPU: no merging, and a look at which rows have ended at every eighth token alone."""
    _, policy = policies
    often = drawn(policy, 1.0, 20)
    monkeypatch.setattr(type(policy), "stride", 8)
    seldom = drawn(policy, 1.0, 20)
    assert often.mask[..., 9:].any()  # with rows beside that had ended at the first look
    assert torch.equal(often.tokens, seldom.tokens) and torch.equal(often.mask, seldom.mask)
    assert torch.allclose(often.logprobs, seldom.logprobs, atol=1e-5)
    assert often.texts == seldom.texts and torch.equal(often.finished, seldom.finished)


LIMITED = {"top_k": {"top_k": 5}, "top_p": {"top_k": 40, "top_p": 0.8, "min_length": 4}, "length": {"min_length": 5}}


@pytest.mark.parametrize("limits", LIMITED.values(), ids=LIMITED)
def test_training_keeps_to_what_could_be_drawn(policies, limits):
    """Sampled and trained log-probabilities are equal, and those of a plain softmax over what was left."""
    sampling = Sampling(0.8, 8, **limits)
    merged, apart = (p.sample(rows_of(p), 6, sampling, torch.Generator().manual_seed(5)) for p in policies)
    assert torch.equal(merged.tokens, apart.tokens)
    policy, early = policies[0], range(limits.get("min_length", 1) - 1)
    ended = torch.isin(apart.tokens, torch.tensor(policy.end_ids)) & apart.mask
    assert not ended[..., list(early)].any()
    sources = policy.tokenize_sources(rows_of(policy))
    for rollouts in (merged, apart):
        scores = policy.token_scores(sources, rollouts.tokens, rollouts.mask, 0.8, entropy=True, limits=rollouts.limits)
        assert torch.allclose(scores.logprobs, rollouts.logprobs, atol=1e-5)
    whole = policy.token_logprobs(sources, apart.tokens, apart.mask, 0.8).detach()
    scores = replace(scores, logprobs=scores.logprobs.detach(), entropy=scores.entropy.detach())
    assert (whole <= scores.logprobs + 1e-5).all() and (whole < scores.logprobs - 1e-3).any()
    with torch.no_grad():
        logits = policy.next_logits(policy.states(sources[:1], apart.tokens[0, :1])[0]) / 0.8
    for t in range(int(apart.mask[0, 0].sum())):
        ids = [i for i in apart.limits.ids[0, 0, t].tolist() if i >= 0]
        if not apart.limits.only:
            ids = [i for i in range(logits.shape[1]) if i not in ids]
        among = logits[t, ids].log_softmax(dim=-1)
        place = ids.index(int(apart.tokens[0, 0, t]))
        assert float(scores.logprobs[0, 0, t]) == pytest.approx(float(among[place]), abs=1e-4)
        said = among[among.isfinite()]
        assert float(scores.entropy[0, 0, t]) == pytest.approx(float(-(said.exp() * said).sum()), abs=1e-4)


@pytest.mark.skipif(OLD, reason="with transformers 4 rows do not branch")
@pytest.mark.parametrize("moves", BRANCHES.values(), ids=BRANCHES)
def test_rows_that_branch_see_their_own_source_and_beginning(policies, moves):
    policy = policies[0]
    sources = policy.tokenize_sources(rows_of(policy)[:3])
    allowed = [i for i in range(len(policy._bias)) if policy._bias[i] == 0 and i not in policy.end_ids]
    texts = [(source, []) for source in range(3)]
    generator = torch.Generator().manual_seed(3)
    with torch.inference_mode():
        stepper = policy.stepper(sources, 1, 6)
        last = torch.tensor([source.start[-1] for source in sources])
        for kind, rows, *places in [*moves, ("end", [])]:
            logits = stepper.step(last)
            tokens = torch.tensor([[*text, policy.pad_id] for _, text in texts])
            alone = torch.cat(
                [policy.states([sources[s]], row[None])[:, -1] for (s, _), row in zip(texts, tokens, strict=True)]
            )
            assert torch.allclose(logits, policy.next_logits(alone), atol=1e-4)
            if kind == "keep":
                stepper.keep(torch.tensor(rows))
                texts = [texts[row] for row in rows]
            elif kind == "branch":
                stepper.branch(torch.tensor(rows), torch.tensor(places[0]))
                before = list(texts)
                for row, place in zip(rows, places[0], strict=True):
                    texts[place : place + 1] = [before[row]]
            last = torch.tensor(allowed)[torch.randint(len(allowed), (len(texts),), generator=generator)]
            texts = [(source, [*text, int(token)]) for (source, text), token in zip(texts, last, strict=True)]


@pytest.mark.parametrize("again", [False, True], ids=["", "checkpointing"])
def test_merged_scores_and_their_gradients_are_those_of_each_by_itself(policies, again):
    for policy in policies:
        policy.gradient_checkpointing = again
    rollouts = drawn(policies[0])
    # Some repeated as a whole, and one that differs only behind its end.
    tokens, mask = rollouts.tokens.clone(), rollouts.mask.clone()
    tokens[:, 1], mask[:, 1] = tokens[:, 0], mask[:, 0]
    tokens[:, 4], mask[:, 4] = tokens[:, 3].where(mask[:, 3], policies[0].end_id), mask[:, 3]
    weights = torch.randn(mask.shape, generator=torch.Generator().manual_seed(2))
    found = []
    for policy in policies:
        sources = policy.tokenize_sources(rows_of(policy))
        scores = policy.token_scores(
            sources, tokens, mask, SHARP, entropy=True, anchor=policy.copy(), states=True, ranks=True
        )
        policy.model.zero_grad()
        ((scores.logprobs + scores.entropy + scores.divergence) * weights).sum().backward()
        gradient = {name: p.grad for name, p in policy.model.named_parameters() if p.grad is not None}
        with torch.no_grad():
            hidden = policy.hidden_states(sources, tokens, mask)
        assert torch.allclose(hidden, scores.states, atol=1e-4)
        found.append((scores, gradient))
    (merged, one), (apart, other) = found
    for name in ("logprobs", "entropy", "divergence", "states", "ranks"):
        assert torch.allclose(getattr(merged, name), getattr(apart, name), atol=1e-4), name
    assert one.keys() == other.keys() and one
    largest = max(float(value.abs().max()) for value in other.values())
    for name in one:
        assert torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-5 * largest), name


def test_equal_samples_of_a_source_are_one_and_of_two_sources_two():
    tokens = torch.tensor([[[5, 1, 0], [5, 1, 7], [6, 5, 1]], [[5, 1, 9], [6, 5, 1], [5, 1, 8]]])
    mask = torch.tensor([[[1, 1, 0], [1, 1, 0], [1, 1, 1]], [[1, 1, 0], [1, 1, 1], [1, 1, 0]]]).bool()
    found = Distinct.of(tokens, mask, merge=True)
    assert found.tokens.tolist() == [[5, 1, 0], [6, 5, 1], [5, 1, 9], [6, 5, 1]]
    assert found.mask.sum(dim=1).tolist() == [2, 3, 2, 3] and found.owners.tolist() == [0, 0, 1, 1]
    assert found.places.tolist() == [0, 0, 1, 2, 3, 2]
    values = torch.arange(4.0)[:, None].repeat(1, 3)
    assert found.spread(values, tokens.shape)[..., 0].tolist() == [[0, 0, 1], [2, 3, 2]]
    every = Distinct.of(tokens, mask, merge=False)
    assert torch.equal(every.tokens, tokens.flatten(0, 1)) and every.owners.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(every.spread(every.tokens, tokens.shape), tokens)


def test_rows_are_placed_on_others_and_behind_them():
    rows, places = torch.tensor([0, 0, 2]), torch.tensor([1, 3, 4])
    assert placed(torch.tensor([7, 8, 9]), rows, places).tolist() == [7, 7, 9, 7, 9]
    assert placed(torch.tensor([7, 8, 9]), torch.tensor([2]), torch.tensor([0])).tolist() == [9, 8, 9]
