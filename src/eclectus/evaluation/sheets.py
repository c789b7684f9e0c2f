"""Plain tables, as a page, a Markdown file and a terminal show them alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
