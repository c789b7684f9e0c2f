"""An audit for the eye: a table in the terminal and one HTML file, without script, nothing fetched."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from eclectus import atomic
from eclectus.evaluation.audit import Audit, Line
from eclectus.evaluation.correlation import Correlation
from eclectus.evaluation.formats import MISSING, count, listing, number, percent
from eclectus.evaluation.pages import environment
from eclectus.evaluation.tables import plain_table

TEMPLATE = "audit.html"


def headline(audit: Audit) -> str:
    """One sentence: how many cheats the reward pays for, and which."""
    judged = [line for line in audit.cheats if line.mean is not None]
    if not judged:
        return "The reward abstains on every cheat, so nothing was tried."
    alone = [line.name for line in judged if not line.compared]
    said = (
        "" if not alone else f" It judges {listing(alone)} only where it abstains on honest text: nothing to compare."
    )
    if not (tried := len(judged) - len(alone)):
        return said.strip()
    if not audit.flagged:
        return f"None of {count(tried, 'cheat')} pays.{said}"
    names = listing([line.name for line in audit.flagged])
    return (
        f"{len(audit.flagged)} of {count(tried, 'cheat')} {'pay' if len(audit.flagged) > 1 else 'pays'}: {names}.{said}"
    )


def show(audit: Audit, console: Console) -> None:
    """Print the headline, the table, and the correlations where there are any."""
    table = plain_table(f"{audit.reward} on {audit.corpus} · {', '.join(audit.directions)} · {_segments(audit)}")
    table.add_column("hypothesis", no_wrap=True)
    outputs = any(line.beats is not None for line in audit.lines)
    names = ["n", "judged", "mean, 95 %", "keeps", "of", *(["beats real"] if outputs else []), ""]
    for name in names:
        table.add_column(name, justify="left" if name in ("of", "") else "right", no_wrap=True)
    previous = audit.lines[0].kind
    for line in audit.lines:
        if (line.kind == "cheat") != (previous == "cheat"):
            table.add_section()
        previous = line.kind
        cells = [f"{line.n:,}", percent(line.judged / line.n) if line.n else MISSING, mean(line)]
        cells += [percent(line.kept) if line.kind == "cheat" else "", line.against if line.kept is not None else ""]
        cells += [percent(line.beats) if line.kind == "cheat" else ""] if outputs else []
        flag = Text(f"above {percent(line.bar)}", style="bold red") if line.flagged else Text("")
        table.add_row(escape(line.name), *cells, flag, style="" if line.kind == "cheat" else "cyan")
    console.print(table)
    if audit.correlations:
        console.print(_correlation_table(audit.correlations))
    sure = all(line.compared for line in audit.cheats if line.mean is not None)
    style = "bold red" if audit.flagged else "bold green" if sure else "bold yellow"
    console.print(Text(headline(audit), style=style))
    console.print(Text(audit.signature, style="dim"))


def write(audit: Audit, path: Path) -> None:
    """Write the page; it must not exist."""
    templates = environment()
    templates.filters["mean"] = mean
    page = templates.get_template(TEMPLATE).render(
        audit=audit,
        headline=headline(audit),
        outputs=any(line.beats is not None for line in audit.lines),
        version=version("eclectus"),
    )
    atomic.write(path, page)


def mean(line: Line) -> str:
    """`0.412 ± 0.013`."""
    if line.mean is None:
        return MISSING
    return number(line.mean, 3) + ("" if line.margin is None else f" ± {number(line.margin, 3)}")


def _correlation_table(correlations: list[Correlation]) -> Table:
    table = plain_table("Agreement with human judgements, Kendall tau-b")
    table.add_column("score", no_wrap=True)
    for name in ("n", "overall", "within a source, 95 %", "sources", "undefined"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in correlations:
        low, high = found.interval or (None, None)
        interval = f" [{number(low, 3)}, {number(high, 3)}]" if found.interval else ""
        table.add_row(
            escape(found.name),
            f"{found.n:,}",
            number(found.overall, 3),
            number(found.within, 3) + interval,
            f"{found.sources:,}",
            f"{found.undefined:,}",
        )
    return table


def _segments(audit: Audit) -> str:
    return f"{count(audit.items, 'segment')}, seed {audit.seed}"
