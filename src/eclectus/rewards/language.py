"""Is the hypothesis in the target language?"""

from __future__ import annotations

import copy
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from numbers import Real

import langcodes
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from pydantic import Field

from eclectus import registry
from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward, RewardContext, Score, failure
from eclectus.rewards.text import excerpt, words_only
from eclectus.segment import Segment

Identifier = Callable[[str, Sequence[str]], Mapping[str, float] | None]

_NO_LETTERS = re.compile(r"[\W\d_]+")  # and vowel signs, which Python does not count as parts of words
_JOINERS = "\u200c\u200d"
_SPACES = re.compile(" +")
_MIN_BYTES = 10

_SURE = 0.8
"""Probability from which `identify` names a language. About 0.3 % of right texts of 10 letters or more are named wrong
then (1 % among sisters such as Czech and Slovak). Where the wanted language is known, the reward sees more: it weighs
the odds against that one."""

_MOST_CHARACTERS = 2000  # read of a text: plenty to tell its language
_CACHED_TEXTS = 2**16
# Labels of py3langid that are not what langcodes makes of a tag.
_ALIASES = {"fil": "tl", "nb": "no", "nds": None, "ckb": None}
# Scripts in which py3langid knows a language, tried on sentences, where they are not its likeliest one by CLDR alone.
_SCRIPTS = {
    "sr": {"Cyrl", "Latn"},
    "uz": {"Latn", "Cyrl"},
    "zh": {"Hans", "Hant"},
    "yue": {"Hant", "Hans"},
    "ko": {"Kore", "Hang"},
    "crh": {"Latn"},
}


