"""What translation memories and files in translation have in common: XML with a text in each of several languages."""

from __future__ import annotations

import codecs
import io
import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal
from xml.etree import ElementTree
from xml.parsers import expat

from pydantic import Field

from eclectus import languages, registry
from eclectus.corpora import files
from eclectus.corpora.base import Corpus, Entry, Split, entries_of
from eclectus.corpora.clean import close_gaps
from eclectus.errors import ConfigError, DataError

Unit = dict[str, list[str]]
"""The texts of a unit by the file's own tags."""

Events = Iterable[tuple[str, ElementTree.Element]]
"""("start" or "end", element), as `ElementTree.iterparse` yields them."""

XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

PLACEHOLDER = re.compile(
    r"%\([^)]*\)|%(?:\d+\$)?[#0+-]?[\d.]*[a-zA-Z@](?![a-zA-Z])"  # %(name)s, %s, %1$s, %.2f
    r"|\{\s*[\w.][^{}\\]*\}|\$\w+"  # {name}, {0:.2f}, {{ name }}, ${name}, %{name}, $name; not the {\b of RTF
)
"""What a code holds that a translation must keep, unlike marks of bold text."""

_DECLARATION = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml\s[^>]*?(\sencoding\s*=\s*["']([A-Za-z][\w.:-]*)["'])""")

_BY_PARSER = {"utf-8", "utf-16", "us-ascii", "ascii", "iso-8859-1", "latin-1"}
"""Encodings that the XML parser reads by itself."""

LOST = "placeholders inside codes"
"""Their reason in `dropped`."""


class Memory(Corpus):
    """A corpus of units in one XML file.

    A tag of the file is read as the run's language that it is a variety of (`EN-US` as `en`, `zh-CN` as `zh-Hans`, not
    as `zh-Hant`, and `pt` as `pt-BR`, but not `pt-PT`). Of several varieties of a language the run's own is read alone.

    A subclass names the file's `outermost` element and the elements that hold `codes`, and gives `units`.
    """

    class Options(registry.Options):
        path: Path
        tags: dict[str, list[str]] = Field(
            default_factory=dict,
            description="language -> its tags in the file, where another variety is meant or several are:"
            " {es: [es-MX, es-AR]}",
        )
        codes: Literal["drop", "keep"] = Field(
            "drop",
            description="what becomes of a program's codes inside a segment, such as marks of bold text: keep where"
            " placeholders such as %s stand in them",
        )
        split: Split = Field("auto", description="auto lets the run split; train, dev and test are kept")

    options: Options

    outermost: ClassVar[str]
    codes: ClassVar[Mapping[str, str]]
    """Element -> what stands for it where codes are dropped; elements that are not named hold text."""

    @abstractmethod
    def units(self, events: Events) -> Iterator[Unit]:
        """Yield what each unit says; elements that have been read may be cleared."""

    def __init__(self, options: registry.Options | None, languages: Sequence[str], seed: int) -> None:
        super().__init__(options, languages, seed)
        self._lost: dict[str, int] = {}
        """Text -> placeholders that it lost with its codes."""
        self._robbed = 0
        self._not_read: dict[str, list[str]] = {}
        """Language of the run that the file lacks -> its varieties there, which are not the run's."""
        self._beside: dict[str, tuple[list[str], list[str]]] = {}
        """Language of the run -> the tags that are read as it, and those of its other varieties, which are not."""

    @property
    def label(self) -> str:
        """The file's name."""
        return self.options.path.name

    @property
    def signature(self) -> str:
        """For example `tmx|path:memory.tmx|units:1200|sha256:0123456789ab`."""
        return files.signature(self.name, self.locate(self.options.path), len(self._units), "units")

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of each unit that has text in one of the run's languages.

        Raises:
            DataError: an unreadable file, one of another format, or one without the run's languages; several varieties
                of a language, none of them the run's.
        """
        read_as = self._read_as()
        for number, unit in enumerate(self._units, start=1):
            texts: defaultdict[str, list[str]] = defaultdict(list)
            for tag, found in unit.items():
                if tag in read_as:
                    texts[read_as[tag]] += [text for text in found if text.strip()]
                    self._count_lost(found)
                else:
                    self.dropped["another language or variety"] += len(found)
            own = {tag: list(dict.fromkeys(texts[tag])) for tag in self.languages if texts[tag]}
            if not own:
                self.dropped["no text"] += 1
            yield from entries_of(own, self.label, f"{self.label}:{number}", self.options.split)

    def warnings(self) -> Iterator[str]:
        """Say which varieties of a language were not read, and how many placeholders were dropped with their codes."""
        for language, tags in self._not_read.items():
            yield (
                f"{self.label}: no text is read as {language}, of which the file has another variety; set tags:"
                f" {{{language}: [{', '.join(tags)}]}} if it is meant"
            )
        for language, (own, left) in self._beside.items():
            yield (
                f"{self.label}: text in {', '.join(left)} is not read as {language}, of which the file has"
                f" {', '.join(own)}; set tags: {{{language}: [{', '.join([*own, *left])}]}} to read all of it"
            )
        if lost := self.dropped[LOST]:
            texts = f"{self._robbed:,} text{'' if self._robbed == 1 else 's'}"
            yield (
                f"{self.label}: codes that look like placeholders (%s, {{name}}) were dropped, {lost:,} in {texts}; set"
                " codes: keep where a translation must keep them"
            )

    def segment(self, element: ElementTree.Element) -> str:
        """Return what a segment says, without the gaps that its codes left, and remember what it lost."""
        text = close_gaps(self.text(element))
        if self.options.codes == "drop" and len(element):
            lost = sum(bool(PLACEHOLDER.search(self.code(part))) for part in self._dropped_from(element))
            if lost:
                self._lost[text] = lost
        return text

    def text(self, element: ElementTree.Element) -> str:
        """Return what an element says, its codes as the options want them."""
        parts = [element.text or ""]
        for child in element:
            code = self.codes.get(local(child)) if self.options.codes == "drop" else None
            parts += [self.text(child) if code is None else code, child.tail or ""]
        return "".join(parts)

    def code(self, element: ElementTree.Element) -> str:
        """Return all that the file says of a code."""
        return "".join(element.itertext())

    def _dropped_from(self, element: ElementTree.Element) -> Iterator[ElementTree.Element]:
        """The outermost codes of a segment."""
        for child in element:
            if local(child) in self.codes:
                yield child
            else:
                yield from self._dropped_from(child)

    def _count_lost(self, texts: Sequence[str]) -> None:
        lost = [self._lost[text] for text in texts if text in self._lost]
        if lost:
            self.dropped[LOST] += sum(lost)
            self._robbed += len(lost)

    @cached_property
    def _units(self) -> list[Unit]:
        path = self.options.path
        data = self._in_unicode(files.read_bytes(self.name, self.locate(path)))
        try:
            events = ElementTree.iterparse(io.BytesIO(data), ["start", "end"])
            event, root = next(events)
            if local(root) != self.outermost:
                raise DataError(
                    f"{self.name}: '{path}' is no {self.name.upper()}, its outermost element is '{local(root)}'; export"
                    f" the text as {self.name.upper()}"
                )
            return list(self.units(chain([(event, root)], events)))
        except ElementTree.ParseError as error:
            line, column = error.position
            declared = _DECLARATION.match(data)
            in_utf8 = declared is None or declared[2].lower() == b"utf-8"
            if in_utf8 and error.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]:
                files.split_lines(self.name, str(path), data, "one unit")  # says so where the bytes are no UTF-8
            raise DataError(
                f"{self.name}: '{path}' is not XML from line {line}, column {column + 1} on"
                f" ({str(error).partition(':')[0]}); export it again"
            ) from error

    def _in_unicode(self, data: bytes) -> bytes:
        """The file in an encoding that the parser reads: of those with several bytes a character only Unicode's."""
        declared = _DECLARATION.match(data)
        encoding = declared[2].decode("ascii") if declared else "utf-8"
        if declared is None or encoding.lower() in _BY_PARSER:
            return data
        path = self.options.path
        if data.startswith(codecs.BOM_UTF8):  # which says more than a declaration that was left as it was
            encoding = "utf-8-sig"
        try:
            return (data[: declared.start(1)] + data[declared.end(1) :]).decode(encoding).encode("utf-8")
        except LookupError as error:
            raise DataError(
                f"{self.name}: '{path}' says that it is written in '{encoding}', which is not known here; export it as"
                " UTF-8"
            ) from error
        except UnicodeError as error:
            raise DataError(
                f"{self.name}: '{path}' says that it is written in {encoding}, which its bytes are not"
                f" ({getattr(error, 'reason', error)}); export it as UTF-8"
            ) from error

    def _read_as(self) -> dict[str, str]:
        """Which of the run's languages each tag of the file is read as."""
        path, known = self.options.path, list(dict.fromkeys(tag for unit in self._units for tag in unit))
        files.check_languages(self.name, path, list(self.options.tags), self.languages, "take it out of 'tags'")
        read_as: dict[str, str] = {}
        for language, tags in self.options.tags.items():
            for tag in tags:
                if tag not in known:
                    raise DataError(f"{self.name}: '{path}' has no '{tag}' for {language}; {_has(known)}")
                read_as[tag] = language
        codes = languages.Codes(self.languages)
        varieties: defaultdict[str, list[str]] = defaultdict(list)
        others: defaultdict[str, list[str]] = defaultdict(list)
        for tag in known:
            found = codes.find(tag)
            if found is None or found in self.options.tags or tag in read_as:
                continue
            if languages.agrees(tag, found):
                varieties[found].append(tag)
            else:
                others[found].append(tag)
        for language, tags in varieties.items():
            own = [tag for tag in tags if _variety(tag) == languages.locale(language)]
            if not own and len({_variety(tag) for tag in tags}) > 1:
                raise DataError(
                    f"{self.name}: '{path}' has several varieties of {language} ({', '.join(tags)}); say which is"
                    f" meant with tags: {{{language}: [{tags[0]}]}}"
                )
            read_as |= dict.fromkeys(own or tags, language)
            if own and len(own) < len(tags):
                self._beside[language] = own, [tag for tag in tags if tag not in own]
        self._not_read = {language: tags for language, tags in others.items() if language not in varieties}
        if not read_as:
            raise DataError(
                f"{self.name}: '{path}' has no text in {', '.join(self.languages)}; {_has(known)}; set data.languages,"
                " or tags"
            )
        return read_as


def local(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _variety(tag: str) -> str:
    try:
        return languages.locale(tag)
    except ConfigError:  # a code of some model, not of the registry
        return tag


def _has(tags: list[str]) -> str:
    return f"it has {', '.join(repr(tag) for tag in tags)}" if tags else "it has no unit with text"
