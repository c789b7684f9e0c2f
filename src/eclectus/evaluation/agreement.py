"""Do the translations of one source into several languages say the same?

The evaluation's side of the reward `joint`: each translation is read in the pivot language, and compared with what the
source's other translations say there. It needs no reference. Al-Shedivat and Parikh 2019,
https://aclanthology.org/N19-1121, train for it; here it is only measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from eclectus.rewards.chrf import ChrF
from eclectus.segment import Segment

Translate = Callable[[Sequence[Segment]], list[str]]
"""What reads a translation in the pivot language: the run's starting policy, for all systems alike."""


def agreement(
    segments: Mapping[str, Sequence[Segment]],
    outputs: Mapping[str, Sequence[str]],
    translate: Translate,
    pivot: str,
) -> dict[str, float]:
    r"""How far a system's translations into each language agree with those of the same sources into the others.

    With q(y) what a translation says in the pivot language (y itself where it is in that language, nothing where it is
    empty), the agreement of direction l is the mean over its sources x and over the other languages k that x is
    translated into, with x's own language never among them:

    $$A_l = \frac{1}{|P_l|} \sum_{(x, k) \in P_l} \tfrac12 \big[c(q(y_{lx}), q(y_{kx})) + c(q(y_{kx}), q(y_{lx}))\big]$$

    c is sentence chrF++, 0 to 100, which is not symmetric and so taken both ways.

    Args:
        segments: test segments by direction.
        outputs: the system's translations of them, in the same order; directions may be missing.
        translate: reads translations in the pivot language.
        pivot: BCP-47 tag of that language.

    Returns:
        The agreement of each direction; without those that share no source with another direction.
    """
    places: dict[tuple[str, str], dict[str, int]] = {}
    for direction, texts in outputs.items():
        for i, segment in enumerate(segments[direction]):
            places.setdefault((segment.source_lang, segment.source), {}).setdefault(direction, i)
        if len(texts) != len(segments[direction]):
            raise ValueError(f"{direction}: {len(texts)} translations of {len(segments[direction])} segments")
    shared = [family for family in places.values() if len(family) > 1]
    said = _in_pivot(segments, outputs, {(d, i) for family in shared for d, i in family.items()}, translate, pivot)
    pairs = [
        (direction, said[direction, i], said[other, j])
        for family in shared
        for direction, i in family.items()
        for other, j in family.items()
        if direction != other
    ]
    texts, others = [a for _, a, _ in pairs], [(b,) for _, _, b in pairs]
    scores = ChrF(ChrF.Options(words=2)).score(texts, others, [pivot] * len(pairs))
    one_way = {(a, b): score for (_, a, b), score in zip(pairs, scores, strict=True)}
    found: dict[str, list[float]] = {}
    for direction, a, b in pairs:
        found.setdefault(direction, []).append(50 * (one_way[a, b] + one_way[b, a]) if a and b else 0.0)
    return {direction: sum(values) / len(values) for direction, values in found.items()}


def _in_pivot(
    segments: Mapping[str, Sequence[Segment]],
    outputs: Mapping[str, Sequence[str]],
    places: set[tuple[str, int]],
    translate: Translate,
    pivot: str,
) -> dict[tuple[str, int], str]:
    """What each translation says in the pivot language, stripped."""
    said = {(direction, i): outputs[direction][i].strip() for direction, i in sorted(places)}
    asked = [
        (place, replace(segment, source=text, source_lang=segment.target_lang, target_lang=pivot, reference=None))
        for place, text in said.items()
        if text and (segment := segments[place[0]][place[1]]).target_lang != pivot
    ]
    for (place, _), text in zip(asked, translate([segment for _, segment in asked]), strict=True):
        said[place] = text.strip()
    return said
