"""Do capitals agree with those of the source?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eclectus.rewards.base import Reward, Score
from eclectus.rewards.matching.multiset import expected_text
from eclectus.rewards.text import LINKS, PLACEHOLDERS, best_of_references, subtag
from eclectus.segment import Segment

_WORDS = re.compile(r"[^\W\d_]+(?:['’ʼ-][^\W\d_]+)*")
# Georgian and Cherokee have capitals in Unicode, but no such orthography: their letters count as without case.
_CASELESS = re.compile("[\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f\u13a0-\u13ff\uab70-\uabbf]")
# Dutch and Afrikaans 't Is, 's Avonds, 'n Man: the word behind it is the first.
_CLITICS = re.compile(r"^\W*['’ʼ](?:[tsnkmr]|er|em)\s", re.IGNORECASE)
_LETTER_FIRST = re.compile(r"^[\W_]*[^\W\d_]")
_CAPITAL_NOUNS = frozenset({"de", "lb", "nds", "gsw", "bar", "ksh", "pdc", "frr", "stq"})
_READ = 2000  # characters read of a text
_UPPER_SHARE = 0.8  # STRAßE, McDONALD
_TITLE_WORDS, _TITLE_LETTERS, _TITLE_SHARE = 3, 3, 0.75


class Casing(Reward):
    r"""The share of letter-case checks in which the hypothesis agrees with the reference, or source without one.

    $$r = \frac{1}{|C|} \sum_{c \in C} [\,c(y) = c(x)\,]$$

    over the checks C that apply to both texts:

    - *capitals*: all capitals or not (from two words or five letters on; one short word may be an acronym). Where one
      of the texts is in capitals, this is the only check.
    - *initial*: the first letter is a capital or not, where both texts begin with a letter, not with a placeholder.
    - *title*: a hypothesis of Words That Begin With Capitals where the other text is none, and has fewer capitals
      behind its first word, is wrong; the reverse is right, because headlines in Title Case are an English habit.

    Lenient by language: nouns are capitalised in German and its relatives, so without a reference *title* does not
    apply to them, nor does *initial* unless both texts have more than one word. Range [0, 1]. Abstains if most letters
    of either text have no case (Chinese, Arabic, Hindi, Georgian ...) or no check applies.

    Source: capitalization as a linguistic convention in MQM, https://themqm.org; case: the Unicode Standard, section
    4.2, https://www.unicode.org/versions/latest/.

    Example:
        >>> from eclectus.segment import Segment
        >>> hypotheses = ["Guardar los cambios", "guardar los cambios", "GUARDAR LOS CAMBIOS", "Guardar Los Cambios"]
        >>> Casing()([Segment("Save all changes", "en", "es")] * 4, hypotheses)
        [1.0, 0.5, 0.0, 0.5]
        >>> Casing()([Segment("Save All", "en", "es"), Segment("保存", "zh", "es")], ["Guardar todo", "Guardar"])
        [1.0, None]

    Measured on the translations of Django and wagtail from English, without references: the share of judged texts below
    1 is 1.3 % (el), 3.1 % (es), 3.2 % (fr), 3.9 % (de) and 4.9 % (pl), mostly names of languages and months; of image
    captions between English, German and French 0.1 %.

    How it is cheated: any text with the right capitals scores 1. A single word that is a name in one language only
    (`lunes`, Monday) is judged wrong without a reference. Use it as a term of small weight.
    """

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge the capitals of each hypothesis; None where a text has no case."""
        return [best_of_references(_judge, segment, text) for segment, text in zip(segments, hypotheses, strict=True)]


class _Case(NamedTuple):
    """What is said of a text's letters: `capitals` and `title` are None where it is too short to tell."""

    words: int
    capitals: bool | None
    initial: bool | None
    title: bool
    later: int  # words behind the first that begin with a capital


def _judge(segment: Segment, hypothesis: str) -> Score:
    languages = {segment.target_lang if segment.reference is not None else segment.source_lang, segment.target_lang}
    expected, found = _case(expected_text(segment)), _case(hypothesis)
    if expected is None or found is None:
        return None
    checks = list(_checks(expected, found, {subtag(tag) for tag in languages}))
    return sum(checks) / len(checks) if checks else None


def _checks(expected: _Case, found: _Case, languages: set[str]) -> Iterator[bool]:
    if expected.capitals or found.capitals:
        if expected.capitals is not None and found.capitals is not None:
            yield expected.capitals == found.capitals
        return
    nouns = len(languages) > 1 and bool(languages & _CAPITAL_NOUNS)
    if (
        expected.initial is not None
        and found.initial is not None
        and not (nouns and min(expected.words, found.words) < 2)
    ):
        yield expected.initial == found.initial
    if found.words >= _TITLE_WORDS and not nouns:
        # Two words of a name stay two, whatever "and" counts for: Peter and Maria Garcia, Pedro y María García.
        yield expected.title or not found.title or found.later <= expected.later


def _case(text: str) -> _Case | None:
    """Describe a text; None where it has no letter with case."""
    # A placeholder may stand for a word that begins the text; a tag does not.
    bare = PLACEHOLDERS.sub(lambda match: " " if match.group()[0] == "<" else " 0 ", text[:_READ])
    bare = LINKS.sub(" 0 ", bare)
    words = [word for word in _WORDS.findall(bare) if any(map(_cased, word))]
    letters = [c for word in words for c in word if _cased(c)]
    if 2 * len(letters) <= sum(map(str.isalpha, bare)):  # a foreign word in a text without case says nothing
        return None
    capitals = sum(map(str.isupper, letters)) >= _UPPER_SHARE * len(letters)
    tellable = len(words) > 1 or len(letters) >= 5
    initial = None
    if _LETTER_FIRST.match(bare):
        first = _CLITICS.sub("", bare)
        letter = next((c for c in first if c.isalpha()), "")
        initial = not letter.islower() if letter and _cased(letter) else None
    later = [word for word in words[1:] if len(word) >= _TITLE_LETTERS]
    share = _begun(later) / len(later) if later else 0.0
    title = len(later) >= _TITLE_WORDS - 1 and share >= _TITLE_SHARE
    return _Case(len(words), capitals if tellable else None, initial, title, _begun(words[1:]))


def _begun(words: Sequence[str]) -> int:
    """Count the words that begin with a capital."""
    return sum(not word[0].islower() for word in words)


def _cased(character: str) -> bool:
    return unicodedata.category(character) in ("Lu", "Ll", "Lt") and not _CASELESS.match(character)
