"""Odd text gives defined results in every reward, and long text does not take quadratic time."""

import math
import sys
import time
from dataclasses import replace

import pytest

from eclectus.errors import DataError
from eclectus.registry import find, names, parse_options
from eclectus.rewards.base import Reward, RewardContext
from eclectus.segment import Segment

TEXTS = [f"the {a} {b} is in house number {i}" for a in ("red", "old") for b in ("cat", "dog") for i in range(40)]
ODD = [
    *("", " ", "\t\n\u2028", "\u200b", "\x00", "a", ".", "\ud800", "a\udfff b", "-\n-", "%s %(a)s {b} <b>"),
    *("😀", "👩‍👩‍👧‍👦 🇫🇷", "\u202eabc\u202c", "שלום עולם", "مرحبا بالعالم", "我喜欢猫", "ฉันรักแมว", "ខ្ញុំស្រលាញ់ឆ្មា"),
    *("e\u0301\u0301\u0301", "١٢٣ 456", "İı", "ﬁ"),
]
LONG = {
    "one character": "a" * 100_000,
    "words": "the cat sat on the mat " * 4_400,
    "digits": "1,11," * 20_000,
    "braces": "{ " * 50_000,
    "spaces in a brace": "{" + " " * 100_000,
    "at signs": "a@" * 50_000,
    "unspaced": "".join(chr(0x4E00 + i % 2000) for i in range(100_000)),
    "percent": "%(" * 50_000,
    "angles": "<a" * 50_000,
    "pairs": "ab" * 50_000,
    "distinct": " ".join(map(str, range(18_000))),
    "spaced numbers": "1 000 " * 16_000,
    "one number": "1,000" + ",000" * 24_000,
    "messages": "{a, plural, other {" * 5_000,
    "closed messages": "{a,select,other{" * 5_000 + "}}" * 5_000,
    "attributes": "<a b='" + "c=" * 50_000,
    "entities": "&a" * 50_000,
    "dots": "." * 100_000,
    "dots and spaces": ". " * 50_000,
    "schemes": "a://" * 25_000,
    "closing brackets": "https://a" + ")" * 100_000,
    "nested tags": "<a>" * 33_000,
    "apostrophes": "a'" * 50_000,
    "quotes": '"' * 100_000,
}


# These need a server or a model; their own tests give them odd text.
REWARDS = [kind for kind in names("rewards") if kind not in ("languagetool", "causal_lm")]
SCORER = """
import sys, json
for line in sys.stdin:
    if line.strip():
        request = json.loads(line)
        print(json.dumps({"id": request["id"], "score": len(request["hypothesis"]) % 10 / 10}), flush=True)
"""
OPTIONS = {
    "process": {"command": [sys.executable, "-c", SCORER]},
    "embeddings": {"model": f"{__name__}:encode", "min_others": 1},
}


def encode(texts):
    return [[1.0, text.count("a"), len(text)] for text in texts]


@pytest.fixture(scope="module")
def glossary(tmp_path_factory):
    path = tmp_path_factory.mktemp("glossary") / "es-fr.tsv"
    path.write_text("gato\tchat\ngato negro\tchat noir\n猫\tchat\n", encoding="utf-8")
    return {"files": {"es-fr": path}}


def build(kind, glossary):
    context = RewardContext(
        languages=["en", "es", "fr", "zh"],
        translate=lambda segments: [segment.source for segment in segments],
        target_texts={"en": TEXTS, "es": TEXTS, "fr": TEXTS},
    )
    reward = find("rewards", kind, Reward)
    options = glossary if kind == "glossary" else OPTIONS.get(kind, {})
    return reward(parse_options("reward.terms.0", reward.Options, options), context)


@pytest.fixture(scope="module")
def rewards(glossary):
    made = {kind: build(kind, glossary) for kind in REWARDS}
    yield made
    made["process"].close()


def segments(text):
    for source in ("", "un gato negro duerme aquí", text):
        for reference in ("", "a black cat sleeps here", text):
            yield Segment(source, "es", "fr", reference=reference)


@pytest.mark.parametrize("kind", REWARDS)
def test_odd_text_has_a_value_in_the_unit_interval(rewards, kind):
    for text in ODD:
        for segment in segments(text):
            (value,) = rewards[kind]([segment], [text])
            assert value is None or (isinstance(value, float) and 0 <= value <= 1 and math.isfinite(value)), (
                text,
                segment,
            )


