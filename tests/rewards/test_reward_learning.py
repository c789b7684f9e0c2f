"""What rewards across languages are for, on policies small enough to see through: tables of logits, real rewards.

`joint`: one decision serves five languages, as shared weights do. `round_trip` with `refresh`: two directions are in
training and read each other back. Each stands beside the control without it.
"""

import sys
from types import ModuleType

import pytest
import torch

from eclectus.algorithms.advantages import leave_one_out
from eclectus.registry import parse_options
from eclectus.rewards.base import RewardContext
from eclectus.rewards.joint import Joint
from eclectus.rewards.round_trip import RoundTrip
from eclectus.segment import Segment

SEEDS = (1, 2, 3)


def improve(logits, choices, rewards, rate):
    """One step of REINFORCE with the leave-one-out baseline; `logits` are [B, N], the others [B, G]."""
    chosen = logits.log_softmax(-1).gather(-1, choices)
    (gradient,) = torch.autograd.grad((leave_one_out(rewards) * chosen).mean(-1).sum(), logits)
    with torch.no_grad():
        logits += rate * gradient


# joint

STRONG, WEAK = ("es", "fr", "it", "pt"), "gl"
VECTORS = {"cat": torch.eye(7)[0], "dog": torch.eye(7)[6]} | {
    f"near-{language}": 0.5**0.5 * (torch.eye(7)[0] + torch.eye(7)[1 + i]) for i, language in enumerate((*STRONG, WEAK))
}
"""In English terms: the cosine of a near word is 0.71 with the cat and 0.5 with another, that of the dog 0."""


@pytest.fixture
def as_a_module(monkeypatch):
    module = ModuleType("near_words")
    module.encode = lambda texts: [VECTORS[text].tolist() for text in texts]
    monkeypatch.setitem(sys.modules, "near_words", module)


def say(style, language):
    """Style 0 serves the strong languages perfectly and gives the weak one up; style 1 serves all, none perfectly."""
    if style == 1:
        return f"{language}:near-{language}"
    return f"{language}:{'dog' if language == WEAK else 'cat'}"


def weakest_after_learning(aggregate, seed):
    """The mean similarity of the weak language's translation to its source, before and after learning."""
    options = {"similarity": "embeddings", "encoder": "near_words:encode", "siblings": "paired", "aggregate": aggregate}
    context = RewardContext(
        languages=["en", *STRONG, WEAK],
        translate=lambda segments: [segment.source.partition(":")[2] for segment in segments],
    )
    reward = Joint(parse_options("reward.terms.0", Joint.Options, options), context)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.zeros(1, 2, requires_grad=True)
    segments = [Segment("cat", "en", language) for language in (*STRONG, WEAK)]
    before = 0.5**0.5 * logits.softmax(-1)[0, 1].item()
    for _ in range(120):
        styles = torch.multinomial(logits.softmax(-1), 8, replacement=True, generator=generator)
        said = [[say(style, segment.target_lang) for style in styles[0].tolist()] for segment in segments]
        improve(logits, styles, torch.tensor(reward.score_groups(segments, said)).mean(0, keepdim=True), 1.0)
    return before, 0.5**0.5 * logits.softmax(-1)[0, 1].item()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_weakest_language_gains_by_min_and_geometric_mean_and_is_given_up_by_the_mean(as_a_module, seed):
    start, by_mean = weakest_after_learning("mean", seed)
    assert by_mean < 0.5 * start
    for aggregate in ("min", "geometric"):
        _, found = weakest_after_learning(aggregate, seed)
        assert found > 1.7 * start


# round_trip with refresh

WORDS = {"en": ("one", "two", "three"), "es": ("uno", "dos", "tres")}
START = torch.tensor(
    [
        *([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.2, 0.4]),  # en-es: "three" is mostly "tres"
        *([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.4]),  # es-en: "tres" is mostly "two"
    ]
)
"""Logits [source word, target word]. No Spanish word is read as "three", so no sample of it is paid."""


def greedy(tables):
    """Translate by the likeliest word."""

    def translate(segments):
        words = [(s.source_lang, s.target_lang, WORDS[s.source_lang].index(s.source)) for s in segments]
        return [WORDS[target][tables[3 * (source == "es") + row].argmax()] for source, target, row in words]

    return translate


def agreement_after_learning(refresh, seed, steps=300):
    """P(tres | three), and the probability that two sampled translations bring a word back, mean over words."""
    tables = START.clone().requires_grad_()
    reader = [greedy(START)]  # what is renewed
    context = RewardContext(
        languages=["en", "es"],
        translate=greedy(START),
        refreshed=lambda n: lambda segments: reader[0](segments),  # noqa: PLW0108, the reader of that moment
    )
    options = {"bleu": 0, "chrf": 0, "exact": 1, "refresh": refresh}
    reward = RoundTrip(parse_options("reward.terms.0", RoundTrip.Options, options), context)
    generator = torch.Generator().manual_seed(seed)
    segments = [Segment(word, "en", "es") for word in WORDS["en"]] + [Segment(word, "es", "en") for word in WORDS["es"]]
    for reward.step in range(1, steps + 1):
        chosen = torch.multinomial(tables.softmax(-1), 8, replacement=True, generator=generator)
        said = [[WORDS[s.target_lang][i] for i in row] for s, row in zip(segments, chosen.tolist(), strict=True)]
        improve(tables, chosen, torch.tensor(reward.score_groups(segments, said)), 0.3)
        if refresh and reward.step % refresh == 0:
            reader[0] = greedy(tables.detach().clone())
    there, back = tables.softmax(-1).split(3)
    return there[2, 2].item(), (there @ back).diagonal().mean().item()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_renewed_reader_lets_a_word_be_learnt_that_the_frozen_start_misreads(seed):
    frozen, agreement = agreement_after_learning(0, seed)
    assert frozen == pytest.approx(START.softmax(-1)[2, 2].item())  # no sample of "three" was paid
    renewed, agreement_renewed = agreement_after_learning(75, seed)
    assert renewed > 0.9
    assert agreement < 0.8
    assert agreement_renewed > 0.9