class Language(Reward):
    r"""1 if the hypothesis reads as the target language, 0 if another of the run's languages is far more likely.

    $$r = \begin{cases} 1 & p_t > 1/2 \\ 0 & \max_l p_l \ge \text{odds} \, \max(K - 1, 4) \, p_t \\
      \text{None} & \text{else} \end{cases}$$

    with p the probabilities of py3langid over the run's K languages only, of the text without placeholders, markup,
    links, digits and punctuation. Range {0, 1}. Abstains between the two cases, under `min_bytes` bytes of letters (10
    Latin, 5 Cyrillic, 4 Chinese), and where py3langid does not know the target language, does not know it in the tag's
    script (`hi-Latn`, `kk-Latn`, `pa-Arab`; it knows `sr-Latn` and `uz-Cyrl`), or knows only one of the run's
    languages. Varieties such as `pt-BR` and `pt-PT` are one language to it.

    The odds are against the target, with half of the prior on the target and half spread over the K - 1 others (over 4
    if there are fewer, for caution); a bar for the winner alone would call right Slovak at 0.25 beside Czech at 0.75 a
    false alarm. Measured on the translations of Django and wagtail and on CLDR names (1,400 to 4,200 texts a language,
    many of them names of languages and places), beside English; the first number is the share of right texts that are
    called off target, the second that of English texts that are:

    | bytes | es fr de | es fr de it pt nl pl | es ca gl pt fr | cs sk sl hr sr | zh ja ko th vi hi ne mr | 70 of them |
    |---|---|---|---|---|---|---|
    | 10-15 | 0.6 %, 43 % | 0.7 %, 37 % | 0.6 %, 42 % | 1.1 %, 47 % | 0.1 %, 80 % | 0.3 %, 33 % |
    | 16-20 | 0.1 %, 63 % | 0.3 %, 58 % | 0.3 %, 61 % | 0.7 %, 70 % | 0.0 %, 94 % | 0.1 %, 48 % |
    | 21-30 | 0.2 %, 85 % | 0.5 %, 82 % | 0.2 %, 84 % | 0.7 %, 89 % | 0.1 %, 99 % | 0.1 %, 70 % |
    | 31-50 | 0.0 %, 99 % | 0.0 %, 99 % | 0.0 %, 99 % | 0.0 %, 100 % | 0.1 %, 100 % | 0.0 %, 97 % |
    | 51 and more | 0.0 %, 100 % | 0.0 %, 100 % | 0.0 %, 100 % | 0.0 %, 100 % | 0.0 %, 100 % | 0.0 %, 99 % |

    Vowel signs count as letters: without them Hindi, Marathi and Nepali look alike. Beside English and each other, of
    1,300 messages and names each, 0.4 to 0.5 % of right texts are called off target, and 9 to 17 % of those in a sister
    language; most are too short to judge.

    With `graded: true` the value is the probability of the target under that same prior, for use as a term:

    $$r = \frac{p_t}{p_t + (1 - p_t) / \max(K - 1, 4)}$$

    Another `identifier` is a function `package.module:function` of the text and the run's BCP-47 tags that returns a
    probability for each tag that it knows, or None to abstain. The measurements above do not hold for it.

    Source: py3langid, https://github.com/adbar/py3langid, after Lui and Baldwin 2012, https://aclanthology.org/P12-3005.

    Example:
        >>> from eclectus.segment import Segment
        >>> language = Language(context=RewardContext(languages=["en", "es", "fr"]))
        >>> texts = ["El gato negro duerme en la casa", "The black cat is sleeping in the house", "OK"]
        >>> language([Segment("", "en", "es")] * 3, texts)
        [1.0, 0.0, None]

    How it is cheated: short text in another language is not judged, and a text half in each keeps the odds low; any
    text of the target language scores 1. It is a gate, not a measure of quality.
    """

    class Options(Reward.Options):
        """When to judge."""

        odds: float = Field(
            2.5, gt=1, description="times more likely than the target another language must be, by languages beside it"
        )
        min_bytes: int = Field(_MIN_BYTES, ge=1, description="UTF-8 bytes of letters below which nothing is judged")
        identifier: str = Field("py3langid", description="py3langid, or package.module:function of text and tags")
        graded: bool = Field(False, description="the probability of the target instead of 0 and 1")

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        tags = self.context.languages
        self._ask: Identifier | None = None
        if self.options.identifier == "py3langid":
            self._labels = labels(tags)
        else:
            self._ask = _load(self.options.identifier, self.name)
            self._labels = {tag: tag for tag in tags}
        self._known = frozenset(label for label in self._labels.values() if label)

    @property
    def signature(self) -> str:
        """The identifier with the languages, and the odds."""
        options = self.options
        how = "graded" if options.graded else f"odds:{options.odds:g}"
        return f"language|{options.identifier}:{','.join(sorted(self._known))}|{how}|min:{options.min_bytes}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis' language; None where that would be a guess."""
        return [self.judge(segment.target_lang, text) for segment, text in zip(segments, hypotheses, strict=True)]

    def judge(self, language: str, text: str) -> Score:
        """Judge one text as one in `language`, a BCP-47 tag."""
        label = self._labels.get(language)
        if label is None or len(self._known) < 2:
            return None
        text, min_bytes = text[:_MOST_CHARACTERS], self.options.min_bytes
        if self._ask is None:
            probabilities = _probabilities(text, self._known, min_bytes)
        else:
            probabilities = self._asked(letters) if (letters := _letters(text, min_bytes)) else None
        if not probabilities or label not in probabilities:
            return None
        target, others = probabilities[label], max(len(probabilities) - 1, 4)
        if self.options.graded:
            return target / (target + (1 - target) / others)
        if target > 0.5:
            return 1.0
        return 0.0 if max(probabilities.values()) >= self.options.odds * others * target else None

    def _asked(self, letters: str) -> Mapping[str, float] | None:
        """Return the probabilities of the user's own identifier, over the tags that it knows."""
        assert self._ask is not None
        place = f"reward '{self.name}': the identifier '{self.options.identifier}'"
        wanted = "return a probability for each tag that it knows, or None"
        try:
            found = self._ask(letters, list(self._labels))
        except Exception as error:
            raise failure(place, error, f"take a text and the run's tags, and {wanted}") from error
        if found is None:
            return None
        if not (isinstance(found, Mapping) and all(isinstance(p, Real) and 0 <= p < math.inf for p in found.values())):
            raise RunError(f"{place} returned {found!r} for {excerpt(letters)}; it must {wanted}")
        own = {tag: p for tag, p in found.items() if tag in self._labels}
        total = sum(own.values())
        return {tag: p / total for tag, p in own.items()} if total and len(own) > 1 else None


