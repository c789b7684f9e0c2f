"""Sentence BLEU: equal to sacreBLEU's, and what it says of the known cheats."""

import random

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

from eclectus.errors import ConfigError, DataError
from eclectus.registry import find, parse_options
from eclectus.rewards.base import Reward
from eclectus.rewards.bleu import Bleu, _tokenizer
from eclectus.segment import Segment


def options(**values):
    return parse_options("reward.terms.0", Bleu.Options, values)


def random_pairs(seed, count=300, alphabet="a b c dog cat . , ! -x 3,5 ( & the"):
    rng = random.Random(seed)
    words = alphabet.split()
    for _ in range(count):
        reference = [rng.choice(words) for _ in range(rng.randint(0, 14))]
        hypothesis = [w if rng.random() > 0.4 else rng.choice(words) for w in reference][: rng.randint(0, 14)]
        yield " ".join(hypothesis), " ".join(reference)


def strange_text(rng):
    alphabet = "ab1 2.,-'&<>\"()\n\t\u00a0\u2028\u3000中文。，ー한ไทยשלוםé😀\ud800$%/~{}"
    pieces = [".", ",", "。", "5.", "&amp;", "&quot;", "<skipped>", "-\n", " . ", "1.5", "...", *alphabet]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 30)))


# hypothesis, reference, language, BLEU of sacreBLEU 2.6.0 (effective order, exp)
GOLDEN = [
    ("the cat sat on the mat", "the cat sat on the mat", "en", 1.0),
    ("A black cat sleeps .", "A black cat sleeps here .", "en", 0.5789300674674098),
    ("the the the the", "the cat", "en", 0.1597357760615681),
    ("chat", "chat", "fr", 1.0),
    ("dog", "cat", "en", 0.0),
    ("", "cat", "en", 0.0),
    ("cat", "", "en", 0.0),
    ("", "", "en", 0.0),
    ("我喜欢猫", "我喜欢狗", "zh", 0.5946035575013605),
    ("我喜欢猫", "我喜欢狗", "en", 0.0),
    ("猫が好き", "猫が好きです", "ja", 0.6065306597126334),
]


@pytest.mark.parametrize(("hypothesis", "reference", "language", "expected"), GOLDEN)
def test_golden(hypothesis, reference, language, expected):
    segment = Segment("", "en", language, reference=reference)
    assert Bleu()([segment], [hypothesis]) == [pytest.approx(expected, abs=1e-9)]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("max_order", [1, 2, 4])
@pytest.mark.parametrize(
    ("smooth_method", "smooth_value"),
    [("exp", None), ("add-k", None), ("add-k", 0.5), ("floor", None), ("floor", 0.01), ("floor", 0.0), ("none", None)],
)
def test_equals_sacrebleu(smooth_method, smooth_value, max_order, lowercase):
    ours = Bleu(
        options(smooth_method=smooth_method, smooth_value=smooth_value, max_order=max_order, lowercase=lowercase)
    )
    theirs = BLEU(
        effective_order=True,
        smooth_method=smooth_method,
        smooth_value=smooth_value,
        max_ngram_order=max_order,
        lowercase=lowercase,
    )
    for hypothesis, reference in random_pairs(seed=max_order, alphabet="A a b c Dog dog . , -x 3,5 the"):
        expected = theirs.sentence_score(hypothesis, [reference]).score / 100
        assert ours.score(hypothesis, reference, "en") == pytest.approx(expected, abs=1e-9), (hypothesis, reference)


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_equals_sacrebleu_on_strange_text(tokenize):
    rng = random.Random(7)
    ours, theirs = Bleu(options(tokenize=tokenize)), BLEU(effective_order=True, tokenize=tokenize)
    for _ in range(400):
        reference = strange_text(rng)
        hypothesis = reference[: rng.randint(0, 30)] + strange_text(rng)[:8]
        expected = theirs.sentence_score(hypothesis, [reference]).score / 100
        assert ours.score(hypothesis, reference, "en") == pytest.approx(expected, abs=1e-9), (hypothesis, reference)


@pytest.mark.parametrize(("kind", "theirs"), [("13a", Tokenizer13a()), ("zh", TokenizerZh())])
def test_tokens_equal_sacrebleus(kind, theirs):
    rng = random.Random(11)
    ours = _tokenizer(kind)
    for _ in range(5000):
        text = strange_text(rng).rstrip()
        assert ours(text) == theirs(text).split(), text


@pytest.mark.parametrize(
    ("direction", "tokenize"), [("de-en", "13a"), ("en-cs", "13a"), ("cs-uk", "13a"), ("en-zh", "zh")]
)
def test_equals_sacrebleu_on_wmt23(shared_data, direction, tokenize):
    folder = shared_data / "wmt23-golden"
    target = direction.partition("-")[2]
    references = (folder / f"{direction}.ref.{target}").read_text(encoding="utf-8").split("\n")[:60]
    bleu, theirs = Bleu(), BLEU(effective_order=True, tokenize=tokenize)
    for system in sorted(folder.glob(f"{direction}.hyp.*")):
        hypotheses = system.read_text(encoding="utf-8").split("\n")[:60]
        scores = bleu([Segment("", "en", target, reference=r) for r in references], hypotheses)
        expected = [theirs.sentence_score(h, [r]).score / 100 for h, r in zip(hypotheses, references, strict=True)]
        assert scores == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [
        ("zh", "zh"), ("zh-Hant-TW", "zh"), ("yue", "zh"), ("zho_Hans", "zh"), ("ja", "char"), ("jpn", "char"),
        ("ko", "char"), ("th", "char"), ("es", "13a"), ("pt-BR", "13a"), ("not a tag!", "13a"),
    ],
)  # fmt: skip
def test_tokenizer_by_language(language, tokenizer):
    assert Bleu().tokenizer_for(language) == tokenizer
    assert Bleu(options(tokenize="none")).tokenizer_for(language) == "none"


def test_signature_names_every_setting():
    assert Bleu().signature.startswith("BLEU|nrefs:1|case:mixed|eff:yes|tok:auto|smooth:exp|version:2.")
    other = Bleu(options(smooth_method="floor", lowercase=True, max_order=2, tokenize="char")).signature
    assert "case:lc|eff:yes|tok:char|smooth:floor[0.10]|n:2|" in other


def test_needs_a_reference():
    with pytest.raises(DataError, match="'greeting' \\(en-es\\) has no reference"):
        Bleu()([Segment("Hello", "en", "es", id="greeting")], ["Hola"])


def test_is_found_by_its_file_name_and_refuses_unknown_options():
    assert find("rewards", "bleu", Reward) is Bleu
    with pytest.raises(ConfigError, match=r"reward\.terms\.0\.smooth'.*did you mean"):
        options(smooth="exp")


def test_equal_hypotheses_of_a_group_get_equal_scores():
    segments = [Segment("", "fr", "en", reference="a black cat sleeps")] * 2
    groups = Bleu().score_groups(segments, [["a cat", "a dog", "a cat"], ["a black cat sleeps", "", "x"]])
    assert groups[0][0] == groups[0][2] != groups[0][1]
    assert groups[1] == [1.0, 0.0, 0.0]


def test_cheats_of_the_docstring():
    bleu = Bleu()
    reference = "the old man and the sea are on the same side of the road"
    assert bleu.score("the old man and the sea are on the same side", reference, "en") > 0.7  # leaves out the end
    assert bleu.score("the the the of on and", reference, "en") > 0.02  # function words
    assert bleu.score("an elderly gentleman beside some ocean", reference, "en") == 0  # no signal
