"""Voices: one language's own CLDR names and patterns, as Babel holds them.

A voice says None where its language lacks the name or pattern: CLDR would fall back on the code, or on the
pattern of no language at all ("root"), and a model must not learn those.
"""

from __future__ import annotations

import importlib.metadata
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from babel import Locale, UnknownLocaleError, lists, localedata, numbers

from eclectus import languages


class Voice:
    """One language: Babel's locale, and the names and patterns that are the language's own."""

    def __init__(self, tag: str, locale: Locale) -> None:
        self.tag = tag
        self.locale = locale
        self.data: Mapping[str, Any] = locale._data

    def own(self, *path: Any) -> Any:
        """What the language's data hold at `path`, or None where they are missing or only root's."""
        value, root = self._at(self.data, path), self._at(_root(), path)
        if value is None or value == root:
            return None
        return value

    @staticmethod
    def _at(data: Any, path: Sequence[Any]) -> Any:
        try:
            for part in path:
                data = data[part]
        except (KeyError, TypeError):
            return None
        return data

    @cached_property
    def territories(self) -> dict[str, str]:
        """Names of countries by two-letter code."""
        return _names(self.locale.territories, lambda code: len(code) == 2 and code not in ("ZZ", "XA", "XB", "EZ"))

    @cached_property
    def languages(self) -> dict[str, str]:
        """Names of languages by code, without regional ones."""
        return _names(
            self.locale.languages,
            lambda code: len(code) in (2, 3) and code not in ("mul", "und", "zxx", "mis"),
        )

    @cached_property
    def scripts(self) -> dict[str, str]:
        """Names of scripts by code."""
        return _names(self.locale.scripts, lambda code: not code.startswith("Z") and code != "Qaag")

    @cached_property
    def currencies(self) -> dict[str, str]:
        """Names of currencies by code."""
        found = _names(self.locale.currencies, lambda code: code not in ("XXX", "XTS"))
        # Historic ones carry their years: `Zairean New Zaire (1993–1998)`.
        return {code: text for code, text in found.items() if not re.search(r"[\d(]", text)}

    @cached_property
    def zones(self) -> dict[str, str]:
        """Long names of time zones: `Europe_Central/standard` -> `Central European Standard Time`."""
        found = {}
        for zone, names in self.data["meta_zones"].items():
            for season, text in (names.get("long") or {}).items():
                if isinstance(text, str):
                    found[f"{zone}/{season}"] = text
        return found

    @cached_property
    def months(self) -> Mapping[int, str] | None:
        """Names of months as they stand alone."""
        return self.own("months", "stand-alone", "wide") and self.data["months"]["stand-alone"]["wide"]

    @cached_property
    def weekdays(self) -> Mapping[int, str] | None:
        """Names of weekdays as they stand alone; 0 is Monday."""
        return self.own("days", "stand-alone", "wide") and self.data["days"]["stand-alone"]["wide"]

    @cached_property
    def has_dates(self) -> bool:
        """Whether dates in words are the language's own."""
        return bool(self.own("months", "format", "wide") and self.own("days", "format", "wide"))

    @cached_property
    def has_lists(self) -> bool:
        """Whether the language has its own word for "and"."""
        return self.own("list_patterns", "standard") is not None

    def unit(self, number: float, unit: str, length: str = "long") -> str | None:
        """For example `5 kilometers`, or `5 km` with the length "short".

        Not by Babel's `format_unit`: CLDR leaves a long pattern out where it equals the short one (Italian days), and
        Babel then writes the code. A long pattern that is only root's symbol is no name in the language.
        """
        form = self.locale.plural_form(number)
        symbol = self._at(_root(), ("unit_patterns", unit, "short", "other"))
        for place in ("long", "short") if length == "long" else ("short",):
            patterns = self._at(self.data, ("unit_patterns", unit, place)) or {}
            pattern = patterns.get(form) or (patterns.get("other") if length == "short" else None)
            if pattern:
                if length == "long" and pattern == symbol:
                    return None
                return pattern.format(numbers.format_decimal(number, locale=self.locale))
        return None

    def join(self, items: Sequence[str | None], style: str = "standard") -> str | None:
        """For example `A, B and C`; None where an item is missing."""
        if any(item is None for item in items) or not self.has_lists or style not in self.locale.list_patterns:
            return None
        texts = [str(item) for item in items]
        return _euphony(self.locale.language, lists.format_list(texts, style=style, locale=self.locale), texts[-1])  # type: ignore[arg-type]


