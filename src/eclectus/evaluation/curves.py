"""The learning curves of a run, from its `metrics.jsonl`.

All stages write to one file: `reinforce` and `supervised` are the run itself, every other stage is a control.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eclectus.evaluation.logs import Record
from eclectus.evaluation.plots import COLOURS, Line, Plot, lines

REINFORCE, SUPERVISED = "reinforce", "supervised"
_POINTS = 400  # of a curve; more make the page heavy and show nothing
_KL = "KL to the starting policy, nats per token"
_STEP = (
    ("entropy", "Entropy of the policy, nats per token"),
    ("off_target", "Off-target samples in training"),
    ("unfinished", "Samples cut by the length limit"),
    ("length", "Tokens of a sample"),
    ("length_ratio", "Length of samples by length of references"),
    ("equal_rewards", "Sources whose samples all got one reward"),
    ("distinct", "Different samples of a source, as a share of all"),
    ("samples_per_second", "Samples per second"),
)
_STEP_MORE = (
    ("tokens_per_second", "Tokens per second"),
    ("zero_signal", "Sources whose advantages are all 0"),
    ("loss", "Loss of the update"),
    ("grad_norm", "Norm of the gradient"),
    ("learning_rate", "Learning rate"),
)
_DEV = (
    ("chrf", "Held-out dev chrF++"),
    ("reward", "Held-out dev reward"),
    ("off_target", "Held-out dev off-target rate"),
    ("length_ratio", "Held-out dev length ratio"),
)
_DEV_MORE = (
    ("bleu", "Held-out dev BLEU"),
    ("repetition", "Held-out dev repetition"),
    ("copy", "Held-out dev copies"),
    ("empty", "Held-out dev empty output"),
)
_SHARES = frozenset(
    {"off_target", "equal_rewards", "zero_signal", "distinct", "unfinished", "repetition", "copy", "empty"}
)
_FROM_ZERO = frozenset({"samples_per_second", "tokens_per_second", "kl", "entropy", "length"})


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
    steps, dev = _of(records, "step", REINFORCE), _of(records, "dev", REINFORCE)
    chrf, *others = [_family(f"dev-{key}", title, dev, f"{key}/", labels) for key, title in _DEV]
    drawn = [
        chrf or _single("dev-score", "Held-out dev score", dev, "score", smoothed=False),
        _family("step-reward", "Reward in training", steps, "reward/", labels, smoothed=True)
        or _single("step-reward", "Reward in training", steps, "reward"),
        *others,
        # Tasks are not all measured in each step, so a mean over them would jump.
        _family("step-kl", _KL, steps, "kl/", labels, smoothed=True) or _single("step-kl", _KL, steps, "kl"),
        *(_single(f"step-{key}", title, steps, key) for key, title in _STEP),
    ]
    return [plot for plot in drawn if plot is not None]


def supervised_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw loss, held-out chrF++ and speed of the run's own supervised training; [] where there was none."""
    steps, dev = _of(records, "supervised", SUPERVISED), _of(records, "dev", SUPERVISED)
    drawn = [
        _single("supervised-loss", "Training loss", steps, "loss"),
        _family("supervised-chrf", "Held-out dev chrF++", dev, "chrf/", labels)
        or _single("supervised-score", "Held-out dev score", dev, "score", smoothed=False),
        _single("supervised-speed", "Target tokens per second", steps, "tokens_per_second"),
    ]
    return [plot for plot in drawn if plot is not None]


