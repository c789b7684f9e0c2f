from __future__ import annotations

import random
import time
from functools import cache

import fake_run
import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from eclectus.evaluation.significance import Difference, compare, names, resample
from eclectus.evaluation.statistics import Extractor, Statistics
from eclectus.segment import Segment

SEGMENTS = fake_run.segments(80)
CALLED = tuple(str(n) for n in range(80))


def paired_bootstrap(system, against, metric: str, resamples: int = 1000, seed: int = 1) -> Difference:
    """Compare two systems from their statistics by direction."""
    drawn = [
        [
            resample(part, direction, tuple(f"{direction}:{n}" for n in range(len(part))), resamples, seed)
            for direction, part in statistics.items()
        ]
        for statistics in (system, against)
    ]
    return compare(*drawn, metric)


def translate(direction: str, rate: float, salt: str) -> list[str]:
    rng = random.Random(salt)
    return [fake_run.spoil(segment, rate, 0.0, rng) for segment in SEGMENTS[direction]]


@cache
def statistics(direction: str, rate: float, salt: str = "") -> Statistics:
    references = [segment.reference or "" for segment in SEGMENTS[direction]]
    return Extractor(references, direction[-2:])(translate(direction, rate, salt))


@pytest.mark.parametrize("rate", [0.20, 0.22, 0.26])
def test_agrees_with_sacrebleu(rate: float) -> None:
    texts = {"base": translate("es-fr", 0.2, "a"), "system": translate("es-fr", rate, "b")}
    references = [[segment.reference for segment in SEGMENTS["es-fr"]]]
    named = {"bleu": BLEU(), "chrf": CHRF(word_order=2)}
    _, theirs = PairedTest(list(texts.items()), named, references, test_type="bs", n_samples=1000)()
    for metric, name in (("bleu", "BLEU"), ("chrf", "chrF2++")):
        (base, system) = theirs[next(key for key in theirs if key.lower().startswith(metric))]
        mine = paired_bootstrap(
            {"es-fr": statistics("es-fr", rate, "b")}, {"es-fr": statistics("es-fr", 0.2, "a")}, metric
        )
        assert mine.difference == pytest.approx(system.score - base.score, abs=1e-9), name
        if mine.p < 0.2:  # away from 0 theirs counts one tail only
            assert mine.p / 2 == pytest.approx(system.p_value, abs=0.03)
        else:
            assert system.p_value > 0.1


def test_identical_systems_do_not_differ() -> None:
    same = {direction: statistics(direction, 0.2) for direction in fake_run.ZERO}
    found = paired_bootstrap(same, same, "bleu", 200)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_equal_systems_are_rarely_told_apart() -> None:
    """Under the null hypothesis p is below 0.2 about one time in five; the interval covers 0 as often as it says."""
    found = [
        paired_bootstrap(
            {"es-fr": statistics("es-fr", 0.2, f"a{i}")}, {"es-fr": statistics("es-fr", 0.2, f"b{i}")}, "chrf", 200
        )
        for i in range(25)
    ]
    assert 1 <= sum(f.p < 0.2 for f in found) <= 12
    assert sum(f.low <= 0 <= f.high for f in found) >= 20


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_a_planted_difference_is_found(metric: str) -> None:
    good = {d: statistics(d, 0.05) for d in fake_run.ZERO}
    bad = {d: statistics(d, 0.30) for d in fake_run.ZERO}
    found = paired_bootstrap(good, bad, metric)
    assert 0 < found.low < found.difference < found.high
    assert found.p == pytest.approx(2 / 1001)
    back = paired_bootstrap(bad, good, metric)
    assert (back.difference, back.low, back.high) == pytest.approx((-found.difference, -found.high, -found.low))


def test_a_group_is_the_mean_of_its_directions() -> None:
    good = {d: statistics(d, 0.05) for d in fake_run.ZERO}
    bad = {d: statistics(d, 0.30) for d in fake_run.ZERO}
    whole = paired_bootstrap(good, bad, "bleu")
    parts = [paired_bootstrap({d: good[d]}, {d: bad[d]}, "bleu") for d in fake_run.ZERO]
    assert whole.difference == pytest.approx(np.mean([part.difference for part in parts]))
    widths = [part.high - part.low for part in parts]
    assert whole.high - whole.low == pytest.approx(np.sqrt(np.sum(np.square(widths))) / len(widths), rel=0.2)


def test_p_and_interval_agree() -> None:
    for i in range(8):
        found = paired_bootstrap(
            {"es-fr": statistics("es-fr", 0.2 + i / 120, "a")}, {"es-fr": statistics("es-fr", 0.2, "b")}, "bleu"
        )
        outside = not found.low <= 0 <= found.high
        assert (found.p < 0.05) is outside or found.p == pytest.approx(0.05, abs=0.005)