def _load(kind: str, reward: str) -> Identifier:
    """Return the function `package.module:function`."""
    where = f"reward '{reward}': identifier"
    found = registry.load_own(where, kind, "package.module:function") if ":" in kind else None
    if not callable(found):
        raise ConfigError(
            f"reward '{reward}': the identifier '{kind}' is no function; write py3langid or package.module:function"
        )
    return found


def identify(texts: Sequence[str], languages: Sequence[str]) -> list[tuple[str | None, float]]:
    """Say in which of the given languages each text is.

    Args:
        texts: any texts.
        languages: BCP-47 tags to choose among.

    Returns:
        For each text the tag as in `languages` and its probability; (None, probability) where it is not sure, the text
        is too short, or two of the tags are one language to py3langid (`pt-BR` and `pt-PT`).
    """
    by_label: dict[str, list[str]] = {}
    for tag, label in labels(languages).items():
        if label:
            by_label.setdefault(label, []).append(tag)
    known = frozenset(by_label)
    found: list[tuple[str | None, float]] = []
    for text in texts:
        probabilities = _probabilities(text[:_MOST_CHARACTERS], known, _MIN_BYTES) if len(known) > 1 else None
        if not probabilities:
            found.append((None, 0.0))
            continue
        label = max(probabilities, key=probabilities.__getitem__)
        sure = probabilities[label] >= _SURE and len(by_label[label]) == 1
        found.append((by_label[label][0] if sure else None, probabilities[label]))
    return found


def labels(languages: Sequence[str]) -> dict[str, str | None]:
    """Return py3langid's label for each BCP-47 tag, None where it knows no such language, or not in this script."""
    return {tag: _label(tag) for tag in dict.fromkeys(languages)}


@lru_cache(maxsize=1024)
def _label(tag: str) -> str | None:
    known = set(_model().labels)
    for macro in (False, True):  # yue is a label of its own, cmn is not and becomes zh
        try:
            standard = langcodes.standardize_tag(tag.replace("_", "-"), macro=macro)
        except ValueError:
            return None
        code = standard.split("-")[0]
        label = _ALIASES.get(code, code)
        if label is None or label in known:
            return label if label and _knows_script(standard, code, label) else None
    return None


def _knows_script(tag: str, code: str, label: str) -> bool:
    """Tell whether the script that a tag names, or that its region implies (`pa-PK`), is one that the label is for."""
    usual = langcodes.Language.get(code).maximize().script
    wanted = langcodes.Language.get(tag)
    script = wanted.maximize().script
    return script in _SCRIPTS.get(label, {usual}) or (wanted.script is None and script == usual)


@cache
def _model() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=64)
def _restricted(known: frozenset[str]) -> LanguageIdentifier:
    identifier = copy.copy(_model())  # the arrays are shared, set_languages replaces references to them
    identifier.set_languages(sorted(known))
    return identifier


def _letters(text: str, min_bytes: int) -> str | None:
    """Return the words of a text without what is no language; None if there are too few letters to tell."""
    composed = unicodedata.normalize("NFC", words_only(text))
    letters = _NO_LETTERS.sub(lambda gap: _marks(gap[0]), composed).strip()
    return letters if len(letters.encode("utf-8", "surrogatepass")) >= min_bytes else None


@lru_cache(maxsize=4096)
def _marks(gap: str) -> str:
    """Return what stands between letters, a space for what is no part of a word: vowel signs and joiners are."""
    return _SPACES.sub(" ", "".join(c if unicodedata.category(c)[0] == "M" or c in _JOINERS else " " for c in gap))


@lru_cache(maxsize=_CACHED_TEXTS)
def _probabilities(text: str, known: frozenset[str], min_bytes: int) -> Mapping[str, float] | None:
    """Return py3langid's probability of each language; None if there are too few letters to tell."""
    letters = _letters(text, min_bytes)
    return None if letters is None else dict(_restricted(known).rank(letters))
