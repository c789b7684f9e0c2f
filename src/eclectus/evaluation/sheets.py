"""Plain tables, as a page, a Markdown file and a terminal show them alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TITLE = re.compile(r"\*\*(.*)\*\*")


@dataclass(frozen=True)
class Sheet:
    """A table, the first cell of a row its name."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def markdown(sheets: Sequence[Sheet]) -> str:
    """Write tables one under the other, each with its title and its note."""
    lines: list[str] = []
    for sheet in sheets:
        lines += [
            f"**{sheet.title}**\n",
            f"| {' | '.join(sheet.header)} |",
            f"|---|{'---:|' * (len(sheet.header) - 1)}",
            *(f"| {' | '.join(row)} |" for row in sheet.rows),
            *([f"\n{sheet.note}"] if sheet.note else []),
            "",
        ]
    return "\n".join(lines)


def read(text: str) -> list[Sheet]:
    """Read back the tables, without their notes, of what `markdown` wrote; other text is passed over."""
    return list(_read(text))


def _read(text: str) -> Iterator[Sheet]:
    title, rows = "", list[list[str]]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            rows.append(line[2:-2].split(" | "))
        elif rows and not line.startswith("|-"):
            yield Sheet(title, rows[0], rows[1:])
            rows = []
        if match := _TITLE.fullmatch(line):
            title = match[1]