def test_same_seed_same_interval() -> None:
    a, b = statistics("es-fr", 0.1), statistics("es-fr", 0.2)
    first, again, other = (paired_bootstrap({"es-fr": a}, {"es-fr": b}, "bleu", 200, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.difference == other.difference and first.low != other.low


def test_what_several_directions_translate_is_drawn_for_all_together() -> None:
    same, other = (tuple(f"{name}{n}" for n in range(80)) for name in ("a", "b"))
    good, bad = statistics("es-fr", 0.1), statistics("es-fr", 0.2)

    def width(*directions: tuple[str, tuple[str, ...]]) -> float:
        found = compare(*([resample(part, d, called) for d, called in directions] for part in (good, bad)), "chrf")
        return found.high - found.low

    alone, apart, together = (
        width(("x", same)),
        width(("x", same), ("y", other)),
        width(("x", same), ("y", same)),
    )
    assert together == pytest.approx(alone)
    assert apart == pytest.approx(alone / 2**0.5, rel=0.15)


def test_an_interval_of_directions_that_gain_on_the_same_sentences_covers_what_it_should() -> None:
    """Eight directions whose gain is that of the sentence alone: as sure as one direction is, and no surer."""
    rng, covered = np.random.default_rng(1), 0
    called = tuple(str(n) for n in range(60))
    for _ in range(40):
        difficulty = rng.integers(0, 8, 60)
        system, base = [], []
        for direction in range(8):
            for found, matched in ((system, difficulty), (base, np.full(60, 3.5))):
                bleu = np.zeros((60, 10))
                chrf = np.stack([np.full(60, 10.0), np.full(60, 10.0), matched] * 8, axis=1)
                found.append(resample(Statistics(bleu, chrf), str(direction), called, 200))
        difference = compare(system, base, "chrf")
        covered += difference.low <= 0 <= difference.high  # a matched share of 3.5 in 10 is the mean of both
    assert covered >= 34


def test_a_segment_is_called_by_its_id_in_every_direction() -> None:
    segments = [Segment("a", "en", "de", "x", id="7"), Segment("b", "en", "de", "y")]
    assert names({"en-de": segments}) == {"en-de": ("7", "en-de:1")}


def test_one_sentence_has_one_name_whatever_the_files_of_each_pair_call_it() -> None:
    """Two English lines in files of their own for each pair, in another order; a third that only one has."""
    found = names(
        {
            "de-en": [
                Segment("eins", "de", "en", "one", id="en-de:1"),
                Segment("zwei", "de", "en", "two", id="en-de:2"),
            ],
            "en-de": [
                Segment("one", "en", "de", "eins", id="en-de:1"),
                Segment("two", "en", "de", "zwei", id="en-de:2"),
            ],
            "en-fr": [Segment("two", "en", "fr", "deux", id="en-fr:1"), Segment("one", "en", "fr", "un", id="en-fr:2")],
            "fr-en": [
                Segment("trois", "fr", "en", "three", id="en-fr:3"),
                Segment("un", "fr", "en", "one", id="en-fr:2"),
            ],
            "fr-de": [Segment("one", "fr", "de", "?")],  # the same letters in another language
        }
    )
    one, two = found["en-de"]
    assert found["de-en"] == (one, two) and found["en-fr"] == (two, one) and found["fr-en"] == ("en-fr:3", one)
    assert len({one, two, "en-fr:3", *found["fr-de"]}) == 4
    twice = {d: [Segment("Close", *d.split("-"), text) for text in "ab"] for d in ("en-de", "en-fr")}
    assert names(twice) == {"en-de": ("en-de:0", "en-de:1"), "en-fr": ("en-de:0", "en-de:1")}


def test_only_paired_samples_are_compared() -> None:
    a, b = statistics("es-fr", 0.1), statistics("es-fr", 0.2)
    with pytest.raises(ValueError, match="same seed"):
        compare([resample(a, "es-fr", CALLED, 100, seed=1)], [resample(b, "es-fr", CALLED, 100, seed=2)], "bleu")
    with pytest.raises(ValueError, match="same directions"):
        compare([resample(a, "es-fr", CALLED, 100)], [resample(b, "es-de", CALLED, 100)], "bleu")
    with pytest.raises(ValueError, match="no direction"):
        compare([], [], "bleu")


def test_twenty_directions_take_seconds() -> None:
    rng = np.random.default_rng(0)
    one, two = (Statistics(rng.integers(1, 9, (200, 10)) * 1.0, rng.integers(1, 9, (200, 24)) * 1.0) for _ in range(2))
    begin = time.process_time()
    paired_bootstrap({f"d{i}": one for i in range(20)}, {f"d{i}": two for i in range(20)}, "bleu", 1000)
    assert time.process_time() - begin < 15
