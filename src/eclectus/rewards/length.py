"""Is the hypothesis about as long as it should be?"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from pydantic import Field, model_validator

from eclectus.errors import DataError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.text import best_of_references, excerpt
from eclectus.segment import Segment

_MIN_TEXTS = 20
_LARGEST_RATIO = 5.0


class Length(Reward):
    r"""1 inside a band around the expected length, then falling linearly in the logarithm of the ratio to 0.

    $$d = \Big|\log \frac{|y| + \text{slack}}{e + \text{slack}}\Big|, \qquad
      r = \min\Big(1, \max\Big(0, \frac{\log \text{limit} - d}{\log \text{limit} - \log \text{band}}\Big)\Big)$$

    with |y| the hypothesis' characters without spaces and e those of the reference. Where there is no reference, e is
    the source's length times the ratio of the mean lengths of the training text in the two languages, and the wider
    `band_source` applies. Twice too long and twice too short are judged alike. The slack keeps short phrases, whose
    ratios vary most, from being judged by a letter or two. Range [0, 1].

    Abstains without a reference where either language has fewer than 20 training texts. An empty text is 0.

    Hard limits, for text that must fit a place on a screen: a hypothesis of more characters than `max_chars`, or than
    the segment's own attribute `max_chars`, is 0 whatever the rest; one within the limit is judged as above, and is 1
    where that abstains. The limit counts characters of the normal form NFC, spaces included.

    Source: the length ratio of Gale and Church 1993, https://aclanthology.org/J93-1004, in characters; as a symmetric
    log-ratio because ratios multiply.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("die schwarze Katze schläft hier", "de", "en", reference="the black cat sleeps here")
        >>> [round(x, 2) for x in Length()([segment] * 3, ["a black cat is sleeping here", "a black cat", "so " * 40])]
        [1.0, 0.57, 0.0]
        >>> button = Segment("Abbrechen", "de", "en", attributes={"max_chars": "8"})
        >>> Length()([button] * 2, ["Cancel", "Cancel it"])
        [1.0, 0.0]

    How it is cheated: any text of the right length scores 1. It is a gate, not a measure of quality.
    """

    class Options(Reward.Options):
        """Ratios above 1; each also stands for its inverse."""

        band: float = Field(1.3, gt=1, description="ratio to the reference that costs nothing")
        band_source: float = Field(1.6, gt=1, description="the same without a reference")
        limit: float = Field(3.0, gt=1, description="ratio from which the value is 0")
        slack: float = Field(5.0, ge=0, description="characters added to both lengths")
        max_chars: int | None = Field(
            None,
            ge=1,
            description="characters that no hypothesis may exceed; segments may have the attribute max_chars",
        )

        @model_validator(mode="after")
        def _ordered(self) -> Length.Options:
            if max(self.band, self.band_source) >= self.limit:
                raise ValueError("limit must be larger than band and band_source")
            return self

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._means = {
            language: sum(map(_length, texts)) / len(texts)
            for language, texts in self.context.target_texts.items()
            if len(texts) >= _MIN_TEXTS
        }

    @property
    def signature(self) -> str:
        """The band and the limit."""
        options = self.options
        most = f"|max:{options.max_chars}" if options.max_chars else ""
        band = f"{options.band:g}/{options.band_source:g}"
        return f"length|band:{band}|limit:{options.limit:g}|slack:{options.slack:g}{most}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis' length; None where nothing tells what it should be.

        Raises:
            DataError: an attribute `max_chars` is no whole number above 0.
        """
        return [
            best_of_references(self._judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        most = self._most(segment)
        if most is None:
            return self._by_ratio(segment, hypothesis)
        if len(unicodedata.normalize("NFC", hypothesis)) > most:
            return 0.0
        value = self._by_ratio(segment, hypothesis)
        return 1.0 if value is None else value

    def _most(self, segment: Segment) -> int | None:
        """Return the smaller of the two limits."""
        own = segment.attributes.get("max_chars")
        if own is None:
            return self.options.max_chars
        if not str(own).isdecimal() or int(own) < 1:
            raise DataError(
                f"reward 'length': the attribute max_chars of segment '{segment.id}' is {excerpt(str(own))}; "
                "make it a whole number above 0"
            )
        return min(int(own), self.options.max_chars or int(own))

    def _by_ratio(self, segment: Segment, hypothesis: str) -> Score:
        options = self.options
        if segment.reference is not None:
            expected, band = float(_length(segment.reference)), options.band
        else:
            ratio = self.ratio(segment.source_lang, segment.target_lang)
            if ratio is None:
                return None
            expected, band = _length(segment.source) * ratio, options.band_source
        length = _length(hypothesis)
        if not length or not expected:
            return float(not length and not expected)
        distance = abs(math.log((length + options.slack) / (expected + options.slack)))
        room = math.log(options.limit)
        return min(1.0, max(0.0, (room - distance) / (room - math.log(band))))

    def ratio(self, source_lang: str, target_lang: str) -> float | None:
        """Return how many target characters one source character is expected to become; None if unknown."""
        source, target = self._means.get(source_lang), self._means.get(target_lang)
        if not source or not target:
            return None
        return min(_LARGEST_RATIO, max(1 / _LARGEST_RATIO, target / source))


def _length(text: str) -> int:
    return len("".join(text.split()))