def control_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw held-out chrF++ of the run beside its controls over training time, one figure for each group.

    Time and not steps, because an update of one stage is not worth an update of another.
    """
    dev = [r for r in records if r.get("kind") == "dev" and isinstance(r.get("seconds"), int | float)]
    stages = [s for s in dict.fromkeys(str(r.get("stage")) for r in dev) if s not in (REINFORCE, SUPERVISED)]
    own = _of(dev, "dev", REINFORCE)
    drawn = []
    for i, key in enumerate(_keys(own, "chrf/")):
        group = key.removeprefix("chrf/")
        found = [_line("this run", own, key, across="seconds")]
        for colour, stage in enumerate(stages, 1):
            part = [r for r in dev if r.get("stage") == stage]
            label = labels.systems.get(stage, stage.replace("_", " "))
            found.append(_line(label, part, key, across="seconds", colour=colour, dashed=True))
        curves = [line for line in found if line is not None]
        if len(curves) > 1:
            title = f"Held-out dev chrF++: {labels.groups.get(group, group)}"
            drawn.append(lines(f"control-{i}", title, curves, across="seconds of training"))
    return drawn


def more_curves(records: Sequence[Record], labels: Labels) -> list[Plot]:
    """Draw the parts of each task's reward, and what only the engineer of a run wants to see."""
    steps, dev = _of(records, "step", REINFORCE), _of(records, "dev", REINFORCE)
    tasks = dict.fromkeys(key.split("/")[1] for key in _keys(steps, "parts/") if key.count("/") > 1)
    drawn = [
        _family(
            f"parts-{i}",
            f"Parts of the reward: {labels.groups.get(task, task)}",
            steps,
            f"parts/{task}/",
            Labels(),
            smoothed=True,
        )
        for i, task in enumerate(tasks)
    ]
    drawn += [_family(f"dev-{key}", title, dev, f"{key}/", labels) for key, title in _DEV_MORE]
    drawn += [_single(f"step-{key}", title, steps, key) for key, title in _STEP_MORE]
    return [plot for plot in drawn if plot is not None]


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Centred moving average over `width` values, over fewer at the ends."""
    half = width // 2
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _of(records: Sequence[Record], kind: str, stage: str) -> list[Record]:
    return [r for r in records if r.get("kind") == kind and r.get("stage", stage) == stage]


def _keys(records: Sequence[Record], prefix: str) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record if key.startswith(prefix)))


def _selected(records: Sequence[Record]) -> float | None:
    """The step of the checkpoint that was kept: the last that was the best so far."""
    steps = [r["step"] for r in records if r.get("selected")]
    return steps[-1] if steps else None


def _family(
    key: str, title: str, records: Sequence[Record], prefix: str, labels: Labels, *, smoothed: bool = False
) -> Plot | None:
    """One curve for each key that begins with `prefix`."""
    known = list(labels.groups)  # a group keeps its colour from figure to figure
    found = []
    for i, name in enumerate(_keys(records, prefix)):
        part = name.removeprefix(prefix)
        colour = known.index(part) if part in known else i
        label = labels.groups.get(part, part)
        found.append(_line(label, records, name, colour=colour, smoothed=smoothed, dashed=colour >= COLOURS))
    return _plot(key, title, [line for line in found if line is not None], records, prefix.rstrip("/"))


def _single(key: str, title: str, records: Sequence[Record], name: str, *, smoothed: bool = True) -> Plot | None:
    """The curve of one value."""
    line = _line("", records, name, smoothed=smoothed)
    return _plot(key, title, [line] if line else [], records, name)


def _plot(key: str, title: str, found: list[Line], records: Sequence[Record], name: str) -> Plot | None:
    if not found:
        return None
    mark = _selected(records)
    return lines(
        key,
        title,
        found,
        percent=name in _SHARES,
        from_zero=name in _FROM_ZERO,
        mark=mark,
        note="Dotted: the checkpoint that was kept." if mark is not None else "",
    )


def _line(
    label: str,
    records: Sequence[Record],
    key: str,
    *,
    across: str = "step",
    colour: int = 0,
    smoothed: bool = False,
    dashed: bool = False,
) -> Line | None:
    """The finite numbers under `key`, thinned to `_POINTS`; None where there are none."""
    points = [(r[across], v) for r in records if isinstance(v := r.get(key), int | float) and math.isfinite(v)]
    if not points:
        return None
    stride = math.ceil(len(points) / _POINTS)
    values = [float(v) for _, v in points]
    means = smooth(values, max(1, len(values) // 25)) if smoothed else values
    raw = values[::stride] if smoothed and len(values) >= 50 else []
    return Line(label, [x for x, _ in points][::stride], means[::stride], raw, colour, dashed, dots=not smoothed)
