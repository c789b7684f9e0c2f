"""Does the hypothesis end with the mark that its source ends with?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.matching.multiset import expected_text
from eclectus.rewards.text import TAGS, best_of_references, subtag, visible
from eclectus.segment import Segment

_MARKS = {
    "period": ".．。｡।॥۔։።။។᙮܁܂᠃᱾꓿།៕༎",
    "question": "?？؟\u037e፧⸮⁇⁈‽꘏꛷𑅃⁉",
    "exclamation": "!！﹗߹႟‼",
    "colon": ":：፥፦﹕︓᠄៖፡",
    "semicolon": ";；؛፤꛶",
    "comma": ",，、،፣﹐꘍᠂၊､",
    "ellipsis": "…⋯︙᠁",
}
_CLASS = {mark: kind for kind, marks in _MARKS.items() for mark in marks}
_DOTS = re.compile(r"(?:\.\s?){2,}\.$|[。．]{2,}$|\.\.$")
_TAG = re.compile(TAGS)
# What may stand behind the last mark: spaces, closing quotes and brackets, footnote stars, invisible characters.
_CLOSING = "\"'»«”“’‘›‹)]}）］｝」』】〉》〕*_\u200b\u200c\u200d\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff"
_BEHIND = re.compile(rf"[\s{re.escape(_CLOSING).replace(chr(92) + '-', '-')}]")
# "p.m.", "U.S.", "etc.": the point belongs to the word, and the translation may not have it.
_BEFORE = r"(?<![^\s.,:;([\"“„«/-])"  # no \w: vowel signs of Indic scripts are none, and %(name)s is one word
_ABBREVIATION = re.compile(
    rf"(?:{_BEFORE}\w{{1,3}}\.){{2}}$|{_BEFORE}(?:etc|Inc|Ltd|Co|Jr|Sr|No|ca|vs|Dr|St|Chr|j?Kr|[^\W\d])\.$"
)
_UNIT = re.compile(r"\d[\s-]{0,2}[^\W\d\u2e80-\u9fff가-힣]{1,4}\.$")  # 3 Std., 5-мар.; not in English
_ORDINAL = re.compile(r"\d\.$")  # of 12. in these languages
_ORDINAL_POINT = {
    *("az", "bg", "bs", "cs", "da", "de", "et", "eu", "fi", "fo", "hr", "hu", "is", "ko", "lb"),
    *("lv", "mk", "nb", "nds", "nn", "no", "pl", "sk", "sl", "sr", "tr"),
}
_NO_FULL_STOP = frozenset({"th", "lo"})
_NONE: dict[str, str] = {}
_INDIC = {"|": "period"}
_ETHIOPIC = {"::": "period", "፡፡": "period"}
# Marks, one or two, that mean something else, or nothing, in other languages.
_OWN = {
    "el": {";": "question", "·": "semicolon", "\u0387": "semicolon"},
    **dict.fromkeys(("as", "awa", "bho", "bn", "brx", "doi", "hi", "mai", "mr", "ne", "or", "pa", "sa"), _INDIC),
    **dict.fromkeys(("am", "gez", "ti", "tig"), _ETHIOPIC),
}
_OPENING = {"question": "¿", "exclamation": "¡"}
_READ = 400  # characters at the end of a text in which its last mark is looked for


class Punctuation(Reward):
    r"""1 if the hypothesis ends with the same kind of mark as the reference, or as the source without one, else 0.

    $$r = [\,k(y) = k(x)\,]$$

    with k the kind of the last character: full stop, question mark, exclamation mark, colon, semicolon, comma, ellipsis
    or none of these, in the marks of any script (`.` `。` `।` `۔` `።` `؟` `？` `…` `...`). `?!` and `!?` ask. Closing
    quotes, brackets and tags after the mark are ignored. Range {0, 0.5, 1}.

    By language: `;` asks in Greek, where `·` is the semicolon; `|` is a danda in Hindi and its neighbours; `::` and
    `፡፡` are full stops in Amharic and Tigrinya; an Armenian question has its mark (՞) inside the last word and ends as
    a statement does, with `։` or `:`; Spanish and Asturian questions and exclamations without `¿` or `¡` anywhere are
    0.5; Japanese may ask with か。; Thai and Lao need no full stop and no question mark.

    Abstains where either text has no visible character, where the source (or reference) ends with the point of an
    abbreviation, and where one side alone ends with a full stop that may be such a point or that of an ordinal number
    (*3 Std.*, *1948 г.*; *12.* in languages that write ordinals so).

    Source: locale convention and punctuation in MQM, https://themqm.org; marks: Unicode property Sentence_Terminal,
    https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt.

    Example:
        >>> from eclectus.segment import Segment
        >>> Punctuation()([Segment("Are you there?", "en", "es")] * 3, ["¿Estás ahí?", "Estás ahí?", "Estás ahí."])
        [1.0, 0.5, 0.0]
        >>> Punctuation()([Segment("Files:", "en", "zh"), Segment("Wait...", "en", "hi")], ["文件：", "रुकिए…"])
        [1.0, 1.0]

    Measured on the translations of Django and wagtail from English, without references: the share of judged texts below
    1 is 0.9 % (fr) to 2.5 % (el), 4.0 % (zh-Hans) and 4.5 % (ja), mostly a full stop that the translator left out or
    added; of image captions between English, German and French 0.2 to 0.5 %.

    How it is cheated: only the end is read, so a bare mark scores 1. Use it as a term of small weight, or as a gate.
    """

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge the last mark of each hypothesis; None where there is no text or no mark of its own."""
        return [best_of_references(_judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)]


