"""Rewards of tokens: increments by hand, sums that are the totals, and what a reward says of characters."""

import doctest
import math
from typing import ClassVar

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError
from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.composite import dense as module
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.composite.dense import hand_out, potentials
from eclectus.rewards.composite.scaling import Scaling
from eclectus.segment import Segment

SEGMENT = Segment("Un chat noir dort", "fr", "en", reference="a black cat sleeps")
WORDS = ["a", "black", "cat", "sleeps"]


def composite(*terms, gates=(), **changes):
    config = RewardConfig(terms=list(terms), gates=list(gates), **{"normalise": "none", **changes})
    return CompositeReward(config, RewardContext(["fr", "en"]))


def prefixes(text):
    """The prefixes of a text whose tokens are its words and an end."""
    words = text.split()
    return [" ".join(words[:n]) for n in range(1, len(words) + 1)]


def handed(reward, texts, segment=SEGMENT, scaling=None, step=None, finished=None):
    """Token rewards of the hypotheses of one source."""
    scores = reward.score_groups([segment], [texts], step=step, finished=finished)
    scaled = (scaling or Scaling(reward))([segment], scores, step=step, finished=finished)
    worth = potentials(reward, [segment], [texts], [[prefixes(t) for t in texts]], scaled.divisors, step)
    rows = zip(scaled.totals[0], worth[0], strict=True)
    return [None if total is None else hand_out(total, row) for total, row in rows], scaled.totals[0]


def test_examples_run():
    assert doctest.testmod(module).failed == 0


class Judge(Reward):
    """Says what the test wrote down."""

    said: ClassVar[dict] = {}

    def __call__(self, segments, hypotheses):
        return [self.said[text] for text in hypotheses]


class Letters(Judge):
    """An a is worth a tenth, wherever it stands."""

    def __call__(self, segments, hypotheses):
        return [text.count("a") / 10 for text in hypotheses]

    def character_scores(self, segments, hypotheses):
        return [None if text == "none" else [0.1 * (c == "a") for c in text] for text in hypotheses]


JUDGE, LETTERS = (f"{__name__}:{name}" for name in ("Judge", "Letters"))


def test_bleu_increments_by_hand():
    """With tokens as words and unigrams and bigrams alone, against a reference of four words."""
    reward = composite({"type": "bleu", "max_order": 2, "dense": "increments"})
    # Brevity exp(1 - 4 / n) for n words, all of whose n-grams match; "a" alone has no bigram, so its precision is 1.
    whole = [math.exp(1 - 4 / n) for n in (1, 2, 3, 4)]
    # "a black dog": 2 of 3 words, 1 of 2 bigrams, brevity exp(-1/3); with "sleeps" 3 of 4 and 1 of 3.
    other = [math.exp(-3), math.exp(-1), math.exp(-1 / 3) * math.sqrt(2 / 3 / 2), math.sqrt(3 / 4 / 3)]
    rows, totals = handed(reward, ["a black cat sleeps", "a black dog sleeps"])
    for row, total, values in zip(rows, totals, (whole, other), strict=True):
        assert total == pytest.approx(values[-1])
        steps = [b - a for a, b in zip([0, *values], values, strict=False)]
        assert row == pytest.approx([*steps, 0.0])  # the end adds nothing
    assert rows[1][2] < rows[0][2] and rows[1][3] > 0  # the wrong word costs what it costs, at its place


def test_increments_are_those_of_the_reward_itself():
    reward = composite({"type": "chrf", "words": 2, "dense": "increments"})
    text = "the black cat was asleep"
    rows, _ = handed(reward, [text, "a dog"])
    values = [row[0] for row in reward.score_groups([SEGMENT] * 5, [[p] for p in prefixes(text)]).total]
    assert rows[0] == pytest.approx([*(b - a for a, b in zip([0.0, *values], values, strict=False)), 0.0])


def test_gates_sparse_terms_and_cut_texts_stand_at_the_last_token():
    terms = ({"type": "bleu", "dense": "increments", "weight": 3}, {"type": JUDGE})
    reward = composite(*terms, gates=[{"type": "nonempty", "strength": 0.5}], unfinished=0.1)
    Judge.said = {"a black cat": 0.5, "a dog": None, "dogs": 0.2}
    rows, totals = handed(reward, [*Judge.said], finished=[[True, True, False]])
    alone = composite({"type": "bleu", "dense": "increments"})
    plain, _ = handed(alone, [*Judge.said])
    for row, total, bleu in zip(rows, totals, plain, strict=True):
        assert math.fsum(row) == pytest.approx(total, abs=1e-12)
        assert row[:-1] == pytest.approx([0.75 * value for value in bleu[:-1]])  # whatever the rest of the reward says
    assert totals[2] == 0.1


