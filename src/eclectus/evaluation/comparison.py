"""The page of `eclectus compare`: variants x seeds side by side, in tables and in curves over time and over samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from eclectus import atomic
from eclectus.config.compare import variant_folder
from eclectus.evaluation import plots
from eclectus.evaluation.formats import MISSING, capital, duration, interval, listing, number, p_value, signed
from eclectus.evaluation.pages import REPORT, environment
from eclectus.evaluation.paired import against_first
from eclectus.evaluation.results import Group
from eclectus.evaluation.runs import RESAMPLES, Finished, finished, spread
from eclectus.evaluation.sheets import Sheet, markdown
from eclectus.evaluation.statistics import NAMES
from eclectus.evaluation.variants import RATES, Row, rows_of

PAGE = "comparison.html"


@dataclass(frozen=True)
class Variant:
    """What the page says of a variant itself.

    Args:
        settings: `key.path=value` strings in which it differs from the common configuration.
        reports: seed -> the report of its run, from the page.
    """

    name: str
    settings: Sequence[str]
    reports: Mapping[int, str]


def write(
    folder: Path,
    variants: Sequence[str],
    seeds: Sequence[int],
    settings: Mapping[str, Sequence[str]] | None = None,
) -> list[Sheet]:
    """Write `comparison.html`, `comparison.md` and `comparison.json` from the runs that are finished.

    Args:
        settings: of each variant, see `Variant`.

    Returns:
        The tables of the page; none, and no page, where no run is finished.
    """
    found = [finished(folder, variant, seeds) for variant in variants]
    found = [part for part in found if part.results]
    if not found:
        return []
    groups = found[0].results[0].groups
    first, *others = variants
    tables = {
        group.name: rows_of(group, found, against_first(folder, first, others, seeds, group.directions))
        for group in groups
    }
    told = [Variant(name, (settings or {}).get(name, ()), _reports(folder, name, seeds)) for name in variants]
    shown = {group.name: sheets(group, tables[group.name], first) for group in groups}
    atomic.write(folder / "comparison.json", json.dumps(_plain(tables), indent=1, ensure_ascii=False))
    every = [sheet for part in shown.values() for sheet in part]
    atomic.write(folder / "comparison.md", f"{_listed(told)}\n{markdown(every)}")
    page = environment().get_template("comparison.html")
    one = found[0].results[0]
    figures = [plot for i, group in enumerate(groups) for plot in _figures(i, group, tables[group.name], found)]
    context = {
        "title": one.title,
        "first": first,
        "starts": {row.variant for rows in tables.values() for row in rows if not row.gains},
        "variants": told,
        "groups": groups,
        "tables": shown,
        "figures": figures,
        "missing": len(variants) * len(seeds) - sum(len(part.results) for part in found),
        "seeds": list(seeds),
        "signatures": one.signatures,
        "versions": one.versions,
    }
    atomic.write(folder / PAGE, page.render(context))
    return every


def sheets(group: Group, rows: Sequence[Row], first: str) -> list[Sheet]:
    """The tables of a group: quality, what its means do not see, cost, and how the variants stand to `first`."""
    label, names = capital(group.label), [row.variant for row in rows]
    quality = [
        [row.variant, str(row.runs), *(cell for metric in NAMES for cell in _quality(row, metric))] for row in rows
    ]
    cost = [
        [
            row.variant,
            duration(row.seconds),
            number(row.samples_per_second, 0),
            MISSING if row.memory is None else f"{number(row.memory, 0)} MiB",
            str(row.stopped or MISSING),
        ]
        for row in rows
        if row.seconds is not None
    ]
    columns = beyond(rows)
    unseen = [[name, *cells] for name, cells in zip(names, zip(*columns.values(), strict=True), strict=True)]
    header = ["variant", "runs", "BLEU", "Δ start", "chrF++", "Δ start"]
    found = [
        Sheet(f"{label} ({', '.join(group.directions)})", header, quality),
        Sheet(f"{label}: what the means do not see", ["variant", *columns], unseen),
    ]
    if cost:
        found.append(Sheet(f"{label}: cost", ["variant", "time", "samples/s", "peak memory", "stopped early"], cost))
    paired = paired_cells(rows)
    if paired:
        header = [f"against {first}", "BLEU", "p", "runs ahead", "chrF++", "p", "runs ahead"]
        found.append(Sheet(f"{label}: against {first}", header, [[name, *cells] for name, cells in paired.items()]))
    return found


def _quality(row: Row, metric: str) -> list[str]:
    return [spread(row.scores[metric]), spread(row.gains[metric], sign=True) if row.gains else MISSING]


def _reports(folder: Path, variant: str, seeds: Sequence[int]) -> dict[int, str]:
    own = variant_folder(variant)
    there = {seed: f"{own}/seed-{seed}/{REPORT}" for seed in seeds}
    return {seed: quote(path) for seed, path in there.items() if (folder / path).exists()}


def _listed(variants: Sequence[Variant]) -> str:
    lines = ["**Variants**", ""]
    for variant in variants:
        settings = "; ".join(f"`{setting}`" for setting in variant.settings) or "the configuration as it is"
        links = ", ".join(f"[seed {seed}]({path})" for seed, path in variant.reports.items())
        lines.append(f"- {variant.name}: {settings}" + (f"; reports: {links}" if links else ""))
    return "\n".join([*lines, ""])


def beyond(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The columns of what means of BLEU and chrF++ do not see, each with a cell for every row."""
    columns = {"weakest direction, chrF++": [number(row.weakest) for row in rows]}
    for name, (title, write) in RATES.items():
        if any(row.rates[name] is not None for row in rows):
            columns[title] = [write(row.rates[name]) for row in rows]
    return columns