GOOD = Segment("un gato negro duerme aquí", "es", "fr", reference="un chat noir dort ici", id="s1")
NO_TEXT = [
    ([GOOD], [["a", None]], TypeError, "'s1' is NoneType, not a string"),
    ([GOOD], [[3]], TypeError, "'s1' is int, not a string"),
    ([GOOD], [[b"un chat"]], TypeError, "'s1' is bytes, not a string"),
    ([GOOD], ["un chat"], TypeError, "'s1' are one string; give a list"),
    ([GOOD], [["a"], ["b"]], ValueError, "2 hypotheses or groups for 1 segments"),
    ([GOOD, GOOD], [["a"]], ValueError, "1 hypotheses or groups for 2 segments"),
    ([replace(GOOD, source=None)], [["a"]], DataError, "has a source of type NoneType"),
    ([replace(GOOD, reference=7)], [["a"]], DataError, "has a reference of type int"),
    ([replace(GOOD, alternatives=("a", None))], [["a"]], DataError, "has a reference of type NoneType"),
]


def unguarded(kind, glossary):
    """A reward as `build` makes it; those that need a server or a model are never asked that far."""
    if kind in REWARDS:
        return build(kind, glossary)
    reward = find("rewards", kind, Reward)
    return reward.__new__(reward)


@pytest.mark.parametrize("kind", names("rewards"))
def test_what_is_no_text_is_refused_in_one_sentence(glossary, kind):
    reward = unguarded(kind, glossary)
    for segments, hypotheses, error, message in NO_TEXT:
        with pytest.raises(error, match=f"reward '{kind}': .*{message}") as caught:
            reward.score_groups(segments, hypotheses)
        assert "\n" not in str(caught.value)
        if all(isinstance(group, list) for group in hypotheses):
            with pytest.raises(error, match=f"reward '{kind}': .*{message}"):
                reward(segments, [group[-1] for group in hypotheses])
    if kind in REWARDS and "reference" in reward.requires:
        with pytest.raises(DataError, match=r"'s1' .* has no reference"):
            reward([replace(GOOD, reference=None)], ["a"])


@pytest.mark.parametrize("kind", REWARDS)
def test_nothing_in_nothing_out(rewards, kind):
    assert rewards[kind]([], []) == []
    assert rewards[kind].score_groups([], []) == []
    with pytest.raises(ValueError):  # a bug of the caller's
        rewards[kind]([], ["a"])


# The rewards that read a text by regular expressions.
PATTERNS = (
    *("casing", "copy", "glossary", "language", "links", "numbers", "placeholders", "punctuation", "repetition"),
)


@pytest.mark.parametrize("name", LONG)
def test_long_text_is_judged_in_linear_time(rewards, name):
    text = LONG[name]
    for kind in rewards if " " in text or name == "unspaced" else PATTERNS:
        reward = rewards[kind]
        segment = Segment(text, "es", "fr", reference=text)
        started = time.process_time()
        values = reward([segment, Segment("un gato negro duerme aquí", "es", "fr", reference="un chat")], [text] * 2)
        assert time.process_time() - started < 5, kind
        assert all(value is None or 0 <= value <= 1 for value in values)


@pytest.mark.parametrize("kind", REWARDS)
def test_signatures_begin_with_a_name_and_hold_no_space(rewards, kind):
    signature = rewards[kind].signature
    assert signature and " " not in signature
    assert signature.split("|")[0].lower().startswith(kind[:4])


@pytest.mark.parametrize("kind", REWARDS)
def test_a_hypothesis_is_judged_the_same_in_any_company(rewards, glossary, kind):
    if kind == "embeddings":
        pytest.skip("compares with the other sources of the call by its definition")
    reward = rewards[kind]
    batch = [
        Segment("un gato negro", "es", "en", reference="a black cat"),
        Segment("dos", "es", "fr", reference="deux"),
    ]
    hypotheses = ["a black cat", "deux"]
    together = reward(batch, hypotheses)
    alone = [reward([segment], [text])[0] for segment, text in zip(batch, hypotheses, strict=True)]
    again = build(kind, glossary)
    assert together == alone == again(batch, hypotheses)
    if kind == "process":
        again.close()
