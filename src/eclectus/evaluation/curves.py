"""The learning curves of a run, from its `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eclectus.evaluation.logs import Record
from eclectus.evaluation.plots import Line, Plot, lines

POINTS = 400
_SINGLE = (
    ("kl", "KL to the starting policy, nats per token"),
    ("entropy", "Entropy of the policy, nats per token"),
    ("off_target", "Off-target samples in training"),
    ("length_ratio", "Length of samples by length of references"),
    ("zero_signal", "Sources whose samples all got one reward"),
    ("samples_per_second", "Samples per second"),
)
_MORE = (
    ("tokens_per_second", "Tokens per second"),
    ("loss", "Loss of the update"),
    ("grad_norm", "Norm of the gradient"),
    ("learning_rate", "Learning rate"),
)
_SHARES = frozenset({"off_target", "zero_signal"})
_FROM_ZERO = frozenset({"samples_per_second", "tokens_per_second", "kl", "entropy"})


@dataclass(frozen=True)
class Labels:
    """What groups (which are tasks in training) and systems (among them the controls) are called, by name."""

    groups: Mapping[str, str] = field(default_factory=dict)
    systems: Mapping[str, str] = field(default_factory=dict)


def main_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw reward, held-out metrics, KL, entropy, off-target rate and speed; [] without reinforcement learning.

    Args:
        records: the lines of `metrics.jsonl`.
        labels: names for people; the order of the groups gives their colours.
    """
    steps = [r for r in records if r.get("kind") == "step"]
    dev = [r for r in records if r.get("kind") == "dev" and r.get("stage", "reinforce") == "reinforce"]
    mark = _selected(dev)
    drawn = [
        _family("dev-chrf", "Held-out dev chrF++", dev, "chrf/", labels, mark=mark) or _score("dev-score", dev, labels),
        _family("reward", "Reward in training", steps, "reward/", labels, smooth=True)
        or _single("reward", "Reward in training", steps, labels),
        _family("dev-reward", "Held-out dev reward", dev, "reward/", labels, mark=mark),
        _family("dev-off", "Held-out dev off-target rate", dev, "off_target/", labels, mark=mark, percent=True),
        *(_single(key, title, steps, labels) for key, title in _SINGLE),
    ]
    return [plot for plot in drawn if plot is not None]


def supervised_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw loss, held-out chrF++ and speed of supervised training; [] where there was none."""
    steps = [r for r in records if r.get("kind") == "supervised"]
    dev = [r for r in records if r.get("kind") == "dev" and r.get("stage") == "supervised"]
    drawn = [
        _single("supervised-loss", "Training loss", steps, labels, key="loss"),
        _family("supervised-chrf", "Held-out dev chrF++", dev, "chrf/", labels, mark=_selected(dev))
        or _score("supervised-score", dev, labels),
        _single("supervised-speed", "Target tokens per second", steps, labels, key="tokens_per_second"),
    ]
    return [plot for plot in drawn if plot is not None]


def more_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw the parts of each task's reward, and what only the engineer of a run wants to see."""
    steps = [r for r in records if r.get("kind") == "step"]
    tasks = sorted({key.split("/")[1] for r in steps for key in r if key.startswith("parts/") and key.count("/") > 1})
    drawn = [
        _family(
            f"parts-{i}",
            f"Parts of the reward: {labels.groups.get(task, task)}",
            steps,
            f"parts/{task}/",
            Labels(),
            smooth=True,
        )
        for i, task in enumerate(tasks)
    ]
    drawn += [_single(key, title, steps, labels) for key, title in _MORE]
    return [plot for plot in drawn if plot is not None]


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Centred moving average over `width` values, over fewer at the ends."""
    half = width // 2
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _selected(dev: Sequence[Record]) -> float | None:
    """The step of the checkpoint that was kept: the last that was the best so far."""
    steps = [r["step"] for r in dev if r.get("selected") and not r.get("control")]
    return steps[-1] if steps else None


def _family(
    key: str,
    title: str,
    records: Sequence[Record],
    prefix: str,
    labels: Labels,
    *,
    smooth: bool = False,
    percent: bool = False,
    mark: float | None = None,
) -> Plot | None:
    """One curve for each key that begins with `prefix`, and dashed ones for the controls."""
    names = list(dict.fromkeys(k for r in records for k in r if k.startswith(prefix)))
    known = list(labels.groups)  # a group keeps its colour from figure to figure
    found = []
    for control in _controls(records):
        own = [r for r in records if r.get("control") == control]
        for i, name in enumerate(names):
            part = name.removeprefix(prefix)
            colour = known.index(part) if part in known else i
            label = labels.groups.get(part, part) + (f", {labels.systems.get(control, control)}" if control else "")
            line = _line(label, own, name, colour=colour, smoothed=smooth, dashed=control is not None)
            found += [line] if line else []
    note = "Dotted: the checkpoint that was kept." if mark is not None else ""
    return lines(key, title, found, percent=percent, mark=mark, note=note) if found else None


def _single(name: str, title: str, records: Sequence[Record], labels: Labels, key: str | None = None) -> Plot | None:
    """The curve of one value, and dashed ones for the controls."""
    key = key or name
    found = []
    for i, control in enumerate(_controls(records)):
        own = [r for r in records if r.get("control") == control]
        label = labels.systems.get(control, control) if control else ""
        line = _line(label, own, key, colour=i, smoothed=True, dashed=control is not None)
        found += [line] if line else []
    return lines(f"step-{name}", title, found, percent=key in _SHARES, from_zero=key in _FROM_ZERO) if found else None


def _score(key: str, dev: Sequence[Record], labels: Labels) -> Plot | None:
    mark = _selected(dev)
    line = _line("", [r for r in dev if not r.get("control")], "score")
    return lines(key, "Held-out dev score", [line], mark=mark) if line else None


def _controls(records: Sequence[Record]) -> list[str | None]:
    """None for the run itself, then the controls that wrote to the same file."""
    names = list(dict.fromkeys(r["control"] for r in records if r.get("control")))
    return [None, *names]


def _line(
    label: str,
    records: Sequence[Record],
    key: str,
    *,
    colour: int = 0,
    smoothed: bool = False,
    dashed: bool = False,
) -> Line | None:
    points = [(r["step"], v) for r in records if isinstance(v := r.get(key), int | float) and math.isfinite(v)]
    if not points:
        return None
    stride = math.ceil(len(points) / POINTS)
    values = [float(v) for _, v in points]
    means = smooth(values, max(1, len(values) // 25)) if smoothed else values
    raw = values[::stride] if smoothed and len(values) >= 50 and not dashed else []
    xs = [step for step, _ in points][::stride]
    return Line(label, xs, means[::stride], raw, colour, dashed, dots=not smoothed)
