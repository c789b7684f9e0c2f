"""Mistakes in a corpus of the user's own: one sentence that names the corpus, the line and what it must do."""

import inspect
import re

import pytest

from eclectus.config import Component, DataConfig
from eclectus.corpora.base import Corpus, Entry
from eclectus.corpora.dataset import prepare, read_pairs
from eclectus.errors import DataError

NUMBERS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


def pair(i, **texts):
    words = " ".join(NUMBERS[int(digit)] for digit in f"{i:02d}")
    return Entry({"en": f"take {words}", "es": f"toma {words}", **texts}, "mine", f"mine:{i}")


class Good(Corpus):
    """A generator."""

    signature = "mine"

    def entries(self):
        yield from (pair(i) for i in range(60))


class Listed(Good):
    """A list."""

    def entries(self):
        return [pair(i) for i in range(60)]


class Dicts(Good):
    def entries(self):
        yield pair(1)
        yield {"en": "Hello", "es": "Hola"}  # here


class Tuples(Good):
    def entries(self):
        return [("Hello", "Hola")]


class NoMapping(Good):
    def entries(self):
        yield Entry(["Hello", "Hola"], "mine", "mine:1")  # here


class NoText(Good):
    def entries(self):
        yield pair(7, es=None)  # here


class Inner(Good):
    def entries(self):
        yield from self.more()

    def more(self):
        yield pair(7, es=7)  # here


class OtherLanguage(Good):
    def entries(self):
        yield pair(7, gl="toma")  # here


class NoId(Good):
    def entries(self):
        yield Entry({"en": "Hello", "es": "Hola"}, "mine", 3)  # here


class NoLabel(Good):
    def entries(self):
        yield Entry({"en": "Hello", "es": "Hola"}, None, "mine:1")  # here


class NoSplit(Good):
    def entries(self):
        yield Entry({"en": "Hello", "es": "Hola"}, "mine", "mine:1", "training")  # here


class Nothing(Good):
    def entries(self):  # here
        pass


class Text(Good):
    def entries(self):  # here
        return "Hello"


class NoFile(Good):
    def entries(self):
        yield pair(1)
        yield from open("nofile.txt")  # noqa: SIM115 # here


class AtOnce(Good):
    def entries(self):
        return [Entry({"en": "a b"})]  # here


class Library(Good):
    def entries(self):
        re.compile("(")  # here
        yield pair(1)


class Arguments(Good):
    def entries(self, file):  # here
        yield pair(1)


class Unready(Good):
    def __init__(self, options, languages, seed):  # here
        self.rows = []


class NoSignature(Good):
    signature = None


class MethodSignature(Good):
    def signature(self):
        return "mine"


class BrokenSignature(Good):
    @property
    def signature(self):
        return self.nothing  # here


class Ours(Good):
    def entries(self):
        raise DataError("mine: this file has no rows")


def config(kind):
    return DataConfig(languages=["en", "es"], corpora=[Component(type=f"{__name__}:{kind.__name__}")], dev=5, test=5)


def line(kind):
    """The line of a class that is marked."""
    source, first = inspect.getsourcelines(kind)
    return first + next(i for i, text in enumerate(source) if text.rstrip().endswith("# here"))


CASES = [
    (Dicts, r"yields dict \{'en': 'Hello', 'es': 'Hola'\}; it must yield Entry\(texts, self.label, id\)"),
    (NoMapping, r"yields an Entry with list \['Hello', 'Hola'\] as its texts; it must yield Entry"),
    (NoText, r"yields the entry 'mine:7' with None as its text in 'es'; give a string, or leave"),
    (Inner, r"yields the entry 'mine:7' with int 7 as its text in 'es'; give a string"),
    (OtherLanguage, r"entry 'mine:7' with a text in 'gl', which is not among data.languages \(en, es\); leave"),
    (NoId, r"yields the entry '3' with int 3 as its id; give a string"),
    (NoLabel, r"yields the entry 'mine:1' with None as its corpus; give a string"),
    (NoSplit, r"with str 'training' as its split; give one of auto, train, dev, test"),
    (Nothing, r"returned None; it must yield Entry"),
    (Text, r"returned str 'Hello'; it must yield Entry"),
    (NoFile, r"FileNotFoundError \(.*'nofile.txt'\) at .*; it must yield Entry"),
    (AtOnce, r"TypeError \(.*missing 2 required positional arguments.*\) at .*; it must yield Entry"),
    (Library, r"failed with (PatternError|error) \(.*\) at .*; it must yield Entry"),
    (Arguments, r"TypeError \(.*missing 1 required positional argument: 'file'\)"),
    (Unready, r"must call super\(\).__init__ too"),
    (BrokenSignature, r"signature failed with AttributeError .*; it must say in a string where the text came from"),
]


@pytest.mark.parametrize(("kind", "said"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mistake_is_one_sentence_with_its_line(kind, said):
    with pytest.raises(DataError, match=said) as caught:
        prepare(config(kind), 1)
    told = str(caught.value)
    assert told.startswith(f"data.corpora.0 '{__name__}:{kind.__name__}': ")
    assert f"{__file__}:{line(kind)}" in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Tuples, r"entries at .*:\d+ yields tuple \('Hello', 'Hola'\); it must yield Entry"),
        (NoSignature, "is None; it must be a property and say"),
        (MethodSignature, "is method <bound method .*; it must be a property and say"),
    ],
)
def test_a_mistake_that_has_no_line_of_its_own(kind, said):
    with pytest.raises(DataError, match=said):
        prepare(config(kind), 1)


@pytest.mark.parametrize("kind", [Good, Listed])
def test_what_is_right_is_read(kind):
    data = prepare(config(kind), 1)
    assert sum(data.counts["es"]["mine"].values()) == 60
    assert data.describe()["signatures"] == ["mine"]


def test_errors_that_say_what_to_do_stay_as_they_are():
    with pytest.raises(DataError, match=r"^mine: this file has no rows$"):
        prepare(config(Ours), 1)


def test_a_corpus_that_is_not_split_is_checked_too():
    with pytest.raises(DataError, match=r"^compare.0 '.*:NoText': entries at .* with None as its text in 'es'"):
        read_pairs("compare.0", Component(type=f"{__name__}:NoText"), ["en", "es"])
