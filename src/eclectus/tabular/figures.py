"""The tabular lesson for people: a table for the terminal, and one figure of curves, policy and Q-table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from rich.console import Console
from rich.table import Table

from eclectus.algorithms.tabular import ALGORITHMS
from eclectus.environments.word_translation import State
from eclectus.evaluation.formats import interval, number, signed
from eclectus.tabular import lesson as lessons
from eclectus.tabular.lesson import ABSENCE, Lesson, Setting

_TITLES = {
    "algorithms": "Algorithms",
    "explorations": "Exploration strategies",
    "choices": "Choice of the next sentence",
}
# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/: told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_INK, _ABSENT, _WRONG = "#222222", "#555555", "#B3261E"
_STYLE: Any = {  # matplotlib types the keys of its settings as one long literal
    "svg.fonttype": "none",
    "svg.hashsalt": "eclectus",
    "text.parse_math": False,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
}
_GREY = "#666666"
_ROWS = 14  # sentences in the figure; more could not be read


def show(lesson: Lesson, console: Console) -> None:
    """Print what each setting reached, beside the absence of what it adds, and the translations of the first."""
    for which, title in _TITLES.items():
        family = lesson.family(which)
        if len(family) > 1 or which == "algorithms":
            console.print(_table(lesson, title, family, ABSENCE.get(which)))
    first = next(iter(lesson.curves))
    table = Table(title=f"greedy translations after {first}, seed {lesson.config.seed}", title_justify="left")
    for column in ("source", "translation", "reference"):
        table.add_column(column)
    for (source, reference), text in zip(lesson.environment.table.sentences, lesson.translations, strict=True):
        table.add_row(source, text or "(empty)", "" if text == reference else reference)
    console.print(table)


def draw(lesson: Lesson, folder: Path) -> list[Path]:
    """Write `tabular.png` and `tabular.svg`: learning curves, the learnt policy and a part of its Q-table."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12.4, 8.2), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
        halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.12])  # matplotlib types an array as one
        axes = halves[0].subplots(1, 3, sharey=True)
        for panel, which in zip(axes, _TITLES, strict=True):
            _curves(panel, lesson, which)
        axes[0].set_ylabel("BLEU (0–100) of greedy translations")
        policy, values = halves[1].subplots(1, 2, width_ratios=[1, 1.12])
        _policy(policy, lesson)
        _heat_map(values, lesson)
        paths = [folder / "tabular.png", folder / "tabular.svg"]
        figure.savefig(paths[0], dpi=110, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    return paths


def _table(lesson: Lesson, title: str, family: Mapping[str, Setting], absence: str | None) -> Table:
    seeds = lesson.config.seeds
    means = "one seed" if seeds == 1 else f"mean over {seeds} seeds [95 % interval]"
    table = Table(title=f"{title}: {means}", title_justify="left")
    table.add_column("")
    headings = ["exact, %", "BLEU at the end", "over training", "pairs tried"]
    without = family.get(absence or "") if len(family) > 1 else None
    if without is not None:
        headings.append(f"minus {absence}")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for label, setting in family.items():
        learning = 100 * lesson.over_training(setting, "bleu")
        cells = [
            number(100 * float(lesson.final(setting, "exact").mean()), 0),
            _mean(100 * lesson.final(setting, "bleu")),
            _mean(learning),
            f"{lesson.final(setting, 'pairs').mean():,.0f}",
        ]
        if without is not None:
            # The seeds are the same, so their differences are paired.
            cells.append(
                "" if setting == without else _mean(learning - 100 * lesson.over_training(without, "bleu"), True)
            )
        table.add_row(label, *cells)
    return table


def _mean(values: lessons.Array, difference: bool = False) -> str:
    mean = float(values.mean())
    told = signed(mean) if difference else number(mean)
    return told if len(values) == 1 else f"{told} {interval(*lessons.interval(values))}"


def _curves(axes: Axes, lesson: Lesson, which: str) -> None:
    config = lesson.config
    first = next(iter(lesson.curves))
    colours = cycle(_COLOURS)
    for i, (label, setting) in enumerate(lesson.family(which).items()):
        runs = lesson.curves[setting]
        episodes = [point.episode for point in runs[0]]
        scores = 100 * np.array([[point.bleu for point in points] for points in runs])
        absent = label == ABSENCE.get(which)
        colour = _ABSENT if absent else next(colours)
        low, high = zip(*[lessons.interval(column) for column in scores.T], strict=True)
        axes.fill_between(episodes, low, high, color=colour, alpha=0.12, linewidth=0)
        style = (0, (4, 2)) if absent else "-"
        width = max(1.3, 2.6 - 0.4 * i)  # a line that another covers still shows at its edges
        axes.plot(episodes, scores.mean(0), color=colour, linewidth=width, linestyle=style, label=label)
    held = {
        "algorithms": lessons.label_of(config.explorations[0]),
        "explorations": ALGORITHMS[first.algorithm].title,
        "choices": str(first),
    }
    axes.set_title(f"{_TITLES[which]}\n", pad=2)
    axes.text(
        0, 1.02, f"with {held[which]}" if which != "choices" else held[which], transform=axes.transAxes, color=_GREY
    )
    several = f"mean of {config.seeds} seeds, band: 95 % interval"
    axes.set_xlabel(f"episodes ({'one seed' if config.seeds == 1 else several})")
    axes.set_ylim(0, 103)
    axes.set_xlim(0, config.episodes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", handlelength=1.8, labelspacing=0.3, fontsize=8.5)


def _policy(axes: Axes, lesson: Lesson) -> None:
    """The translations as a table; what differs from the reference stands under it."""
    axes.set_axis_off()
    first = next(iter(lesson.curves))
    rows = list(zip(lesson.environment.table.sentences, lesson.translations, strict=True))
    right = sum(text == reference for (_, reference), text in rows)
    axes.set_title(f"Learnt policy: {right} of {len(rows)} sentences right\n", pad=2)
    axes.text(
        0,
        1.02,
        f"{first}, seed {lesson.config.seed}; right of what is wrong: the reference",
        transform=axes.transAxes,
        color=_GREY,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(min(len(rows), _ROWS) - 0.3, -0.7)
    for y, ((source, reference), text) in enumerate(rows[:_ROWS]):
        same = text == reference
        axes.axhline(y + 0.5, color="#E6E6E6", linewidth=0.7)
        axes.text(0, y, source, va="center", color="#555555")
        axes.text(0.34, y, text or "(empty)", va="center", color=_INK if same else _WRONG)
        if not same:
            axes.text(0.68, y, reference, va="center", color="#777777")
    if len(rows) > _ROWS:
        axes.text(0, _ROWS - 0.45, f"… and {len(rows) - _ROWS} more", va="top", color="#777777", fontsize=8)


def _heat_map(axes: Axes, lesson: Lesson) -> None:
    """The rows of the Q-table that the greedy policy passes through in one sentence."""
    environment, learner = lesson.environment, lesson.learner
    sentence = _telling(lesson)
    source = environment.table.sentences[sentence][0]
    actions = [environment.action(word) for word in environment.table.candidates(source)] + [environment.end]
    written = lesson.translations[sentence].split()
    states = [State(sentence, i, written[i - 1] if i else None) for i in range(len(written) + 1)]
    states = states[: environment.limits[sentence]]  # in the last one there is nothing left to choose
    values = learner.q_table[[environment.encode(state) for state in states]][:, actions]
    tried = learner.visits[[environment.encode(state) for state in states]][:, actions] > 0
    image = axes.imshow(
        np.where(tried, values, np.nan), cmap="Blues", vmin=0, vmax=max(1.0, values.max()), aspect="auto"
    )
    for row in range(len(states)):
        column = int(values[row].argmax())
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=_COLOURS[1], linewidth=2))
        for i in range(len(actions)):
            text = f"{values[row, i]:.2f}" if tried[row, i] else "·"
            dark = tried[row, i] and values[row, i] > 0.6 * image.norm.vmax  # type: ignore[operator]  # set above
            axes.text(i, row, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "#444444")
    axes.set_title(f"Q-table along “{source}”\n", pad=2)
    axes.text(
        0, 1.02, "expected return of each action; framed: the greedy one; dot: never tried", transform=axes.transAxes,
        color=_GREY,
    )  # fmt: skip
    words = [environment.words[action] if action != environment.end else "END" for action in actions]
    axes.set_xticks(range(len(actions)), words, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(states)), [f"{state.position}, {state.previous or 'START'}" for state in states])
    axes.set_xlabel("action: target word")
    axes.set_ylabel("state: source position, previous word")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _telling(lesson: Lesson) -> int:
    """A sentence to show: the first of three words or more that is translated right, else the first."""
    pairs = zip(lesson.environment.table.sentences, lesson.translations, strict=True)
    right = (i for i, ((_, reference), text) in enumerate(pairs) if text == reference and len(text.split()) >= 3)
    return next(right, 0)