@pytest.mark.parametrize("normalise", ["none", "direction", "source", "terms"])
def test_the_sum_over_a_sample_is_its_scaled_reward_whatever_the_scale(normalise):
    terms = ({"type": "chrf", "dense": "increments"}, {"type": "bleu", "weight": 0.5, "dense": "increments"})
    reward = composite(*terms, {"type": "gleu"}, normalise=normalise)
    scaling = Scaling(reward)
    texts = ["a black cat", "black cat a a a", "sleeps", "the cat"]
    for _ in range(20):
        rows, totals = handed(reward, texts, scaling=scaling)
    assert [math.fsum(row) for row in rows] == pytest.approx(totals, abs=1e-12)
    unscaled, _ = handed(composite(*terms, {"type": "gleu"}), texts)
    if normalise in ("direction", "source"):  # one divisor for everything
        factors = {
            round(a / b, 6)
            for one, two in zip(rows, unscaled, strict=True)
            for a, b in zip(one[:-1], two[:-1], strict=True)
            if b
        }
        assert len(factors) == 1 and factors != {1.0}


def test_where_nothing_was_judged_nothing_is_handed_out_and_abstaining_on_the_way_adds_nothing():
    Judge.said = {"a": None, "a b": 0.3, "a b c": None, "a b c d": 0.7, "x": 0.2, "x y": None}
    rows, totals = handed(composite({"type": JUDGE, "dense": "increments"}), ["a b c d", "x y"])
    assert rows == [pytest.approx([0.0, 0.3, 0.0, 0.4, 0.0]), None] and totals[1] is None


def test_equal_rewards_of_a_source_hand_out_nothing():
    rows, totals = handed(composite({"type": "chrf", "dense": "increments"}, normalise="source"), ["a cat"] * 2)
    assert totals == [0.0, 0.0] and not any(map(any, rows))


def test_a_schedule_moves_the_share_of_a_term():
    moving = {"type": "bleu", "dense": "increments", "weight": {"start": 0, "end": 1, "steps": 4}}
    Judge.said = {"a black cat": 1.0}
    for step, share in ((1, 0.25 / 1.25), (2, 0.5 / 1.5), (4, 0.5)):
        (row,), (total,) = handed(composite(moving, {"type": JUDGE}), [*Judge.said], step=step)
        assert row[0] == pytest.approx(share * math.exp(-3)) and math.fsum(row) == pytest.approx(total)


def test_what_a_reward_says_of_characters_goes_to_their_tokens():
    rows, totals = handed(composite({"type": LETTERS, "dense": "tokens"}), ["banana a papa", "none", "a"])
    assert rows[0] == pytest.approx([0.3, 0.1, 0.2, 0.0])
    assert rows[1:] == [pytest.approx([0.0, 0.0]), pytest.approx([0.1, 0.0])]
    assert totals == pytest.approx([0.6, 0.0, 0.1])


def test_words_hand_their_value_to_the_words_that_are_known():
    reward = composite({"type": "words", "seen": 0, "dense": "tokens"})
    text = "the black qqzxv sleeps"
    rows, totals = handed(reward, [text, "the cat"])
    assert rows[0] == pytest.approx([0.25, 0.25, 0.0, 0.25, 0.0])
    assert totals == [0.75, None] and rows[1] is None


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            {"type": "chrf", "dense": "tokens"},
            r"terms\.0.*'chrf' does not judge parts of a text; set dense: increments",
        ),
        ({"type": "joint", "dense": "increments"}, r"'joint' compares finished translations; leave dense out"),
    ],
)
def test_what_cannot_be_dense_is_refused_at_the_door(term, message):
    with pytest.raises(ConfigError, match=message):
        lent = RewardContext(["fr", "en"], translate=lambda segments: [])
        CompositeReward(RewardConfig(terms=[term]), lent).check(has_reference=True, has_siblings=True)
