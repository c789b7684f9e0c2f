"""Inline SVG that takes its colours and its font from the page, the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

COLOURS = 6
_WIDTH, _HEIGHT = 3.9, 2.3
_NEAR, _PERIOD = 0.01, 8.0
"""Curves this near, as a share of the axis, are one to the eye; length of a dash with its gap where they are."""
_TICKS = [1, 2, 2.5, 5, 10]
_INK, _RULE = "#010101", "#020202"
_PALETTE = [f"#0303{i:02x}" for i in range(1, COLOURS + 1)]
_VARIABLES = {_INK: "currentColor", _RULE: "var(--rule)"} | {
    colour: f"var(--c{i})" for i, colour in enumerate(_PALETTE, 1)
}
_SETTINGS: Any = {  # matplotlib types the keys of its settings as one long literal
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "eclectus",
    "font.size": 9,
    "axes.edgecolor": _RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
}


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        label: its name in the legend.
        xs: steps or seconds.
        ys: values; `raw` holds them before smoothing where they were smoothed.
        colour: 0 to 5.
        dashed: for controls.
        dots: mark each point, for values that are measured now and then.
        low, high: ends of an interval around `ys`, drawn as a band; empty: none.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    raw: Sequence[float] = ()
    colour: int = 0
    dashed: bool = False
    dots: bool = False
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Plot:
    """A figure with its legend, ready for the page."""

    key: str
    title: str
    svg: str
    legend: list[tuple[str, int, bool]] = field(default_factory=list)
    note: str = ""


def lines(
    key: str,
    title: str,
    curves: Sequence[Line],
    *,
    percent: bool = False,
    from_zero: bool = False,
    across: str = "step",
    places: Sequence[float] = (),
    mark: float | None = None,
    note: str = "",
) -> Plot:
    """Draw curves over steps or seconds.

    Args:
        key: unique on the page; it keeps the ids of the figures apart.
        title: what is drawn, with its unit.
        curves: the curves.
        percent: values are shares, shown as per cent.
        from_zero: the axis begins at 0, for values whose size matters more than their wobble.
        across: what the horizontal axis counts.
        places: values above 0 that were measured: they alone are marked on that axis, which is then logarithmic.
        mark: step of the chosen checkpoint, drawn as a vertical line.
        note: one sentence under the figure.
    """
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _axes(_HEIGHT)
        covers = _covers(curves)
        for curve, cover in zip(curves, covers, strict=True):
            colour = _PALETTE[curve.colour % COLOURS]
            if curve.raw:
                axes.plot(curve.xs, curve.raw, color=colour, linewidth=0.8, alpha=0.28)
            if curve.low:
                axes.fill_between(curve.xs, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(
                curve.xs,
                curve.ys,
                color=colour,
                linewidth=1.7,
                linestyle=_style(curve, cover),
                # A single point is no line, so without its dot nothing would be seen.
                marker="o" if (curve.dots and len(curve.xs) <= 60) or len(curve.xs) == 1 else None,
                markersize=5 if len(curve.xs) == 1 else 3 / (1 + 0.5 * cover),
            )
        if mark is not None:
            axes.axvline(mark, color=_INK, linewidth=0.8, linestyle=(0, (1, 2)))
        axes.set_xlabel(across)
        if places:
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{place:,.0f}" for place in places])
            axes.set_xticks([], minor=True)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICKS, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=_TICKS))
        if percent or from_zero:
            axes.set_ylim(bottom=0)
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.grid(axis="y")
        svg = _svg(figure, key, title)
    legend = [
        (curve.label, curve.colour % COLOURS + 1, curve.dashed or cover > 0)
        for curve, cover in zip(curves, covers, strict=True)
        if curve.label
    ]
    return Plot(key, title, svg, legend, note)


def intervals(
    key: str, title: str, labels: Sequence[str], series: Mapping[str, Sequence[tuple[float, float, float] | None]]
) -> Plot:
    """Draw differences with their intervals, a row for each label.

    Args:
        key: as in `lines`.
        title: as in `lines`.
        labels: names of the rows, top first.
        series: by legend name, (difference, low, high) for each row.
    """
    with matplotlib.rc_context(_SETTINGS):
        figure, axes = _axes(0.65 + 0.32 * len(labels))
        shifts = [0.0] if len(series) == 1 else [-0.15, 0.15]
        for i, (rows, shift) in enumerate(zip(series.values(), shifts, strict=False)):
            there = [(y + shift, *row) for y, row in enumerate(rows) if row is not None]
            axes.errorbar(
                [difference for _, difference, _, _ in there],
                [y for y, *_ in there],
                xerr=[[d - low for _, d, low, _ in there], [high - d for _, d, _, high in there]],
                fmt="o" if i == 0 else "D",
                markersize=4.5 if i == 0 else 3.8,
                color=_PALETTE[i],
                elinewidth=1.6,
                capsize=2.5,
            )
        axes.axvline(0, color=_INK, linewidth=0.9)
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(labels) - 0.45, -0.55)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=_TICKS))
        axes.grid(axis="x")
        svg = _svg(figure, key, title)
    return Plot(key, title, svg, [(name, i, False) for i, name in enumerate(series, 1)])


def _covers(curves: Sequence[Line]) -> list[int]:
    """For each curve, how many before it lie where it does, and would not be seen under it."""
    values = [y for curve in curves for y in curve.ys]
    near = _NEAR * (max(values) - min(values)) if values else 0.0

    def same(one: Line, other: Line) -> bool:
        if len(one.xs) < 2 or list(one.xs) != list(other.xs):
            return False
        return all(abs(a - b) <= near for a, b in zip(one.ys, other.ys, strict=True))

    return [sum(same(curve, before) for before in curves[:i]) for i, curve in enumerate(curves)]


def _style(curve: Line, cover: int) -> str | tuple[float, tuple[float, float]]:
    if curve.dashed and not cover:
        return 0, (3, 2)
    dash = _PERIOD / 2**cover  # shorter ones on top, so that a piece of each is seen
    return (0, (dash, _PERIOD - dash)) if cover else "-"


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, key: str, title: str) -> str:
    """Render, then take out what a page must not have twice (ids) or at all (fixed size, colours and fonts)."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{key}-\1"', text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--sans)", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    view = re.search(r'viewBox="[^"]+"', text)
    assert view is not None  # matplotlib always writes one
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {view.group()} role="img" aria-label="{escape(title)}"'
    return re.sub(
        r"<svg[^>]*>", head.replace("\\", "") + ' stroke-linejoin="round" stroke-linecap="butt">', text, count=1
    )