def paired_cells(rows: Sequence[Row]) -> dict[str, list[str]]:
    """By variant, difference from the first one, p, and in how many runs it is ahead, for BLEU and for chrF++."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.paired is None:
            continue
        cells = found.setdefault(row.variant, [])
        for metric in NAMES:
            difference, equal = row.paired.differences[metric], row.paired.equal[metric]
            cells += [
                f"{signed(difference.difference)} {interval(difference.low, difference.high)}",
                p_value(difference.p, difference.resamples).removeprefix("p ").removeprefix("= "),
                f"{row.paired.ahead[metric]} of {row.paired.runs}" + (f", {equal} equal" if equal else ""),
            ]
    return found


def _figures(i: int, group: Group, rows: Sequence[Row], found: Sequence[Finished]) -> list[plots.Plot]:
    label = capital(group.label)
    gains = {
        name: [(g.value, g.value if g.low is None else g.low, g.value if g.high is None else g.high) for g in row]
        for metric, name in NAMES.items()
        if (row := [row.gains[metric] for row in rows if row.gains])
    }
    names = [row.variant for row in rows if row.gains]
    # A task of the same name may have other directions in another variant: another dev text, and another curve.
    own = [{each.name: each.directions for each in part.results[0].groups}.get(group.name) for part in found]
    alike = [directions == group.directions for directions in own]
    apart = listing([part.variant for part, same in zip(found, alike, strict=True) if not same])
    drawn = [plots.intervals(f"gain-{i}", f"{label}: test, difference from the start", names, gains)]
    for across, title in (("seconds", "seconds of training"), ("samples", "sampled translations")):
        chosen = [(colour, part) for colour, part in enumerate(found) if alike[colour]]
        curves = [_curve(group.name, part, across, colour) for colour, part in chosen]
        drawn.append(
            plots.lines(
                f"{across}-{i}",
                f"{label}: held-out dev chrF++",
                [curve for curve in curves if curve is not None],
                across=title,
                note=f"Not drawn, because their dev text is of other directions: {apart}." if apart else "",
            )
        )
    return drawn


def _curve(group: str, part: Finished, across: str, colour: int) -> plots.Line | None:
    """Mean over runs with its bootstrap interval, at the steps that every run has reached."""
    key = f"chrf/{group}"
    runs = [
        {r["step"]: r for r in records if r["kind"] == "dev" and r["stage"] == "reinforce" and key in r}
        for records in part.records
    ]
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    if not steps:
        return None
    values = np.array([[run[step][key] for step in steps] for run in runs])
    xs = [
        float(np.mean([run[step]["seconds"] for run in runs])) if across == "seconds" else step * part.samples_per_step
        for step in steps
    ]
    low: list[float] = []
    high: list[float] = []
    if len(runs) > 1:
        drawn = np.random.default_rng(1).integers(len(runs), size=(RESAMPLES, len(runs)))
        ends = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5], axis=0)
        low, high = ends[0].tolist(), ends[1].tolist()
    return plots.Line(
        part.variant,
        xs,
        values.mean(axis=0).tolist(),
        colour=colour,
        dashed=colour >= plots.COLOURS,  # colours come round again
        dots=True,
        low=low,
        high=high,
    )


def _plain(tables: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    return {name: [asdict(row) for row in rows] for name, rows in tables.items()}
