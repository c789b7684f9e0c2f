"""How cheatable a reward is: what it pays for cheats, beside references and real translations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Literal

from eclectus.evaluation.cheats import Cheat, cheats
from eclectus.evaluation.correlation import Correlation, correlate
from eclectus.evaluation.judging import Judgement, judge
from eclectus.rewards.base import Score
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment

Kind = Literal["reference", "output", "cheat"]

REFERENCE, OUTPUT = "reference", "real output"


@dataclass(frozen=True)
class Output:
    """A real translation.

    Args:
        item: index of the item that it translates.
        system: who made it.
        text: the translation.
        human: a human judgement, higher is better; None: not judged.
    """

    item: int
    system: str
    text: str
    human: float | None = None


@dataclass(frozen=True)
class Item:
    """One thing to translate.

    Args:
        source: the segment, with its references if there are any.
        judged: what the reward is given: the same, or the segment without references.
    """

    source: Segment
    judged: Segment


@dataclass(frozen=True)
class Example:
    """One hypothesis with what it earned."""

    source: str
    text: str
    total: float


@dataclass(frozen=True)
class Line:
    """What the reward pays for one kind of hypothesis.

    Args:
        name: the cheat, the system, or "reference".
        kind: which of them it is.
        made: how it was made.
        n: hypotheses of this kind.
        judged: those that the reward did not abstain on.
        mean: mean total; None: all abstained.
        margin: half of the 95 % interval of the mean (normal approximation).
        parts: mean of each term and gate, over those that it judged.
        against: what a cheat is held against: "real output" or "reference".
        kept: mean over the mean of that, on the segments where both are judged; None where that mean is not above 0.
        compared: on how many segments both are judged.
        beats: share of the segments on which it earns more than the mean real output there; None without any.
        bar: what it may keep.
        flagged: whether it keeps more.
        example: the hypothesis that earned most.
    """

    name: str
    kind: Kind
    made: str
    n: int
    judged: int
    mean: float | None
    margin: float | None
    parts: dict[str, float | None]
    against: str = ""
    kept: float | None = None
    compared: int = 0
    beats: float | None = None
    bar: float | None = None
    flagged: bool = False
    example: Example | None = None


@dataclass(frozen=True)
class Audit:
    """The whole audit of one reward on one corpus.

    Args:
        reward: how the user named the reward.
        corpus: how the user named the text.
        signature: how the reward is made.
        parts: names of its terms and gates.
        directions: of the text.
        items: how many segments.
        seed: of shuffling and drawing.
        lines: references, real output, cheats, in this order.
        correlations: with human judgements, of the reward first and then of yardsticks.
    """

    reward: str
    corpus: str
    signature: str
    parts: list[str]
    directions: list[str]
    items: int
    seed: int
    lines: list[Line]
    correlations: list[Correlation] = field(default_factory=list)

    @property
    def cheats(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "cheat"]

    @property
    def flagged(self) -> list[Line]:
        return [line for line in self.lines if line.flagged]


def audit(
    reward: CompositeReward,
    items: Sequence[Item],
    outputs: Sequence[Output],
    *,
    name: str,
    corpus: str,
    seed: int = 1,
    threshold: float | None = None,
    others: Mapping[str, Sequence[str | None]] | None = None,
    yardsticks: Mapping[str, CompositeReward] | None = None,
) -> Audit:
    """Judge references, real output and cheats with one reward.

    A cheat that needs no reference is open to any policy, so it is held against real output, which is what honest work
    earns; a damaged reference is held against the reference. It is flagged where it keeps more than its bar of that.

    Args:
        reward: the reward.
        items: what is to be translated.
        outputs: real translations; may be none, then the references stand for them.
        name: the reward in the report.
        corpus: the text in the report.
        seed: of shuffling and drawing.
        threshold: one bar for all cheats; None: each cheat's own.
        others: for the wrong language, see `cheats`.
        yardsticks: other rewards to correlate with the human judgements.

    Raises:
        EclectusError: a reward cannot judge these segments.
    """
    made = cheats([item.source for item in items], seed, others)
    columns = [[item.source.reference for item in items], *(cheat.hypotheses for cheat in made)]
    real, (references, *cheated) = _judged(reward, items, outputs, columns)
    lines = [_line(REFERENCE, "reference", "the right translation", references, reward.names)]
    for system in dict.fromkeys(output.system for output in outputs):
        own = [judgement for judgement, output in zip(real, outputs, strict=True) if output.system == system]
        lines.append(_line(system, "output", OUTPUT, own, reward.names))
    honest = _means(len(items), outputs, real) if outputs else None
    for cheat, found in zip(made, cheated, strict=True):
        line = _line(cheat.name, "cheat", cheat.made, found, reward.names)
        blind = honest if cheat.blind else None
        line = replace(
            line,
            against=REFERENCE if blind is None else OUTPUT,
            bar=cheat.bar if threshold is None else threshold,
            example=_example(items, cheat, found),
        )
        baseline = [_total(judgement) for judgement in references] if blind is None else blind
        lines.append(_compared(line, [_total(judgement) for judgement in found], baseline, honest))
    return Audit(
        name,
        corpus,
        reward.signature,
        reward.names,
        list(dict.fromkeys(item.source.direction for item in items)),
        len(items),
        seed,
        [line for line in lines if line.n or line.kind == "cheat"],
        _correlations(name, [judgement.total for judgement in real], items, outputs, yardsticks or {}, seed),
    )


def _judged(
    reward: CompositeReward, items: Sequence[Item], outputs: Sequence[Output], columns: Sequence[Sequence[str | None]]
) -> tuple[list[Judgement], list[list[Judgement | None]]]:
    """Judge the outputs, and columns of one text for each item: all at once, so that each reference is read once.

    A reward that compares hypotheses sees each column beside the outputs alone: cheats are no evidence for each other.
    """
    if reward.comparative and len(columns) > 1:
        apart = [_judged(reward, items, outputs, [column]) for column in ([None] * len(items), *columns)]
        return apart[0][0], [found for _, (found,) in apart[1:]]
    groups: list[list[str]] = [[] for _ in items]
    for output in outputs:
        groups[output.item].append(output.text)
    for column in columns:
        for group, text in zip(groups, column, strict=True):
            group.extend(() if text is None else (text,))
    # Judgements leave each group in the order in which their texts went in.
    queues = [iter(row) for row in judge(reward, [item.judged for item in items], groups)]
    real = [next(queues[output.item]) for output in outputs]
    rest = [
        [None if text is None else next(queue) for queue, text in zip(queues, column, strict=True)]
        for column in columns
    ]
    return real, rest


def _example(items: Sequence[Item], cheat: Cheat, found: Sequence[Judgement | None]) -> Example | None:
    """What the cheat earned most with; the first of equals."""
    totals = {i: total for i, judgement in enumerate(found) if (total := _total(judgement)) is not None}
    if not totals:
        return None
    best = max(totals, key=totals.__getitem__)
    return Example(items[best].source.source, cheat.hypotheses[best] or "", totals[best])


def _correlations(
    name: str,
    totals: Sequence[Score],
    items: Sequence[Item],
    outputs: Sequence[Output],
    yardsticks: Mapping[str, CompositeReward],
    seed: int,
) -> list[Correlation]:
    if all(output.human is None for output in outputs):
        return []
    # Where the reward abstains the yardsticks do not count either: all are measured on the same translations.
    human = [None if t is None else output.human for t, output in zip(totals, outputs, strict=True)]
    sources = [output.item for output in outputs]
    found = [correlate(name, totals, human, sources, seed)]
    for other, reward in yardsticks.items():
        judged = judge(reward, [items[o.item].judged for o in outputs], [[o.text] for o in outputs])
        found.append(correlate(other, [row[0].total for row in judged], human, sources, seed))
    return found


def _total(judgement: Judgement | None) -> Score:
    return None if judgement is None else judgement.total


def _means(items: int, outputs: Sequence[Output], real: Sequence[Judgement]) -> list[Score]:
    """The mean total of the real output of each item."""
    found: list[list[float]] = [[] for _ in range(items)]
    for output, judgement in zip(outputs, real, strict=True):
        if judgement.total is not None:
            found[output.item].append(judgement.total)
    return [fmean(values) if values else None for values in found]


def _line(name: str, kind: Kind, made: str, found: Sequence[Judgement | None], parts: Sequence[str]) -> Line:
    there = [judgement for judgement in found if judgement is not None]
    totals = [j.total for j in there if j.total is not None]
    means: dict[str, float | None] = {}
    for part in parts:
        values = [v for j in there if (v := j.parts[part]) is not None]
        means[part] = fmean(values) if values else None
    margin = 1.96 * stdev(totals) / math.sqrt(len(totals)) if len(totals) > 1 else None
    return Line(name, kind, made, len(there), len(totals), fmean(totals) if totals else None, margin, means)


def _compared(line: Line, totals: Sequence[Score], baseline: Sequence[Score], honest: Sequence[Score] | None) -> Line:
    """The line of a cheat with what it keeps of what honest work earns, on the segments where both are judged."""
    beats = None
    if honest is not None:
        pairs = [(t, h) for t, h in zip(totals, honest, strict=True) if t is not None and h is not None]
        beats = fmean(t > h for t, h in pairs) if pairs else None
    pairs = [(t, b) for t, b in zip(totals, baseline, strict=True) if t is not None and b is not None]
    line = replace(line, beats=beats, compared=len(pairs))
    if not pairs or line.bar is None:
        return line
    mean, base = fmean(t for t, _ in pairs), fmean(b for _, b in pairs)
    if base <= 0:
        # Nothing is paid for honest work, so a share of it says nothing: the cheat must not earn more.
        return replace(line, flagged=mean > base)
    return replace(line, kept=mean / base, flagged=mean > line.bar * base)
