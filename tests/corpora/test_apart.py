"""Zero-shot text: after `keep_apart` no text has its translation anywhere."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from eclectus.config import DataConfig
from eclectus.corpora.apart import keep_apart
from eclectus.corpora.base import Entry
from eclectus.corpora.clean import normalise_key
from eclectus.corpora.dataset import prepare
from eclectus.errors import ConfigError


def entries(rows: Sequence[dict[str, str]]) -> list[Entry]:
    return [Entry(texts, "c", str(n)) for n, texts in enumerate(rows)]


def translations_left(before: Sequence[Entry], after: Sequence[Entry], tags: Sequence[str]) -> list[str]:
    """Texts of one language that are kept though a translation of theirs into another one is kept too: the definition
    itself, by brute force over what stood in one line before or shared a text in between."""
    keys = [{(tag, normalise_key(text)) for tag, text in entry.texts.items()} for entry in before]
    changed = True
    while changed:
        changed = False
        for one, other in permutations(keys, 2):
            if one & other and one != other:
                one |= other
                changed = True
    kept = {(tag, normalise_key(text)) for entry in after for tag, text in entry.texts.items() if tag in tags}
    return [key for group in keys for _, key in group & kept if len({tag for tag, _ in group & kept}) > 1]


TRIPLES = [{"en": f"{n} dogs", "de": f"{n} Hunde", "fr": f"{n} chiens"} for n in range(40)]
LINKED = [
    *TRIPLES,
    {"en": "one dog", "de": "ein Hund"},
    {"en": "One dog!", "fr": "un chien"},  # the same English, so its French belongs to the German above
    {"de": "ein Hund", "en": "a dog"},
    {"en": "a dog", "fr": "un chien là"},
    {"de": "nur hier"},
    {"fr": "ici seulement"},
]


@pytest.mark.parametrize("seed", range(5))
def test_no_text_has_its_translation_left(seed):
    before = entries(LINKED)
    after = keep_apart(before, ["de", "fr"], seed)
    assert translations_left(before, before, ["de", "fr"])
    assert translations_left(before, after, ["de", "fr"]) == []
    assert [e.id for e in after] == sorted((e.id for e in after), key=int)
    # English stays with every line, and what has no translation loses nothing.
    assert [e.texts["en"] for e in after if "en" in e.texts] == [row["en"] for row in LINKED if "en" in row]
    assert {"nur hier", "ici seulement"} <= {text for e in after for text in e.texts.values()}


def test_halves_are_about_equal_and_depend_on_the_seed_alone():
    one, again, other = (keep_apart(entries(TRIPLES), ["de", "fr"], seed) for seed in (1, 1, 2))
    german = [sum("de" in e.texts for e in found) for found in (one, other)]
    assert one == again != other
    assert all(10 <= n <= 30 for n in german)
    more = keep_apart(entries([{"en": "zero", "de": "null", "fr": "zéro"}, *TRIPLES]), ["de", "fr"], 1)
    assert [e.texts for e in more[1:]] == [e.texts for e in one]


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_the_entries_and_of_their_languages_does_not_matter(seed):
    one = keep_apart(entries(LINKED), ["de", "fr"], seed)
    backwards = entries([dict(reversed(row.items())) for row in LINKED])[::-1]
    other = keep_apart(backwards, ["de", "fr"], seed)
    assert {e.id: dict(e.texts) for e in one} == {e.id: dict(e.texts) for e in other}


def test_three_languages_and_lines_without_a_choice():
    rows = [{**row, "es": f"{n} perros"} for n, row in enumerate(TRIPLES)]
    after = keep_apart(entries(rows), ["de", "fr", "es"], 1)
    assert {len(e.texts) for e in after} == {2}
    assert {tag for e in after for tag in e.texts} == {"en", "de", "fr", "es"}
    assert keep_apart(entries(TRIPLES), ["it", "es"], 1) == entries(TRIPLES)


def test_a_text_left_without_language_goes():
    rows = [{"de": "ja", "fr": "oui"}, {"fr": "oui"}, {"de": "ja"}]
    assert [len(e.texts) for e in keep_apart(entries(rows), ["de", "fr"], 1)] == [1, 1]


def test_multi30k_falls_into_halves_without_a_translation(shared_data):
    languages = ["en", "de", "fr"]
    files = {tag: f"train.{tag}" for tag in languages}
    config = DataConfig(
        languages=languages,
        root=shared_data / "multi30k",
        corpora=[
            {"type": "lines", "files": files},
            {"type": "lines", "files": {tag: f"val.{tag}" for tag in languages}, "split": "dev"},
            {"type": "lines", "files": {tag: f"test_2016_flickr.{tag}" for tag in languages}, "split": "test"},
        ],
        apart=["de", "fr"],
        max_chars=1000,
        dev=2000,
        test=2000,
    )
    dataset = prepare(config, 1)
    assert dataset.pairs("train", "de", "fr") == []
    kept = {tag: {normalise_key(t) for t in dataset.monolingual("train", tag)} for tag in languages}
    lines = [(shared_data / "multi30k" / f"train.{t}").read_text(encoding="utf-8").split("\n")[:-1] for t in languages]
    for _, german, french in zip(*lines, strict=True):
        assert not (normalise_key(german) in kept["de"] and normalise_key(french) in kept["fr"])
    sizes = [len(dataset.pairs("train", "en", tag)) for tag in ("de", "fr")]
    assert all(14_200 < size < 14_800 for size in sizes) and sum(sizes) > 28_950
    assert len(dataset.pairs("test", "de", "fr")) >= 995


def test_one_language_or_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match="one language alone cannot be kept apart"):
        DataConfig(languages=["en", "de"], corpora=[{"type": "cldr"}], apart=["de"])
    with pytest.raises(ConfigError, match=r"data.apart: 'fr' is not among data.languages"):
        prepare(DataConfig(languages=["en", "de"], corpora=[{"type": "cldr"}], apart=["de", "fr"]), 1)