def _judge(segment: Segment, hypothesis: str) -> Score:
    language = segment.source_lang if segment.reference is None else segment.target_lang
    expected, text = _bare(expected_text(segment)), _bare(hypothesis)
    if not visible(expected) or not visible(text) or _ABBREVIATION.search(expected[-12:]):
        return None
    target = subtag(segment.target_lang)
    wanted, found = final_mark(expected, subtag(language)), final_mark(text, target)
    if target in _NO_FULL_STOP or subtag(language) in _NO_FULL_STOP:
        unmarked = {"period", "question", "none"}
        if wanted != found and {wanted, found} <= unmarked and "none" in (wanted, found):
            return 1.0
    if wanted == "question" and target == "ja" and text.endswith("か。"):
        return 1.0
    if wanted != found:
        of_word = (wanted == "period" and _of_word(expected, subtag(language))) or (
            found == "period" and _of_word(text, target)
        )
        return None if of_word else 0.0
    if target in ("es", "ast") and found in _OPENING and _OPENING[found] not in hypothesis:
        return 0.5
    return 1.0


def _of_word(text: str, language: str) -> bool:
    """Tell whether the point at the end may be that of an ordinal number or an abbreviation."""
    end = text[-12:]
    if _ABBREVIATION.search(end) or (language in _ORDINAL_POINT and _ORDINAL.search(end)):
        return True
    return language != "en" and _UNIT.search(end) is not None


def final_mark(text: str, language: str) -> str:
    """Return the kind of mark that ends a text without closing quotes and tags; "none" if none does.

    Args:
        text: the text.
        language: its language subtag.
    """
    if _DOTS.search(text[-8:]):
        return "ellipsis"
    own = _OWN.get(language, _NONE)
    kind = own.get(text[-2:]) or own.get(text[-1:]) or _CLASS.get(text[-1:], "none")
    if kind == "exclamation":
        before = text.rstrip(_MARKS["exclamation"])[-1:]
        kind = "question" if "question" in (own.get(before), _CLASS.get(before)) else kind  # ?! asks, as !? does
    if language == "hy":
        last = re.split("[։:]", text[:-1])[-1]
        if "՞" in last:
            return "question"
        if "՜" in last:
            return "exclamation"
        return "period" if kind == "colon" else kind
    return kind


def _bare(text: str) -> str:
    """Return the end of a text up to its last mark."""
    text = _TAG.sub("", text[-_READ * 3 :])[-_READ:]
    end = len(text)
    while end and _BEHIND.match(text[end - 1]):
        end -= 1
    return text[:end]
