"""Does the hypothesis change its language on the way?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.language import Language
from eclectus.rewards.text import UNITS, words_only
from eclectus.segment import Segment


class Mixing(Reward):
    r"""1 minus the share of the hypothesis' windows that are in another of the run's languages.

    $$r = 1 - \frac{|\{w : \text{language}(w) = 0\}|}{|\{w : \text{language}(w) \in \{0, 1\}\}|}$$

    over the windows w of `window` words (characters in scripts without spaces) that begin every half window, the last
    one at the end of the text. `language` is the reward of that name, which judges a whole text by what most of it is.
    Range [0, 1]. Abstains where fewer than two windows are judged: on texts of one window, and in languages that the
    identifier does not know.

    Source: language identification in overlapping windows to find the languages of a mixed document, Lui et al. 2014,
    https://aclanthology.org/Q14-1003 (there with a topic model over the windows).

    Measured on the 1,000 German and French sentences of multi30k's test_2016_flickr in a run with en, es, fr, de, it,
    pt, nl and pl; the foreign part comes from the English sentence:

    | text | mean, de | below 1, de | mean, fr | below 1, fr |
    |---|---|---|---|---|
    | as it is | 1.000 | 0.0 % | 1.000 | 0.1 % |
    | second half English | 0.496 | 96 % | 0.503 | 94 % |
    | last third English | 0.714 | 84 % | 0.715 | 82 % |

    `language` calls 14 % (de) and 20 % (fr) of the half English ones off target and half of them right. Windows of 6
    words catch 79 % and 81 % of these, of 8 words 52 % and 55 %.

    Example:
        >>> from eclectus.segment import Segment
        >>> mixing = Mixing(context=RewardContext(languages=["en", "es"]))
        >>> spanish = "el gato negro duerme en la casa que hay cerca del río"
        >>> mixed = "el gato negro duerme en la casa which is near the river and the old bridge"
        >>> pure, half, short = mixing([Segment("", "en", "es")] * 3, [spanish, mixed, "el gato negro"])
        >>> pure, 0.2 < half < 0.8, short
        (1.0, True, None)

    How it is cheated: single foreign words spread over the text never fill a window; a text entirely in another
    language scores 0 only if it is long (gate with `language` too); the identifier cannot separate languages that look
    alike.
    """

    class Options(Reward.Options):
        """The windows, and when one is judged."""

        window: int = Field(4, ge=2, description="words in a window, characters in scripts without spaces")
        odds: float = Field(2.5, gt=1, description="as in the reward language")
        min_bytes: int = Field(10, ge=1, description="UTF-8 bytes of letters below which a window is not judged")
        identifier: str = Field("py3langid", description="py3langid, or package.module:function of text and tags")

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        own = self.options
        self._language = Language(
            Language.Options(odds=own.odds, min_bytes=own.min_bytes, identifier=own.identifier), context
        )

    @property
    def signature(self) -> str:
        """The window and the identification."""
        return f"mixing|window:{self.options.window}|{self._language.signature.partition('|')[2]}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis by its windows; None where there are not two."""
        return [self._judge(segment.target_lang, text) for segment, text in zip(segments, hypotheses, strict=True)]

    def _judge(self, language: str, text: str) -> Score:
        judged = [self._language.judge(language, window) for window in _windows(text, self.options.window)]
        known = [value for value in judged if value is not None]
        return sum(known) / len(known) if len(known) > 1 else None


def _windows(text: str, size: int) -> list[str]:
    """Return every half window's window of the text's words; none where the text is no longer than one."""
    text = words_only(text)
    words: list[re.Match[str]] = list(UNITS.finditer(text))
    if len(words) <= size:
        return []
    first = [*range(0, len(words) - size, max(1, size // 2)), len(words) - size]
    return [text[words[i].start() : words[i + size - 1].end()] for i in first]
