"""The user's own translation memory: a TMX file, as localisation tools and OPUS write it, in two or more languages.

TMX 1.4b: <https://www.gala-global.org/tmx-14b>. A unit (`tu`) holds a variant (`tuv`) for each language, whose segment
(`seg`) is text with a program's own codes in between.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from pydantic import Field

from eclectus import languages, registry
from eclectus.corpora import files
from eclectus.corpora.base import Corpus, Entry, Split, entries_of
from eclectus.errors import ConfigError, DataError

Unit = dict[str, list[str]]
"""The texts of a unit by the file's own tags."""

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

_CODES = {"bpt": "", "ept": "", "it": "", "ph": " ", "ut": " "}
"""Elements that hold codes, and what stands for one: `hi` holds text. Only a pair or its half may be inside a word."""


class Tmx(Corpus):
    """A translation memory (TMX 1.1 to 1.4b); of a unit with several variants in a language each is a translation.

    A tag of the file is read as the run's language that it is a variety of (`EN-US` as `en`, `zh-CN` as `zh-Hans`, not
    as `zh-Hant`). Of several varieties of a language the run's own is read alone.
    """

    class Options(registry.Options):
        path: Path
        tags: dict[str, list[str]] = Field(
            default_factory=dict,
            description="language -> its tags in the file, where another variety is meant or several are:"
            " {es: [es-MX, es-AR]}",
        )
        codes: Literal["drop", "keep"] = Field(
            "drop", description="what becomes of a program's codes inside a segment, such as marks of bold text"
        )
        split: Split = Field("auto", description="auto lets the run split; train, dev and test are kept")

    options: Options

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
            DataError: an unreadable file, one that is no TMX, or one without the run's languages; several varieties of
                a language, none of them the run's.
        """
        read_as = self._read_as()
        for number, unit in enumerate(self._units, start=1):
            texts: defaultdict[str, list[str]] = defaultdict(list)
            for tag, found in unit.items():
                if tag in read_as:
                    texts[read_as[tag]] += [text for text in found if text.strip()]
                else:
                    self.dropped["another language or variety"] += len(found)
            own = {tag: list(dict.fromkeys(texts[tag])) for tag in self.languages if texts[tag]}
            if not own:
                self.dropped["no text"] += 1
            yield from entries_of(own, self.label, f"{self.label}:{number}", self.options.split)

    @cached_property
    def _units(self) -> list[Unit]:
        path = self.options.path
        data = files.read_bytes(self.name, self.locate(path))
        try:
            events = ElementTree.iterparse(io.BytesIO(data), ["start", "end"])
            _, root = next(events)
            if _local(root) != "tmx":
                raise DataError(
                    f"{self.name}: '{path}' is no TMX, its outermost element is '{_local(root)}'; export the memory"
                    " as TMX"
                )
            units = []
            for event, element in events:
                if event == "end" and _local(element) == "tu":
                    units.append(self._unit(element))
                    element.clear()  # a memory of millions of units need not be held as elements
            return units
        except ElementTree.ParseError as error:
            line, column = error.position
            raise DataError(
                f"{self.name}: '{path}' is not XML from line {line}, column {column + 1} on"
                f" ({str(error).partition(':')[0]}); export it again"
            ) from error

    def _unit(self, element: ElementTree.Element) -> Unit:
        unit: defaultdict[str, list[str]] = defaultdict(list)
        for variant in element:
            if _local(variant) == "tuv":
                tag = variant.get(_XML_LANG) or variant.get("lang") or ""  # lang: before TMX 1.3
                unit[tag] += [self._text(child) for child in variant if _local(child) == "seg"]
        return dict(unit)

    def _text(self, element: ElementTree.Element) -> str:
        parts = [element.text or ""]
        for child in element:
            code = _CODES.get(_local(child)) if self.options.codes == "drop" else None
            parts += [self._text(child) if code is None else code, child.tail or ""]
        return "".join(parts)

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
        codes, varieties = languages.Codes(self.languages), defaultdict(list)
        for tag in known:
            found = codes.find(tag)
            if found is not None and found not in self.options.tags and tag not in read_as:
                varieties[found].append(tag)
        for language, tags in varieties.items():
            own = [tag for tag in tags if _variety(tag) == languages.locale(language)]
            if not own and len({_variety(tag) for tag in tags}) > 1:
                raise DataError(
                    f"{self.name}: '{path}' has several varieties of {language} ({', '.join(tags)}); say which is"
                    f" meant with tags: {{{language}: [{tags[0]}]}}"
                )
            read_as |= dict.fromkeys(own or tags, language)
        if not read_as:
            raise DataError(
                f"{self.name}: '{path}' has no text in {', '.join(self.languages)}; {_has(known)}; set data.languages,"
                " or tags"
            )
        return read_as


def _local(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _variety(tag: str) -> str:
    try:
        return languages.locale(tag)
    except ConfigError:  # a code of some model, not of the registry
        return tag


def _has(tags: list[str]) -> str:
    return f"it has {', '.join(repr(tag) for tag in tags)}" if tags else "it has no unit with text"
