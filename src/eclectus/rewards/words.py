"""Are the words of the hypothesis words of its language?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import regex
from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.models.dictionaries import Hunspell, Known, Simplemma
from eclectus.rewards.text import UNSPACED, squeeze, words_only
from eclectus.segment import Segment

# Letters, marks and joiners, with apostrophes and hyphens inside; what holds a digit or an underscore is no word.
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_\u200c\u200d]+(?:['’ʼ\-‐][\p{L}\p{M}\p{N}_\u200c\u200d]+)*")
_NO_WORD = regex.compile(rf"[\p{{N}}_{UNSPACED}]")
_INNER = regex.compile(r"['’ʼ\-‐]")
_SENTENCE_END = regex.compile(r"[.!?:…।]\P{L}*$")


class Words(Reward):
    r"""Share of the hypothesis' words that a dictionary of the target language knows.

    $$r = \frac{|\{w : w \text{ known}\}|}{|\{w\}|}$$

    over the words w without placeholders, links, numbers and single letters, and without unknown words with a capital
    letter inside a sentence (names; `names: false` counts them). A word with a hyphen or an apostrophe is known if the
    whole is or all of its parts are; so is a word that stands in at least `seen` training texts of the run. Range
    [0, 1]. Abstains under `min_words` words, in scripts without spaces, and in languages without a dictionary.

    The dictionaries are simplemma's word lists (54 languages; case-insensitive, and with some foreign words in them),
    or those of Hunspell in the folder `path`, which build compounds and inflections by rule.

    Mean value by simplemma for the 1,000 sentences of multi30k's test_2016_flickr; in brackets with 2,000 texts:

    | language | as it is | two letters swapped in one word | letters of each word shuffled | other languages |
    |---|---|---|---|---|
    | en | 0.996 (0.999) | 0.94 | 0.20 | de 0.23, fr 0.36 |
    | de | 0.995 (0.996) | 0.95 | 0.20 | en 0.59, fr 0.52 |
    | fr | 0.949 (0.993) | 0.90 (0.94) | 0.20 | en 0.24, de 0.11 |

    Source: simplemma, https://github.com/adbar/simplemma (`is_known`); Hunspell, https://hunspell.github.io.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("The black cat lives in Sabadell", "en", "es")
        >>> texts = ["El gato negro vive en Sabadell", "El gatto nerro vive", "Gato", "%s 42"]
        >>> Words()([segment] * 4, texts)
        [1.0, 0.5, None, None]

    How it is cheated: any words in any order will do, the shortest and commonest most reliably; short words of another
    language are often in the list; a capital letter inside the sentence excludes an unknown word from the count. Use it
    with a small weight next to a reward that reads the source.
    """

    class Options(Reward.Options):
        """The dictionaries, and which words count."""

        path: Path | None = Field(None, description="folder of Hunspell dictionaries (.aff, .dic); null: simplemma's")
        names: bool = Field(True, description="leave out unknown words with a capital letter inside a sentence")
        seen: int = Field(3, ge=0, description="training texts with a word that make it known; 0: the dictionary only")
        min_words: int = Field(3, ge=1, description="words below which nothing is judged")

    extra = "words"
    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._dictionaries = Simplemma() if self.options.path is None else Hunspell(self.options.path)
        self._known: dict[str, Known | None] = {}

    @property
    def signature(self) -> str:
        """The dictionaries."""
        names = "out" if self.options.names else "in"
        options = self.options
        return f"words|{self._dictionaries.signature}|names:{names}|seen:{options.seen}|min:{options.min_words}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge the words of each hypothesis; None where there are too few, or no dictionary."""
        return [self._judge(segment.target_lang, text) for segment, text in zip(segments, hypotheses, strict=True)]

    def character_scores(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[list[float] | None]:
        """Give each known word its share of the value, at its last character."""
        return [self._shares(s.target_lang, text) for s, text in zip(segments, hypotheses, strict=True)]

    def _shares(self, language: str, text: str) -> list[float] | None:
        judged = self._judged(language, text)
        if judged is None:
            return None
        shares, end = [0.0] * len(text), 0
        for word, found in judged:
            # Words come in the order of the text; one that was put together across what was left out has no place.
            place = text.find(word, end)
            if place >= 0:
                end = place + len(word)
                shares[end - 1] = found / len(judged)
        return shares

    def _judge(self, language: str, text: str) -> Score:
        judged = self._judged(language, text)
        return None if judged is None else sum(found for _, found in judged) / len(judged)

    def _judged(self, language: str, text: str) -> list[tuple[str, bool]] | None:
        """Return the words that count and whether each is known; None where nothing is judged."""
        if language not in self._known:
            self._known[language] = self._with_seen(language, self._dictionaries.words(language))
        known = self._known[language]
        if known is None:
            return None
        judged = [
            (word, found)
            for word, may_be_name in _words(text)
            if (found := _is_known(word, known)) or not (may_be_name and self.options.names)
        ]
        return judged if len(judged) >= self.options.min_words else None

    def _with_seen(self, language: str, known: Known | None) -> Known | None:
        """Add the words of the run's training text, for dictionaries have gaps (French `du` and `au` in simplemma)."""
        texts = self.context.target_texts.get(language, ())
        if known is None or not self.options.seen or not texts:
            return known
        counts = Counter(word for text in texts for word in {word for word, _ in _words(text)})
        common = frozenset(word for word, count in counts.items() if count >= self.options.seen)
        return lambda word: word in common or known(word)


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Return the words to be judged, and whether each has a capital letter that no sentence's beginning explains."""
    text, end = squeeze(words_only(text)), 0
    for match in _WORD.finditer(text):
        word, before = match[0], text[end : match.start()]
        begins, end = end == 0 or bool(_SENTENCE_END.search(before)), match.end()
        if len(word) > 1 and not _NO_WORD.search(word):
            yield word, word != word.lower() and not begins


def _is_known(word: str, known: Known) -> bool:
    if known(word):
        return True
    parts = [part for part in _INNER.split(word) if len(part) > 2]  # l', qu', 's, -ce are no words by themselves
    return parts != [word] and bool(parts) and all(map(known, parts))
