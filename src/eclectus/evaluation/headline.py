"""What the numbers say, in plain words: one sentence or two for each group, good news and bad alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from eclectus.evaluation.formats import capital, count, listing, number, p_value, percent, signed
from eclectus.evaluation.statistics import NAMES

if TYPE_CHECKING:
    from eclectus.evaluation.metrics import DirectionScores
    from eclectus.evaluation.results import Comparison, Group, Results, System

Verdict = Literal["better", "worse", "same", "mixed", "none"]

LENGTH_SHIFT = 0.10
RATE_RISE = 0.01
FEW = 30
"""Test segments of a direction below which a resampling of them says little about other text."""
EARLIER = {"loaded": "the model as loaded", "before": "the model before back-translation"}
"""Systems beside the start that are no controls but what the run began with."""
JUDGED = 0.9  # below it, a sentence says how much language identification could judge


def baseline(system: System) -> str:
    """What sentences call the system that others are compared with: `the start`, or its label."""
    return "the start" if system.label == "start" else system.label


def headline(results: Results) -> list[str]:
    """Return one paragraph for each group, in the order of the groups."""
    return [_group(results, group) for group in results.groups]


def verdict(results: Results, group: Group) -> Verdict:
    """Judge the system against the base on a group's mean, at the 5 % level.

    `better` or `worse`: BLEU and chrF++ agree, or one of them is undecided; `mixed`: they contradict each
    other; `same`: neither is decided; `none`: there is nothing to compare.
    """
    found = {c.verdict for c in _against_base(results, group).values()}
    if not found:
        return "none"
    if {"better", "worse"} <= found:
        return "mixed"
    return "better" if "better" in found else "worse" if "worse" in found else "same"


def decided_by(results: Results, group: Group) -> str:
    """Return ` by chrF++` where only that metric decides the verdict, and nothing where both do."""
    metric = deciding(results, group)
    return "" if metric is None else f" by {NAMES[metric]}"


def warnings(before: DirectionScores, after: DirectionScores) -> list[str]:
    """Name what got worse that BLEU and chrF++ may not show."""
    found = _length(before, after)
    for name, label in (("repetition", "repetition"), ("copy", "copies"), ("empty", "empty output")):
        if getattr(after, name) > getattr(before, name) + RATE_RISE:
            found.append(f"{label} {percent(getattr(before, name))} → {percent(getattr(after, name))}")
    return found


def _length(before: DirectionScores, after: DirectionScores) -> list[str]:
    if abs(after.length_ratio - 1) <= abs(before.length_ratio - 1) + LENGTH_SHIFT:
        return []
    return [f"length ratio {number(before.length_ratio, 2)} → {number(after.length_ratio, 2)}"]


def deciding(results: Results, group: Group) -> str | None:
    """The metric that alone decides the verdict; None where both do, or neither."""
    decided = [metric for metric, comparison in _against_base(results, group).items() if comparison.verdict != "same"]
    return decided[0] if len(decided) == 1 else None


def _against_base(results: Results, group: Group) -> dict[str, Comparison]:
    base, main = results.first("base"), results.first("system")
    if base is None or main is None:
        return {}
    found = {metric: results.comparison(group.name, main.name, base.name, metric) for metric in NAMES}
    return {metric: comparison for metric, comparison in found.items() if comparison is not None}


def _group(results: Results, group: Group) -> str:
    base, main = results.first("base"), results.first("system")
    changes = _against_base(results, group)
    opening = f"{capital(group.label)} ({count(len(group.directions), 'direction')})"
    if base is None or main is None or not changes:
        return f"{opening}: {_plain(results, group)}"
    before, after = results.group_scores(group, base.name), results.group_scores(group, main.name)
    assert before is not None and after is not None  # there is a comparison only where both cover the group
    by = decided_by(results, group)
    words = {
        "better": f"better{by} only: " if by else "",
        "worse": f"worse than {baseline(base)}{by}: ",
        "same": "no significant change: ",
        "mixed": "BLEU and chrF++ disagree: ",
    }[verdict(results, group)]
    bleu, chrf = changes["bleu"], changes["chrf"]
    parts = [
        f"BLEU {number(before.bleu)} → {number(after.bleu)} ({signed(bleu.difference)}, 95 % interval "
        f"{signed(bleu.low)} to {signed(bleu.high)}, {p_value(bleu.p, results.resamples)})",
        f"chrF++ {number(before.chrf)} → {number(after.chrf)} ({signed(chrf.difference)}, "
        f"{signed(chrf.low)} to {signed(chrf.high)})",
    ]
    if before.off_target is not None and after.off_target is not None:
        judged = f" ({percent(after.judged)} could be judged)" if after.judged < JUDGED else ""
        parts.append(f"off-target {percent(before.off_target)} → {percent(after.off_target)}{judged}")
    sentences = [f"{opening}: {words}{'; '.join(parts)}."]
    fewest = min(results.scores[name][main.name].n for name in group.directions)
    if fewest < FEW:
        verb = "is" if fewest == 1 else "are"
        sentences.append(
            f"Do not build on it: {count(fewest, 'test segment')} of a direction {verb} too few for an interval that"
            f" means anything; have {FEW} at least."
        )
    sentences += _oracles(results, group, after)
    sentences += _controls(results, group, main)
    bad = warnings(before, after)
    if not _length(before, after):  # what is too short in one direction and too long in another is neither in the mean
        for direction in group.directions:
            scores = results.scores[direction]
            bad += [f"{said} in {direction}" for said in _length(scores[base.name], scores[main.name])]
    if bad:
        sentences.append(f"Watch out: {listing(bad)}.")
    return " ".join(sentences)


def _plain(results: Results, group: Group) -> str:
    """Scores without a comparison, for an evaluation of one system."""
    said = []
    for system in results.systems:
        scores = results.group_scores(group, system.name)
        if scores is not None:
            off = "" if scores.off_target is None else f", off-target {percent(scores.off_target)}"
            said.append(f"{system.label}: BLEU {number(scores.bleu)}, chrF++ {number(scores.chrf)}{off}")
    return "; ".join(said) + "." if said else "no system translated all of it."


def _oracles(results: Results, group: Group, after: DirectionScores) -> list[str]:
    said = []
    for system in results.systems:
        scores = results.group_scores(group, system.name) if system.role == "oracle" else None
        if scores is not None:
            gap = scores.bleu - after.bleu
            place = f"{number(gap)} above" if gap > 0.05 else f"{number(-gap)} below" if gap < -0.05 else "equal"
            said.append(f"{capital(system.label)}: {number(scores.bleu)} BLEU, {place}.")
    return said


def against_control(results: Results, group: Group, main: System, system: System) -> dict[str, Comparison]:
    """How the main system compares with a control, by metric: in the one that alone decides its verdict, or in both."""
    if system.role != "control":
        return {}
    alone = deciding(results, group)
    found = {m: results.comparison(group.name, main.name, system.name, m) for m in ([alone] if alone else NAMES)}
    return {metric: comparison for metric, comparison in found.items() if comparison is not None}


def _controls(results: Results, group: Group, main: System) -> list[str]:
    earlier = [system for system in results.systems if system.name in EARLIER]
    controls = [system for system in results.systems if system not in earlier]
    return [
        *_against(results, group, main, earlier, "what it began with"),
        *_against(results, group, main, controls, "the controls"),
    ]


def _against(results: Results, group: Group, main: System, systems: Sequence[System], what: str) -> list[str]:
    """A sentence in the first metric, and one in the second about the systems that it judges otherwise."""
    openings = {"better": "ahead of", "same": "not clearly different from", "worse": "behind"}
    sentences: list[str] = []
    told: dict[str, str] = {}
    for metric in NAMES:
        by_verdict: dict[str, list[str]] = {verdict: [] for verdict in openings}
        for system in systems:
            found = against_control(results, group, main, system).get(metric)
            if found is None or told.get(system.name) == found.verdict:
                continue
            told[system.name] = found.verdict
            detail = signed(found.difference)
            if found.verdict == "same":
                detail += f", {signed(found.low)} to {signed(found.high)}"
            by_verdict[found.verdict].append(f"{EARLIER.get(system.name, system.label)} ({detail})")
        said = [f"{openings[kind]} {listing(names)}" for kind, names in by_verdict.items() if names]
        if said:
            begin = f"But in {NAMES[metric]}" if sentences else f"Against {what}, in {NAMES[metric]}"
            sentences.append(f"{begin}: {'; '.join(said)}.")
    return sentences
