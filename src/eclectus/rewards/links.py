"""Are URLs and e-mail addresses kept?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.matching.multiset import MeasureOptions, agreement, expected_text
from eclectus.rewards.text import ADDRESSES, URLS, best_of_references
from eclectus.segment import Segment

# What languages attach to a name: Turkish https://a.org'da, Finnish a.org:ssä, Hungarian a.org-ot, Armenian a.org֊ով.
_ENDING = re.compile(r"['’:֊‑-][^\W\d_]{1,8}\Z")
_PAIRS = {")": "(", "]": "[", "}": "{"}


class Links(Reward):
    r"""F1 of the URLs and e-mail addresses of the hypothesis against those of the reference, or source without one.

    $$F_1 = \frac{2 \sum_k \min(h_k, e_k)}{\sum_k h_k + \sum_k e_k}$$

    with h and e the counts of each link, compared letter by letter. A URL begins with a scheme (`https://`) or `www.`;
    punctuation behind it belongs to the sentence, and so does an ending of up to eight letters behind ' ’ : or a hyphen
    where the rest is a link of the source or reference (Turkish `https://a.org'da`, Hungarian `https://a.org-ot`).
    Range [0, 1]. Abstains where neither side has any. Bare domains (`example.org`) are words here.

    Source: RFC 3986, https://www.rfc-editor.org/rfc/rfc3986 (appendix C, URIs in running text); this project's choice
    of what ends one in scripts without spaces.

    Example:
        >>> from eclectus.segment import Segment
        >>> segment = Segment("See https://a.org/x or ask info@a.org.", "en", "es")
        >>> Links()([segment] * 2, ["Vea https://a.org/x o info@a.org.", "Vea https://a.org/es/x o info@a.org"])
        [1.0, 0.5]

    How it is cheated: the bare links score 1. What looks like an ending costs nothing (`/x` to `/x-de`). A link that is
    rightly localised (`/en/` to `/de/`) counts as changed unless there is a reference.
    """

    class Options(MeasureOptions):
        """How agreement is measured."""

    options: Options

    @property
    def signature(self) -> str:
        """`links|f1`."""
        return f"links|{self.options.measure}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge which of its reference's, else its source's, links each hypothesis keeps."""
        return [
            best_of_references(self._judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)
        ]

    def _judge(self, segment: Segment, hypothesis: str) -> Score:
        expected, found = links(expected_text(segment)), links(hypothesis)
        if expected != found:
            # Endings are told from what belongs to a link by the link without them on the other side.
            known = links(segment.source)
            expected = _plain(expected, known)
            found = _plain(found, known | expected)
        return agreement(expected, found, self.options.measure)


def links(text: str) -> Counter[str]:
    """Count the URLs and e-mail addresses of a text."""
    urls = URLS.findall(text)
    return Counter([_trimmed(url) for url in urls] + ADDRESSES.findall(URLS.sub(" ", text)))


def _plain(found: Counter[str], known: Counter[str]) -> Counter[str]:
    """Count the links without an ending where that makes a known one of them."""
    plain: Counter[str] = Counter()
    for link, count in found.items():
        bare = _trimmed(_ENDING.sub("", link))
        plain[bare if link not in known and bare in known else link] += count
    return plain


def _trimmed(url: str) -> str:
    """Return the URL without the sentence's punctuation: a bracket stays where it was opened inside."""
    while url:
        last = url[-1]
        if last in ".,;:!?'’*_" or (last in _PAIRS and url.count(last) > url.count(_PAIRS[last])):
            url = url[:-1]
        else:
            break
    return url
