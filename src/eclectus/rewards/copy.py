"""Is the source copied instead of translated?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from pydantic import Field

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.text import best_of_references, squeeze, units, words_only
from eclectus.segment import Segment

_EDGES = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»„“”‘’‚…–—¿¡。、，！？：；（）「」『』・।؟،؛\u200e\u200f"


class Copy(Reward):
    r"""1 if the hypothesis shares no more words with the source than a translation may, falling to 0 for a copy.

    $$o = \frac{|W(y) \cap W(x)|}{|W(y)|}, \qquad r = \min\Big(1, \frac{1 - o}{1 - \text{tolerated}}\Big)$$

    with W the multiset of words (characters in scripts without spaces), case folded, without what is copied by right:
    numbers, placeholders, links, and words with a capital letter that are not the text's first and stand so in the
    source or the reference (names). The tolerated share is the option, or the reference's own share where that is
    higher. Range [0, 1].

    Abstains where copying can be right: the source has fewer than `min_words` such words (`min_characters` characters),
    or the reference equals the source. An empty hypothesis copies nothing: 1.

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
        tolerated = self.options.tolerated
        if segment.reference is not None:
            tolerated = max(tolerated, _overlap(_counted(known, names), source))
        overlap = _overlap(_counted(_words(hypothesis), names), source)
        return 1.0 if overlap <= tolerated else (1 - overlap) / (1 - tolerated)


def _overlap(words: Counter[str], source: Counter[str]) -> float:
    total = words.total()
    return (words & source).total() / total if total else 0.0


def _words(text: str) -> list[str]:
    return [stripped for word in units(words_only(text)) if (stripped := word.strip(_EDGES))]


def _counted(words: Sequence[str], names: Set[str]) -> Counter[str]:
    """Count the words that a translation changes, which are neither numbers nor names; the first word always counts."""
    return Counter(
        word.casefold()
        for i, word in enumerate(words)
        if (i == 0 or word not in names) and not any(c.isnumeric() for c in word)
    )
