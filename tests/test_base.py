"""The base model that ships with the package."""

import json
import re
from hashlib import sha256
from random import Random

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from eclectus import config as cfg
from eclectus import recipes
from eclectus.corpora.dataset import prepare
from eclectus.evaluation.metrics import Scorer
from eclectus.languages import direction, expand_directions
from eclectus.policies.load import base_folder, load_policy
from eclectus.segment import Segment

LANGUAGES = ["en", "es", "pt", "fr", "de", "it", "ca", "gl", "cy"]
DIGEST = "8963d9426f8acfd1338ac399089a545d3b0b527653452cb19858dda09888deee"


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


def test_its_tokenizer_files_say_the_same_to_transformers_4_and_5():
    """Against the tokenizers library alone, which knows nothing of transformers' own settings."""
    tokenizer = AutoTokenizer.from_pretrained(base_folder())
    plain = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tags = [f">>{language}<<" for language in LANGUAGES]
    pieces = sorted(plain.get_vocab())
    random = Random(1)
    texts = ["".join(random.choices(pieces, k=random.randint(1, 20))).replace("▁", " ") for _ in range(2000)]
    texts += [f"{random.choice(tags)} {text}" for text in texts[:500]]
    texts += ["".join(chr(random.randrange(32, 0xD800)) for _ in range(12)) for _ in range(500)]
    texts += ["", " ", "a  b", "caf\u00e9 cafe\u0301", "</s> <pad>", "\u200b\ufeff", "👩🏽‍🚀 12,5 %"]
    rows = tokenizer(texts).input_ids
    assert rows == [encoded.ids for encoded in plain.encode_batch(texts)]
    decoded = tokenizer.batch_decode(rows, skip_special_tokens=True)
    assert decoded == plain.decode_batch(rows, skip_special_tokens=True)
    # Recorded with transformers 5.23 and tokenizers 0.23.3.
    assert sha256(json.dumps([rows, decoded]).encode()).hexdigest() == DIGEST
    assert set(tokenizer.all_special_tokens) == {"<pad>", "</s>", "<unk>", *tags}
    assert not tokenizer.clean_up_tokenization_spaces


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
        row = re.search(rf"^\| {name} \| (\d+) \| \*\*supervised\*\* \| ([\d.]+) \| ([\d.]+) \|", card, re.MULTILINE)
        assert row is not None, name
        assert int(row[1]) == scores.n
        assert scores.bleu == pytest.approx(float(row[2]), abs=0.5), name
        assert scores.chrf == pytest.approx(float(row[3]), abs=0.5), name
