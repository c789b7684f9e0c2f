"""Is the source copied instead of translated?"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.text import best_of_references, squeeze, units, words_only
from eclectus.segment import Segment

_MIN_TEXTS, _MOST_TEXTS = 20, 20_000  # training texts of a language: fewer tell nothing, more cost time
_AS_USUAL = 0.5  # how often a word stands in the target language to be its own, as a share of that in the source's
# Equal in capitals and small letters: I is the capital of ı in Turkish, and İ is i and a dot of its own casefolded.
_ALIKE = str.maketrans({"ı": "i", "\u0307": None})
_EDGES = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»„“”‘’‚…–—¿¡。、，！？：；（）「」『』・।؟،؛\u200e\u200f"


class Copy(Reward):
    r"""1 if the hypothesis shares no more words with the source than a translation may, falling to 0 for a copy.

    $$o = \frac{|W(y) \cap W(x)|}{|W(y)|}, \qquad r = \min\Big(1, \frac{1 - o}{1 - \text{tolerated}}\Big)$$

    with W the multiset of words (characters in scripts without spaces), case folded, without what is copied by right:
    numbers, placeholders, links, words with a capital letter that are not the text's first and stand so in the source
    or the reference (names), and words of the source that are the target language's too: those that stand in its
    training text at least half as often as in that of the source language. The tolerated share is the option, or the
    reference's own share where that is higher. Range [0, 1].

    Abstains where copying can be right: the source has fewer than `min_words` such words (`min_characters` characters),
    those of both languages included, or none but these, or the reference equals the source. An empty hypothesis copies
    nothing: 1.

    Without 20 training texts or more in each of the two languages no word is known to be of both, and right
    translations between close languages score below 1 unless there is a reference. Share of the judged translations of
    Django and wagtail below 1, without references and without training text; then with one half of the catalogues as
    training text, judging the other:

    | | es-gl | nb-nn | zh-Hans-zh-Hant | gl-pt-BR | nb-da | es-pt-BR | es-ca | cs-sk | en-de |
    |---|---|---|---|---|---|---|---|---|---|
    | without | 30 % | 46 % | 41 % | 17 % | 18 % | 10 % | 7 % | 5 % | 0.3 % |
    | with | 1.2 % | 5.1 % | 1.4 % | 0.6 % | 0 % | 0.2 % | 0.3 % | 0.7 % | 0.1 % |

    All copies that are judged score 0 either way, and at most 3 % fewer are.

    Source: the copy rate as a failure of translation models: Currey et al. 2017, https://aclanthology.org/W17-4715;
    Ott et al. 2018, https://arxiv.org/abs/1803.00047 (section 5.1, overlap of unigrams with the source above one half).

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("the black cat sleeps here", "en", "es")
        >>> Copy()([segment] * 3, ["el gato negro duerme", "the black cat sleeps here", "the black cat duerme"])
        [1.0, 0.0, 0.5]

    How it is cheated: changing one letter in each word makes it a different word, and so does writing in lower case
    what the source capitalises (German nouns); adding target-language words in front of a full copy keeps the share
    below 1 (gate with `length` and `language`).
    """

    class Options(Reward.Options):
        """What is not yet a copy."""

        tolerated: float = Field(0.5, ge=0, lt=1, description="share of shared words that costs nothing")
        min_words: int = Field(3, ge=1, description="sources with fewer words to translate are not judged")
        min_characters: int = Field(4, ge=1, description="the same in characters, for scripts without spaces")

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._shares: dict[str, dict[str, float]] = {}
        self._common: dict[tuple[str, str], Set[str]] = {}

    @property
    def signature(self) -> str:
        """The tolerated share."""
        return f"copy|tolerated:{self.options.tolerated:g}|min:{self.options.min_words}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge how far each hypothesis is from its source; None where the source may be copied."""
        return [
            best_of_references(self._judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        if segment.reference is not None and squeeze(segment.reference) == squeeze(segment.source):
            return None
        spelled, known = _words(segment.source), _words(segment.reference or "")
        names = {word for word in (*spelled, *known) if word[0].isupper()}
        source = _counted(spelled, names)
        # Characters, not words, where most are not spaced.
        spaced = sum(map(len, source.elements())) > 1.5 * source.total()
        if source.total() < (self.options.min_words if spaced else self.options.min_characters):
            return None
        common = source.keys() & self._words_of_both(segment.source_lang, segment.target_lang)
        source = _less(source, common)
        if not source:
            return None
        tolerated = self.options.tolerated
        if segment.reference is not None:
            tolerated = max(tolerated, _overlap(_less(_counted(known, names), common), source))
        overlap = _overlap(_less(_counted(_words(hypothesis), names), common), source)
        return 1.0 if overlap <= tolerated else (1 - overlap) / (1 - tolerated)

    def _words_of_both(self, source_lang: str, target_lang: str) -> Set[str]:
        """Return the words of the source language that the target language uses as well, by the training text."""
        pair = (source_lang, target_lang)
        if pair not in self._common:
            source, target = map(self._shares_of, pair)
            self._common[pair] = {word for word, share in source.items() if target.get(word, 0) >= _AS_USUAL * share}
        return self._common[pair]

    def _shares_of(self, language: str) -> Mapping[str, float]:
        """Return the share of each word in the training text of a language; none where that is too little."""
        if language not in self._shares:
            texts = self.context.target_texts.get(language, ())
            step = -(-len(texts) // _MOST_TEXTS) or 1
            counts = Counter(word for text in texts[::step] for word in map(_fold, _words(text)))
            total = counts.total() if len(texts) >= _MIN_TEXTS else 0
            self._shares[language] = {word: n / total for word, n in counts.items()} if total else {}
        return self._shares[language]


def _overlap(words: Counter[str], source: Counter[str]) -> float:
    total = words.total()
    return (words & source).total() / total if total else 0.0


def _less(words: Counter[str], common: Set[str]) -> Counter[str]:
    return Counter({word: n for word, n in words.items() if word not in common}) if common else words


def _words(text: str) -> list[str]:
    normal = unicodedata.normalize("NFC", words_only(text))
    return [stripped for word in units(normal) if (stripped := word.strip(_EDGES))]


def _fold(word: str) -> str:
    folded = word.casefold()
    return folded if folded.isascii() else folded.translate(_ALIKE)


def _counted(words: Sequence[str], names: Set[str]) -> Counter[str]:
    """Count the words that a translation changes, which are neither numbers nor names; the first word always counts."""
    return Counter(
        _fold(word)
        for i, word in enumerate(words)
        if (i == 0 or word not in names) and not any(c.isnumeric() for c in word)
    )
