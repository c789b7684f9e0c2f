"""What rewards ask about a text: its language subtag, its units in any script, its reference, its placeholders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import langcodes

from eclectus.errors import DataError
from eclectus.segment import Segment

# Scripts written without spaces between words; every such character is a unit of its own. Hangul is spaced.
UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai ... Tai Tham
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"  # CJK, kana, bopomofo
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
UNITS = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")

# All repetitions are bounded: a text of 100,000 characters is read in linear time.
_WIDTH = r"%(?:\d{1,2}\$)?[-+0#,]{0,3}\d{0,4}(?:\.(?:\d{1,3}|\*))?"
_SPEC = rf"{_WIDTH}(?:hh?|ll?|[jztLq])?"
# %(name)s %% %dMB %lubajt and %s %1$s %-5.2f %lu %@, but not the percent signs of "100%sure", "5 %de" and "50%off".
PRINTF = (
    r"%\([^()\s]{1,80}\)[#0\- +]?\d{0,4}(?:\.\d{1,3})?[a-zA-Z]|%%"
    rf"|(?<!\d)(?<!\d[ \u00a0\u202f])(?:{_SPEC}[sd]|{_WIDTH}(?:ll?|z)u)|{_SPEC}[sdiufFeEgGxXorcp@](?![A-Za-z])"
)
BRACES = (
    r"[$%#]?\{\{?\s{0,3}[\w.\[\]!:,%|+#-]{0,80}\s{0,3}\}?\}"  # {name} {0} {} {0:.2f} {{ name }} ${name} %{name}
    r"|\{\s{0,3}[\w.-]{1,80}\s{0,3},\s{0,3}\w{1,40}\s{0,3}(?:,[^{}]{0,200})?\}"  # {d, date, short}
)
TAGS = r"</?[a-zA-Z][^<>]{0,1000}>"
ENTITIES = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
PLACEHOLDERS = re.compile(rf"{BRACES}|{PRINTF}|{TAGS}")
_MARKUP = re.compile(rf"{BRACES}|{PRINTF}|{TAGS}|{ENTITIES}")
# What ends a link, also in scripts that put no space behind it (RFC 3986, appendix C, leaves that to the reader).
# Hangul, which attaches its particles, and marks that are not seen (bidirectional controls, joiners) among them.
_STOPS = (
    f'\\s<>"`“”„«»「」（）【】《》〈〉［］〔〕、。，！？；：؟،۔।።፣፤፥፦։…—{UNSPACED}'
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069"
)
URLS = re.compile(rf"(?<![A-Za-z0-9])(?:[A-Za-z][A-Za-z0-9+.-]{{1,10}}://|www\.)[^{_STOPS}]{{0,2000}}")
ADDRESSES = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9]|-[A-Za-z0-9-]{0,62}\.[A-Za-z0-9])"  # a hyphen may attach an ending: info@a.org-ra
)
LINKS = re.compile(rf"{URLS.pattern}|{ADDRESSES.pattern}")


@lru_cache(maxsize=4096)
def subtag(tag: str) -> str:
    """Return the shortest language subtag of a BCP-47 tag: `pt-BR` -> `pt`, `swa` -> `sw`, `zho_Hans` -> `zh`."""
    try:
        standard = langcodes.standardize_tag(tag.replace("_", "-"))
    except ValueError:
        standard = tag.replace("_", "-")
    return standard.split("-")[0].lower()


def units(text: str) -> list[str]:
    """Split a text into words where words are spaced and into characters where they are not."""
    return UNITS.findall(text)


def squeeze(text: str) -> str:
    """Normalise a text to NFC with single spaces and none at the ends."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def visible(text: str) -> bool:
    """Tell whether a text holds a character that is neither space nor control nor format nor a filler."""
    return any(unicodedata.category(c)[0] not in "ZCM" and c not in _FILLERS for c in text)


_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffd")


def words_only(text: str) -> str:
    """Return the text without placeholders, markup, links and addresses: what is left is language."""
    return LINKS.sub(" ", _MARKUP.sub(" ", text))


def references_of(segment: Segment, reward: str) -> tuple[str, ...]:
    """Return the segment's references, one or more.

    Raises:
        DataError: the segment has none.
    """
    if not segment.references:
        place = f"segment '{segment.id}'" if segment.id else f"the segment {excerpt(segment.source)}"
        raise DataError(
            f"reward '{reward}': {place} ({segment.direction}) has no reference; "
            "use a corpus and a task with references, or a reward that needs none"
        )
    return segment.references


def best_of_references(
    judge: Callable[[Segment, str], float | None], segment: Segment, hypothesis: str
) -> float | None:
    """Return the best that `judge` says with one reference of the segment at a time.

    None where it says None with one of them: a text that is free of what is judged, as one right translation is, is not
    wrong for what another one has.
    """
    if not segment.alternatives or segment.reference is None:
        return judge(segment, hypothesis)
    alone = [replace(segment, reference=text, alternatives=()) for text in segment.references]
    values = [judge(variant, hypothesis) for variant in alone]
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def excerpt(text: str, limit: int = 60) -> str:
    """Return a printable beginning of a text for an error message."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")
