"""ICU message syntax: `{n, plural, one {# file} other {# files}}` and its kin, read in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass

_START = re.compile(r"\{\s{0,9}([\w.-]{1,80})\s{0,9},\s{0,9}(plural|selectordinal|select)\s{0,9},")
_OFFSET = re.compile(r"\s{0,99}offset:\d{1,9}")
_BRANCH = re.compile(r"\s{0,99}(=\d{1,9}|[\w-]{1,40})\s{0,99}\{")
_CATEGORIES = frozenset({"zero", "one", "two", "few", "many", "other"})


@dataclass(frozen=True)
class Argument:
    """An argument whose text depends on its value.

    Args:
        name: of the argument.
        kind: `plural`, `selectordinal` or `select`.
        branches: text of each case.
    """

    name: str
    kind: str
    branches: dict[str, str]

    @property
    def valid(self) -> bool:
        """Whether ICU would take it: the case `other` is there, and a plural has plural cases only."""
        keys = self.branches.keys()
        return "other" in keys and (self.kind == "select" or all(k[0] == "=" or k in _CATEGORIES for k in keys))


def split(text: str) -> tuple[str, list[Argument]]:
    """Return the text without its outermost such arguments, and these.

    One that is broken (a brace is missing, text stands between the cases) is an `Argument` without branches.

    Source: https://unicode-org.github.io/icu/userguide/format_parse/messages/. Quoting with apostrophes is not read,
    because most texts with braces are no ICU messages and have ordinary apostrophes.
    """
    match = _START.search(text)
    if match is None:
        return text, []
    partners = _partners(text)
    rest, found, position = [], [], 0
    while match is not None:
        end = partners.get(match.start())
        branches = {} if end is None else _branches(text, match.end(), end, partners)
        found.append(Argument(match[1], match[2], branches))
        rest.append(text[position : match.start()])
        position = match.end() if end is None else end + 1
        match = _START.search(text, position)
    rest.append(text[position:])
    return " ".join(rest), found


def _partners(text: str) -> dict[int, int]:
    """Return the place of the closing brace for each opening one that has one."""
    opened: list[int] = []
    partners = {}
    for match in re.finditer("[{}]", text):
        if match.group() == "{":
            opened.append(match.start())
        elif opened:
            partners[opened.pop()] = match.start()
    return partners


def _branches(text: str, position: int, end: int, partners: dict[int, int]) -> dict[str, str]:
    branches: dict[str, str] = {}
    if match := _OFFSET.match(text, position, end):
        position = match.end()
    while match := _BRANCH.match(text, position, end):
        close = partners[match.end() - 1]  # it has one: the argument around it has
        branches[match[1]] = text[match.end() : close]
        position = close + 1
    return {} if text[position:end].strip() else branches
