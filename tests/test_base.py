"""The base model that ships with the package."""

import re

import pytest

from eclectus import config as cfg
from eclectus import recipes
from eclectus.corpora.dataset import prepare
from eclectus.evaluation.metrics import Scorer
from eclectus.languages import direction, expand_directions
from eclectus.policies.load import base_folder, load_policy
from eclectus.segment import Segment

LANGUAGES = ["en", "es", "pt", "fr", "de", "it", "ca", "gl", "cy"]


@pytest.fixture(scope="module")
def base():
    return load_policy("base")


def test_size_and_languages(base):
    policy, seen = base
    assert (base_folder() / "model.safetensors").stat().st_size < 12_000_000
    assert sum(p.numel() for p in policy.model.parameters()) < 5_000_000
    assert set(policy.languages) == set(LANGUAGES)
    assert len(seen) > 40_000


@pytest.mark.parametrize(
    ("source", "target", "text", "expected"),
    [
        ("en", "es", "12 kilometers per hour", "12 kilómetros por hora"),
        ("fr", "en", "mars 2032", "March 2032"),
        ("en", "de", "5 days", "5 Tage"),
    ],
)
def test_it_translates(base, source, target, text, expected):
    assert base[0].translate([Segment(text, source, target)]) == [expected]


def test_its_card_names_recipe_data_and_scores():
    card = (base_folder() / "README.md").read_text(encoding="utf-8")
    for part in ("supervised:", "seed: 1", "django:", "wagtail:", "BLEU", "| en-es |", "| cy-en |", "Unicode"):
        assert part in card, part


@pytest.mark.slow
def test_its_scores_are_those_of_the_card(base):
    """Other versions of the corpora hold other text, so the scores are compared where the card's versions are met."""
    policy, _ = base
    card = (base_folder() / "README.md").read_text(encoding="utf-8")
    config = cfg.parse(recipes.read("base"))
    dataset = prepare(config.data, config.data.split_seed)
    for signature in dataset.describe()["signatures"]:
        if signature not in card:
            pytest.skip(f"the card was made with other corpora than {signature}")
    for source, target in expand_directions(["en-*", "*-en"], LANGUAGES):
        segments = dataset.pairs("test", source, target)
        scores = Scorer(segments, LANGUAGES).score(policy.translate(segments, config.evaluation.max_length))
        name = direction(source, target)
        row = re.search(rf"^\| {name} \| (\d+) \| ([\d.]+) \| ([\d.]+) \|", card, re.MULTILINE)
        assert row is not None, name
        assert int(row[1]) == scores.n
        assert scores.bleu == pytest.approx(float(row[2]), abs=0.5), name
        assert scores.chrf == pytest.approx(float(row[3]), abs=0.5), name
