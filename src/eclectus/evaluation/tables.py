"""Tables for the terminal, readable in 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from eclectus.evaluation import results as contract
from eclectus.evaluation.formats import MISSING, capital, count, interval, number, percent, signed
from eclectus.evaluation.metrics import DirectionScores
from eclectus.evaluation.results import Comparison, Results
from eclectus.evaluation.sheets import Sheet
from eclectus.evaluation.statistics import NAMES

_COLOURS = {"better": "green", "worse": "red", "same": "dim"}
_ROLES = {"base": "", "system": "bold cyan", "control": "", "oracle": "italic"}


def show(results: Results, console: Console | None = None) -> None:
    """Print the headline, one table for each group, and the table of directions.

    Args:
        results: what was measured.
        console: where to print; the terminal by default.
    """
    console = console or Console()
    for sentence in results.headline:
        console.print(Padding(Text("• " + sentence), (0, 0, 1, 0)))
    for group in results.groups:
        console.print(group_table(results, group))
    if sum(len(group.directions) for group in results.groups) > len(results.groups):
        console.print(direction_table(results))


def show_scores(
    title: str, scores: DirectionScores, signatures: Mapping[str, str], console: Console | None = None
) -> None:
    """Print the scores of one system on one direction, with the signatures that say how they were made."""
    console = console or Console()
    table = plain_table(title)
    for name in ("n", "BLEU", "chrF++", "exact", "off-target", "judged", "length", "repetition", "copy", "empty"):
        table.add_column(name, justify="right", no_wrap=True)
    shares = (scores.exact, scores.off_target, scores.judged)
    faults = (scores.repetition, scores.copy, scores.empty)
    table.add_row(
        f"{scores.n:,}",
        number(scores.bleu),
        number(scores.chrf),
        *map(percent, shares),
        number(scores.length_ratio, 2),
        *map(percent, faults),
    )
    console.print(table)
    for metric, signature in signatures.items():
        console.print(Text(f"{NAMES.get(metric, metric)}|{signature}", style="dim"))


def group_table(results: Results, group: contract.Group) -> Table:
    """Return the means over a group: a row for each system, with its distance from the base."""
    table = plain_table(f"{capital(group.label)} · mean over {count(len(group.directions), 'direction')}")
    table.add_column("System", min_width=20)
    base = results.first("base")
    delta = f"Δ {base.label}, 95 %" if base else "Δ"
    for name in ("BLEU", delta, "chrF++", delta, "off-target", "length"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for system in results.systems:
        scores = results.group_scores(group, system.name)
        if scores is None:
            continue
        deltas = {
            metric: results.comparison(group.name, system.name, base.name, metric) if base else None
            for metric in ("bleu", "chrf")
        }
        table.add_row(
            Text(system.label, style=_ROLES[system.role]),
            number(scores.bleu),
            _delta(deltas["bleu"]),
            number(scores.chrf),
            _delta(deltas["chrf"]),
            percent(scores.off_target),
            number(scores.length_ratio, 2),
        )
    return table


def direction_table(results: Results) -> Table:
    """Return base, system and their distance for each direction; a system alone where there is no pair."""
    base, main = results.first("base"), results.first("system")
    shown = [system for system in (base, main) if system is not None] or results.systems[:2]
    table = plain_table("By direction" + (f" · {shown[0].label} → {shown[-1].label}" if len(shown) > 1 else ""))
    table.add_column("Direction", no_wrap=True, min_width=5)
    names = ["n", "BLEU", "chrF++", "off-target"]
    if len(shown) > 1:
        names = ["n", "BLEU", "Δ, 95 %", "chrF++", "Δ, 95 %", "off-target"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for group in results.groups:
        for direction in group.directions:
            scores = [results.scores[direction].get(system.name) for system in shown]
            there = [s for s in scores if s is not None]
            cells: list[Text | str] = [escape(direction), f"{there[0].n:,}" if there else MISSING]
            for metric in ("bleu", "chrf"):
                cells.append(" → ".join(number(getattr(s, metric)) if s else MISSING for s in scores))
                if len(shown) > 1:
                    first, last = shown[0].name, shown[-1].name
                    cells.append(_delta(results.comparison(direction, last, first, metric, "direction")))
            cells.append(" → ".join(percent(s.off_target) if s else MISSING for s in scores))
            table.add_row(*cells)
        table.add_section()
    return table


def show_sheets(sheets: Sequence[Sheet], console: Console | None = None) -> None:
    """Print plain tables, the first cell of a row its name."""
    console = console or Console()
    for sheet in sheets:
        table = plain_table(sheet.title)
        for i, name in enumerate(sheet.header):
            table.add_column(escape(name), justify="right" if i else "left", overflow="fold")
        for row in sheet.rows:
            table.add_row(*map(Text, row))
        console.print(table)


def plain_table(title: str) -> Table:
    """An empty table in the house style."""
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _delta(comparison: Comparison | None) -> Text:
    if comparison is None:
        return Text(MISSING, style="dim")
    text = f"{signed(comparison.difference)} {interval(comparison.low, comparison.high)}"
    return Text(text, style=_COLOURS[comparison.verdict])