class Pools:
    """Codes to draw names from: mostly those that every voice can say, so that few voices stay silent."""

    def __init__(self, voices: Sequence[Voice]) -> None:
        self.voices = voices

    @cached_property
    def territories(self) -> tuple[list[str], list[str]]:
        """Codes of countries: (said by every voice with a fair supply, said by the pivot)."""
        return self._pool("territories")

    @cached_property
    def languages(self) -> tuple[list[str], list[str]]:
        """Codes of languages, as for `territories`."""
        return self._pool("languages")

    @cached_property
    def scripts(self) -> tuple[list[str], list[str]]:
        """Codes of scripts, as for `territories`."""
        return self._pool("scripts")

    @cached_property
    def currencies(self) -> tuple[list[str], list[str]]:
        """Codes of currencies, as for `territories`."""
        return self._pool("currencies")

    @cached_property
    def zones(self) -> tuple[list[str], list[str]]:
        """Names of time zones, as for `territories`."""
        return self._pool("zones")

    def draw(self, rng: random.Random, what: str, n: int = 1) -> list[str]:
        """Draw `n` distinct codes, three times in four from the common ones."""
        common, all_ = getattr(self, what)
        pool = common if len(common) >= n and rng.random() < 0.75 else all_
        return rng.sample(pool, min(n, len(pool)))

    def _pool(self, what: str) -> tuple[list[str], list[str]]:
        tables = [getattr(voice, what) for voice in self.voices]
        rich = [table for table in tables if len(table) >= 25] or tables
        common = set(rich[0]).intersection(*rich[1:])
        return sorted(common), sorted(rich[0])


def voices(tags: Sequence[str]) -> dict[str, Voice]:
    """Return a voice for each tag that Babel has, in the order of `tags`."""
    found = {}
    for tag in tags:
        wanted = languages.locale(tag) if tag == "pt" else tag
        try:
            # Script and region that the language has anyway are not part of Babel's names.
            found[tag] = Voice(tag, Locale.parse(wanted, sep="-"))
        except (UnknownLocaleError, ValueError):
            continue
    return found


def versions() -> str:
    """Return the packages behind the phrases with versions and licences."""
    return (
        f"babel:{importlib.metadata.version('babel')} (BSD-3-Clause; CLDR data: Unicode-3.0)"
        f"|num2words:{importlib.metadata.version('num2words')} (LGPL)"
    )


def _root() -> Mapping[str, Any]:
    return localedata.load("root")


def _euphony(language: str, text: str, last: str) -> str:
    """Give "and" and "or" the form that the word after them asks for, as ICU's ListFormatter does for Spanish.

    `Francia e Italia`, `Chad u Omán`. Welsh CLDR writes `a(c)` and leaves the choice to the reader: `ac` before vowels.
    """
    head = text[: len(text) - len(last)]
    if language == "es" and head.endswith(" y ") and re.match(r"(?i)h?[ií](?![aeé])", last):
        return f"{head[:-3]} e {last}"
    if language == "es" and head.endswith(" o ") and re.match(r"(?i)h?[oó]|8|11(?!\d)", last):
        return f"{head[:-3]} u {last}"
    if language == "cy" and head.endswith(" a(c) "):
        return f"{head[:-6]} {'ac' if re.match('(?i)[aeiouwyâêîôûŵŷ]', last) else 'a'} {last}"
    return text


def _names(table: Mapping[str, str], wanted: Callable[[str], bool]) -> dict[str, str]:
    return {code: text for code, text in table.items() if wanted(code) and text and text != code}
