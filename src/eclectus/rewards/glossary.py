"""Are the glossary's terms used?"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import langcodes
from pydantic import Field, field_validator

from eclectus.errors import ConfigError
from eclectus.languages import expand_directions
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.text import subtag, units
from eclectus.segment import Segment

_SHORTEST_STEM = 3
_EDGES = "!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~«»„“”‘’‚…–—¿¡。、，！？：；（）「」『』・।؟،؛\u200e\u200f"
_CACHED_TEXTS = 2**14
_APOSTROPHES = "’‘ʼʻ＇"
# Languages whose articles and prepositions lean on the next word with an apostrophe (l'ordinateur), and those that put
# endings behind one (Django'nun). In others it may be a letter, as in Ukrainian об'єкт.
_ELIDING = {
    *("ast", "az", "ca", "co", "cy", "fr", "fur", "ga", "gd", "it", "lb", "lij", "lmo", "mt", "nap", "oc", "pms", "rm"),
    *("sc", "scn", "tr", "vec", "wa"),
}
_HEADINGS = {"source", "source term", "term"}, {"target", "target term", "translation"}
"""What a header calls the columns of terms and of translations; none of these words translates another."""
_JOINED = re.compile("['/-]")
_JOINED_IN_KOREAN = re.compile(r"['/-]|(?<=[^\W_가-힣])(?=[가-힣])")  # also PC를
# Korean particles and the copula, which follow a noun of any length without a space.
_PARTICLES = re.compile(
    "들?(?:[을를이가은는의도인]|(?:에서|에게|에|으로|로|까지|부터|와|과|하고|처럼|보다|만|이나|나)(?:서|써|부터|는|도|의|만)?"
    "|입니다|이다|이며|이고|이란|란|이라는|라는|이라고|라고)?"
)


class Glossary(Reward):
    r"""The share of the glossary's terms in the source whose translation is in the hypothesis.

    $$r = \frac{|\{t \in G(x) : \exists u \in G_t : u \text{ in } y\}|}{|G(x)|}$$

    with G(x) the glossary's terms in the source, each once and the longest where they overlap, and G_t the allowed
    translations of term t. Range [0, 1]. Abstains if the source contains none, and in directions without a glossary; a
    run warns about target languages without one, and refuses a direction that it does not have.

    A file holds the terms of one direction: TSV (`source term`, tab, `translation`, more translations after further
    tabs; lines that begin with `#` are comments) or JSON (`{"term": "translation"}` or a list of translations).

    Terms are found word by word; in scripts without spaces, character by character. Words joined by `/` count apart,
    and so do *l'ordinateur* and *Django'nun*. The parts of *E-Mail-Adresse* are found in a hypothesis, and not in a
    source, where *read-only* is no *read*. A word may be inflected: it fits a term's word if both agree up to at most
    `inflection` letters at the end of either; the common stem has three letters or more, four where more than two
    letters differ in all. With 2, *Katze* finds *Katzen* and not *Kater*, *kawa* finds *kawę*, but *form* also finds
    *for*, *Haus* does not find *Häuser*, and *ev* does not find *evlerinizden*. List such forms, or raise it for
    languages with long endings. With 1 or more, Korean particles may follow a word of any length. What stands before
    a word without a mark is not told from it: the article of Arabic and Hebrew, the mutations of Irish.

    Source: terminology constraints as term use rate, Dinu et al. 2019, https://aclanthology.org/P19-1294; exact-match
    term accuracy, Alam et al. 2021, https://aclanthology.org/2021.wmt-1.69.

    Example:
        >>> import tempfile
        >>> from eclectus.segment import Segment
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "en-de.tsv"
        ...     _ = path.write_text("hard disk\tFestplatte\nfolder\tOrdner\tVerzeichnis\n", encoding="utf-8")
        ...     glossary = Glossary(Glossary.Options(files={"en-de": path}))
        >>> segment = Segment("The hard disk has two folders.", "en", "de")
        >>> glossary([segment] * 2, ["Die Festplatte hat zwei Verzeichnisse.", "Die Festplatte hat zwei Mappen."])
        [1.0, 0.5]

    How it is cheated: a bare list of terms scores 1, and so does a term in the wrong place. Use it with a small weight
    next to a reward for the meaning; gate with `length` and `repetition`.
    """

    class Options(Reward.Options):
        """The glossaries and how their words are found."""

        files: dict[str, Path] = Field(min_length=1, description="direction (en-de) and its TSV or JSON file")
        casefold: bool = Field(True, description="whether capitals do not count")
        inflection: int = Field(2, ge=0, le=10, description="letters that may differ at the end of a word; 0: none")

        @field_validator("files")
        @classmethod
        def _directions(cls, value: dict[str, Path]) -> dict[str, Path]:
            for direction in value:
                if _cut(direction) is None:
                    raise ValueError(f"'{direction}' is no direction of two languages; write BCP-47 tags, as in en-de")
            return value

    options: Options

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        # Outside a run the languages are those of one text, and a glossary may serve more.
        for direction in self.options.files if self.context.max_steps else ():
            try:
                expand_directions([direction], self.context.languages)
            except ConfigError as error:
                told = str(error).removeprefix("directions: ")
                raise ConfigError(f"reward 'glossary': files: {told}; correct it, or leave it out") from error
        self._terms = {
            direction: _Terms(direction, _read(direction, path), self.options.casefold, self.options.inflection)
            for direction, path in self.options.files.items()
        }

    @property
    def signature(self) -> str:
        """The number of terms of each direction and how words are found."""
        sizes = ",".join(f"{direction}:{len(terms)}" for direction, terms in sorted(self._terms.items()))
        case = "lc" if self.options.casefold else "mixed"
        return f"glossary|{sizes}|case:{case}|inflection:{self.options.inflection}"

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge which of the source's terms each hypothesis translates as the glossary says."""
        scores: list[Score] = []
        for segment, hypothesis in zip(segments, hypotheses, strict=True):
            terms = self._terms.get(segment.direction)
            scores.append(terms.satisfied(segment.source, hypothesis) if terms else None)
        return scores

    def unjudged(self, languages: Iterable[str]) -> dict[str, str]:
        targets = {cut[1] for direction in self._terms if (cut := _cut(direction))}
        return {tag: "its files name no direction into it" for tag in languages if tag not in targets}


