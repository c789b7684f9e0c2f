"""Agreement of the translations of one source into several languages, against values worked out by hand."""

import pytest
from sacrebleu.metrics import CHRF

from eclectus.evaluation.agreement import agreement
from eclectus.segment import Segment

ENGLISH = {"un gato negro": "a black cat", "un chat noir": "a black cat", "un chien": "one dog", "eine Katze": "a cat"}
CHRF_PP = CHRF(word_order=2)


def read(segments):
    assert all(s.target_lang == "en" and s.source_lang != "en" and s.source and s.reference is None for s in segments)
    return [ENGLISH[s.source] for s in segments]


def both_ways(a, b):
    return (CHRF_PP.sentence_score(a, [b]).score + CHRF_PP.sentence_score(b, [a]).score) / 2


def rows(target, *sources, source="en"):
    return [Segment(text, source, target, reference="withheld") for text in sources]


def test_each_direction_is_compared_with_each_other():
    segments = {f"en-{t}": rows(t, "a black cat") for t in ("es", "fr", "de")}
    outputs = {"en-es": ["un gato negro"], "en-fr": ["un chat noir"], "en-de": ["eine Katze"]}
    near = both_ways("a black cat", "a cat")
    found = agreement(segments, outputs, read, "en")
    assert found == pytest.approx({"en-es": (100 + near) / 2, "en-fr": (100 + near) / 2, "en-de": near})


def test_only_sources_that_are_shared_count_and_an_empty_translation_agrees_with_nothing():
    segments = {"en-es": rows("es", "a black cat", "alone"), "en-fr": rows("fr", "other", "a black cat", "third")}
    outputs = {"en-es": ["un gato negro", "un perro"], "en-fr": ["un chien", "un chat noir", ""]}
    assert agreement(segments, outputs, read, "en") == pytest.approx({"en-es": 100, "en-fr": 100})
    segments["en-de"], outputs["en-de"] = rows("de", "third", "a black cat"), ["eine Katze", " "]
    found = agreement(segments, outputs, read, "en")
    assert found == pytest.approx({"en-es": (100 + 0) / 2, "en-fr": (100 + 0 + 0) / 3, "en-de": (0 + 0 + 0) / 3})


def test_a_translation_into_the_pivot_is_read_as_it_is():
    segments = {"es-en": rows("en", "un gato", source="es"), "es-fr": rows("fr", "un gato", source="es")}
    found = agreement(segments, {"es-en": ["a cat"], "es-fr": ["un chat noir"]}, read, "en")
    near = both_ways("a cat", "a black cat")
    assert found == pytest.approx({"es-en": near, "es-fr": near})
    # The same words from another language are another source.
    segments["ca-fr"] = rows("fr", "un gato", source="ca")
    assert "ca-fr" not in agreement(segments, {"ca-fr": ["un chien"], "es-fr": ["un chat noir"]}, read, "en")


def test_nothing_shared_is_no_agreement():
    segments = {"en-es": rows("es", "one"), "en-fr": rows("fr", "two")}
    assert agreement(segments, {"en-es": ["un gato negro"], "en-fr": ["un chien"]}, lambda s: [], "en") == {}
