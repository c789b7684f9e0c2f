"""What rewards ask about a text: its language subtag, its units in any script, its reference, its placeholders."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import langcodes

from eclectus.errors import DataError
from eclectus.segment import Segment

# Scripts written without spaces between words; every such character is a unit of its own. Hangul is spaced.
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai ... Tai Tham
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"  # CJK, kana, bopomofo
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_UNITS = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")

# All repetitions are bounded: a text of 100,000 characters is read in linear time.
PLACEHOLDERS = re.compile(
    r"%\([^()\s]{1,80}\)[#0\- +]?\d*(?:\.\d+)?[a-zA-Z]"  # %(name)s
    r"|%(?:\d+\$)?(?:\.\d+)?[sdifgxr](?![A-Za-z])"  # %s %d %1$s %.2f
    r"|\$?\{\{?\s{0,3}[\w.\[\]!:,%|]{0,80}\s{0,3}\}?\}"  # {name} {0} {} {{ name }} ${name}
    r"|</?[a-zA-Z][^<>]{0,200}>"  # <b> </a>
)
LINKS = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]{1,64}@[\w-]{1,64}\.\S+")


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
    return _UNITS.findall(text)


def squeeze(text: str) -> str:
    """Normalise a text to NFC with single spaces and none at the ends."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def visible(text: str) -> bool:
    """Tell whether a text holds a character that is neither space nor control nor format nor a filler."""
    return any(unicodedata.category(c)[0] not in "ZCM" and c not in _FILLERS for c in text)


_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffd")


def words_only(text: str) -> str:
    """Return the text without placeholders, markup, links and addresses: what is left is language."""
    return LINKS.sub(" ", PLACEHOLDERS.sub(" ", text))


def references_of(segment: Segment, reward: str) -> tuple[str, ...]:
    """Return the segment's references, one or more.

    Raises:
        DataError: the segment has none, or one that is no text.
    """
    references = segment.references
    if not references or any(not isinstance(reference, str) for reference in references):
        place = f"segment '{segment.id}'" if segment.id else f"the segment {excerpt(segment.source)}"
        if not references:
            raise DataError(
                f"reward '{reward}': {place} ({segment.direction}) has no reference; "
                "use a corpus and a task with references, or a reward that needs none"
            )
        odd = next(reference for reference in references if not isinstance(reference, str))
        raise DataError(
            f"reward '{reward}': {place} ({segment.direction}) has a reference of type {type(odd).__name__}; "
            "a reference must be a string"
        )
    return references


def excerpt(text: str, limit: int = 60) -> str:
    """Return a printable beginning of a text for an error message."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")