@dataclass(frozen=True)
class _Term:
    """A source term and its translations, in words."""

    words: tuple[str, ...]
    translations: tuple[tuple[str, ...], ...]


class _Terms:
    """The terms of one direction, found by the beginning of their first word."""

    def __init__(self, direction: str, entries: Mapping[str, Sequence[str]], casefold: bool, inflection: int) -> None:
        self._casefold, self._inflection = casefold, inflection
        source_lang, target_lang = _cut(direction) or ("", "")
        self._elides = subtag(source_lang) in _ELIDING
        self._joined = _JOINED_IN_KOREAN if subtag(target_lang) == "ko" else _JOINED
        self._by_start: dict[str, list[_Term]] = defaultdict(list)
        allowed: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
        for source, translations in entries.items():  # "Folder" and "folder" are one term where case does not count
            if words := self._source_words(source):
                allowed[words] += [found for text in translations for found in self._readings(text) if found]
        for words, texts in allowed.items():
            self._by_start[_start(words[0])].append(_Term(words, tuple(texts)))
        for terms in self._by_start.values():
            terms.sort(key=lambda term: -len(term.words))
        self._in_source = lru_cache(maxsize=_CACHED_TEXTS)(self._find)

    def __len__(self) -> int:
        return sum(map(len, self._by_start.values()))

    def satisfied(self, source: str, hypothesis: str) -> Score:
        """Return the share of the source's terms that the hypothesis translates; None where there is none."""
        terms = self._in_source(source)
        if not terms:
            return None
        whole, *parted = self._readings(hypothesis)
        words = (*whole, "", *parted[0]) if parted else whole  # no term has an empty word
        starts: dict[str, list[int]] = defaultdict(list)
        for place, word in enumerate(words):
            starts[_start(word)].append(place)
        kept = sum(
            any(
                self._fits(words, place, translation)
                for translation in term.translations
                for place in starts.get(_start(translation[0]), ())
            )
            for term in terms
        )
        return kept / len(terms)

    def _find(self, source: str) -> tuple[_Term, ...]:
        words, found, place = self._source_words(source), {}, 0
        while place < len(words):
            candidates = self._by_start.get(_start(words[place]), ())
            # An exact fit is better than an inflected one: "port" and "ports" may both be terms.
            fitting = [term for term in candidates if self._fits(words, place, term.words)]
            best = max(
                fitting, key=lambda t: (len(t.words), words[place : place + len(t.words)] == t.words), default=None
            )
            if best is not None:
                found[best.words] = best
            place += len(best.words) if best else 1
        return tuple(found.values())

    def _folded(self, text: str) -> str:
        if self._casefold:
            text = text.casefold()
        text = unicodedata.normalize("NFC", text)
        if not text.isascii():
            if self._casefold:  # İ is i with a dot above; I is ı in Turkish, but i in an ID or API in Turkish text
                text = text.replace("i\u0307", "i").replace("ı", "i")
            for mark in _APOSTROPHES:
                text = text.replace(mark, "'")
        return text

    def _source_words(self, text: str) -> tuple[str, ...]:
        """Return the words in which terms are looked for: "read-only" is one, "file/folder" are two."""
        text = self._folded(text)
        words = _split(text)
        if "/" in text:
            words = (part for word in words for part in _alternatives(word))
        if self._elides and "'" in text:
            words = (part for word in words for part in word.split("'") if part)
        return tuple(words)

    def _readings(self, text: str) -> list[tuple[str, ...]]:
        """Return the words of a translation, and once more with all that is joined in them apart, if anything is."""
        text = self._folded(text)
        words = tuple(_split(text))
        if not self._joined.search(text):
            return [words]
        return [words, tuple(part for word in words for part in self._joined.split(word) if part)]

    def _fits(self, words: Sequence[str], place: int, term: tuple[str, ...]) -> bool:
        found = words[place : place + len(term)]
        return len(found) == len(term) and all(
            word == wanted or self._inflected(word, wanted) for word, wanted in zip(found, term, strict=True)
        )

    def _inflected(self, word: str, wanted: str) -> bool:
        if not self._inflection:
            return False
        if word.startswith(wanted) and _PARTICLES.fullmatch(word, len(wanted)):
            return True
        differs = (i for i, (a, b) in enumerate(zip(word, wanted, strict=False)) if a != b)
        stem = next(differs, min(len(word), len(wanted)))
        ends = len(word) - stem, len(wanted) - stem
        return max(ends) <= self._inflection and stem >= (_SHORTEST_STEM if sum(ends) <= 2 else _SHORTEST_STEM + 1)


