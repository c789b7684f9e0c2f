"""Variants beside the first of a comparison: the same seeds, the same segments."""

import pytest

from eclectus.evaluation import translations
from eclectus.evaluation.paired import against_first
from eclectus.evaluation.significance import compare, resample
from eclectus.evaluation.statistics import Extractor
from eclectus.segment import Segment

REFERENCES = [
    f"a {colour} house by the {place} road" for colour in ("red", "blue", "old") for place in ("long", "wide")
]
WORSE = [text.replace("house", "horse") for text in REFERENCES]


@pytest.fixture
def runs(tmp_path):
    """Write a run's translations, by direction."""

    def write(variant, seed, said, sources="s"):
        folder = tmp_path / variant / f"seed-{seed}"
        folder.mkdir(parents=True)
        segments = {
            direction: [
                Segment(f"{sources} {i}", *direction.split("-"), REFERENCES[i], id=str(i)) for i in range(len(texts))
            ]
            for direction, texts in said.items()
        }
        translations.write(folder, segments, {"rl": said})
        return tmp_path

    return write


def test_one_seed_is_a_paired_bootstrap_over_its_segments(runs):
    mixed = REFERENCES[:3] + WORSE[3:]
    runs("first", 1, {"es-en": WORSE, "fr-en": mixed})
    folder = runs("other", 1, {"es-en": mixed, "fr-en": WORSE})
    found = against_first(folder, "first", ["other"], [1], ["es-en"])["other"]
    count, called = Extractor(REFERENCES, "en"), tuple(str(n) for n in range(len(REFERENCES)))
    for metric in ("bleu", "chrf"):
        expected = compare(*([resample(count(said), "es-en", called)] for said in (mixed, WORSE)), metric)
        assert found.differences[metric] == expected and expected.difference > 0
    assert (found.runs, found.ahead) == (1, {"bleu": 1, "chrf": 1})
    # What one direction gains the other loses: their mean is 0, and neither is ahead.
    both = against_first(folder, "first", ["other"], [1], ["es-en", "fr-en"])["other"]
    assert both.differences["chrf"].difference == pytest.approx(0, abs=1e-9)
    assert (both.ahead["chrf"], both.equal["chrf"]) == (0, 1)


def test_seeds_are_averaged_and_counted(runs):
    for seed, (first, other) in enumerate([(WORSE, REFERENCES), (WORSE, REFERENCES), (REFERENCES, WORSE)], 1):
        runs("first", seed, {"es-en": first})
        folder = runs("other", seed, {"es-en": other})
    found = against_first(folder, "first", ["other"], [1, 2, 3, 4], ["es-en"])["other"]
    one = against_first(folder, "first", ["other"], [1], ["es-en"])["other"]
    assert (found.runs, found.ahead, found.equal) == (3, {"bleu": 2, "chrf": 2}, {"bleu": 0, "chrf": 0})
    for metric in ("bleu", "chrf"):
        assert found.differences[metric].difference == pytest.approx(one.differences[metric].difference / 3)


def test_other_text_is_not_compared(runs):
    runs("first", 1, {"es-en": WORSE})
    runs("first", 2, {"es-en": WORSE})
    runs("elsewhere", 1, {"es-en": REFERENCES}, sources="t")
    runs("shorter", 1, {"es-en": REFERENCES[:4]})
    runs("elsewhere", 2, {"es-en": REFERENCES})
    folder = runs("unfinished", 3, {"es-en": REFERENCES})
    found = against_first(folder, "first", ["elsewhere", "shorter", "unfinished", "nowhere"], [1, 2, 3], ["es-en"])
    assert {name: one.runs for name, one in found.items()} == {"elsewhere": 1}
    assert against_first(folder, "first", ["elsewhere"], [2], ["es-en", "fr-en"]) == {}


def test_a_run_that_is_written_again_is_read_again(runs, tmp_path):
    runs("first", 1, {"es-en": WORSE})
    folder = runs("other", 1, {"es-en": WORSE})
    assert against_first(folder, "first", ["other"], [1], ["es-en"])["other"].differences["chrf"].difference == 0
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "other" / "seed-1" / translations.FILE).rename(again / "old")
    (tmp_path / "other" / "seed-1").rmdir()
    runs("other", 1, {"es-en": REFERENCES})
    assert against_first(folder, "first", ["other"], [1], ["es-en"])["other"].differences["chrf"].difference > 0