def _cut(direction: str) -> tuple[str, str] | None:
    """Return the languages of a direction (`es-pt-BR`), None where it is none of two tags in standard spelling."""
    places = [i for i, character in enumerate(direction) if character == "-"]
    cuts = [(direction[:i], direction[i + 1 :]) for i in places]
    return next((cut for cut in cuts if all(map(_is_tag, cut)) and cut[0] != cut[1]), None)


def _is_tag(tag: str) -> bool:
    return langcodes.tag_is_valid(tag) and langcodes.standardize_tag(tag) == tag


def _start(word: str) -> str:
    """Return the letters under which a word is found: all that it may be inflected to has the same."""
    return word[:_SHORTEST_STEM] if word < "가" or word[:1] > "힣" else word[:1]


def _alternatives(word: str) -> list[str]:
    """Split "file/folder", but not a path or a link."""
    return [word] if "." in word or ":" in word else [part for part in word.split("/") if part]


def _split(text: str) -> Iterator[str]:
    return (stripped for word in units(text) if (stripped := word.strip(_EDGES)))


def _read(direction: str, path: Path) -> dict[str, list[str]]:
    """Read a glossary: each term with its allowed translations.

    Raises:
        ConfigError: the file cannot be read, or is no glossary.
    """
    place = f"reward 'glossary': {direction}: {path}"
    try:
        text = path.read_text(encoding="utf-8-sig")
        entries = json.loads(text) if path.suffix.lower() == ".json" else _rows(text, direction)
    except OSError as error:
        raise ConfigError(f"{place} cannot be read ({error.strerror or error}); correct the path") from error
    except ValueError as error:
        raise ConfigError(f"{place} is not what it should be ({error}); write UTF-8, as TSV or JSON") from error
    if not isinstance(entries, dict):
        raise ConfigError(f'{place} holds no JSON object; write {{"term": ["translation"]}}')
    terms: dict[str, list[str]] = {}
    for term, translations in entries.items():
        allowed = [translations] if isinstance(translations, str) else translations
        if not isinstance(allowed, list) or not allowed or not all(isinstance(t, str) and t.strip() for t in allowed):
            raise ConfigError(f"{place}: the term {term!a} has no translation; write one, or a list of them")
        terms.setdefault(term.strip(), []).extend(allowed)
    if not any(term for term in terms):
        raise ConfigError(f"{place} holds no term; add some, or leave the direction out")
    return terms


def _rows(text: str, direction: str) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        term, *translations = line.rstrip("\r").split("\t")
        translations = [translation for translation in translations if translation.strip()]
        if not term.strip() or not translations:
            raise ValueError(f"line {number} is not a term, a tab and a translation")
        first, second = term.strip().casefold(), translations[0].strip().casefold()
        if not rows and (
            f"{first}-{second}" == direction.casefold() or (first in _HEADINGS[0] and second in _HEADINGS[1])
        ):
            raise ValueError(f"line {number} names the columns and is no term; begin it with #")
        rows.setdefault(term, []).extend(translations)
    return rows
