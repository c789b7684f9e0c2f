"""Sentence pairs that a policy makes of monolingual text: one side is real, the other is its own translation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eclectus import atomic, parallel
from eclectus.corpora.dataset import Dataset
from eclectus.languages import Direction, direction
from eclectus.seeds import rng
from eclectus.segment import Segment

Pairs = dict[str, list[Segment]]
Make = Callable[[Sequence[Segment]], list[Segment]]
"""From prompts to pairs; prompts that come to nothing are left out."""

_BACK_TRANSLATED = {"corpus": "back-translated"}
"""What pairs whose source is a translation by the policy have for attributes."""

_CHUNK = 256
"""Prompts that are translated between two looks at the clock."""


def as_back_translated(pair: Segment) -> Segment:
    """Mark a pair as one whose source the policy wrote."""
    return replace(pair, attributes=_BACK_TRANSLATED)


def is_back_translated(segment: Segment) -> bool:
    """Whether the source of a pair is a translation by the policy, see `as_back_translated`."""
    return segment.attributes == _BACK_TRANSLATED


@dataclass(frozen=True)
class Synthetic:
    """Synthetic pairs by name, and the seconds that they took."""

    pairs: Pairs
    seconds: float


def back_prompts(
    dataset: Dataset, directions: Sequence[Direction], pairs: Mapping[str, Sequence[Segment]]
) -> dict[str, list[Segment]]:
    """Prompts of the reverse directions: the target language's training text that no pair of a direction has.

    Args:
        directions: that are to get pairs.
        pairs: their real ones, by direction; a direction without any gets all of its target language's text.

    Returns:
        By a name that tells them from the real pairs, so that training draws the two apart (`PairBatches`); directions
        whose text is all in pairs are left out.
    """
    found = {}
    for source, target in directions:
        name = direction(source, target)
        used = {segment.reference for segment in pairs.get(name, ())}
        rows = [
            Segment(text, target, source, id=f"{target}:{number}")
            for number, text in enumerate(dataset.monolingual("train", target))
            if text not in used
        ]
        if rows:
            found[f"{name} back-translated"] = rows
    return found


def back_translated(translate: Callable[[Sequence[Segment]], list[str]]) -> Make:
    """Pairs with a real target: the source is the policy's translation of it, in the reverse direction.

    Source: Sennrich et al. 2016, https://aclanthology.org/P16-1009; for directions that the policy has no pairs of, Gu
    et al. 2019, https://aclanthology.org/P19-1121.
    """

    def make(prompts: Sequence[Segment]) -> list[Segment]:
        return [
            Segment(text, s.target_lang, s.source_lang, reference=s.source, id=s.id)
            for s, text in zip(prompts, translate(prompts), strict=True)
            if text.strip()
        ]

    return make


def distilled(translate: Callable[[Sequence[Segment]], list[str]]) -> Make:
    """Pairs with a real source: the target is a teacher's translation of it (Kim and Rush 2016)."""

    def make(prompts: Sequence[Segment]) -> list[Segment]:
        return [
            replace(s, reference=text, alternatives=())
            for s, text in zip(prompts, translate(prompts), strict=True)
            if text.strip()
        ]

    return make


def synthesise(
    prompts: Mapping[str, Sequence[Segment]],
    make: Make,
    path: Path,
    *,
    seed: int,
    seconds: float | None = None,
    most: int | None = None,
    resume: bool = False,
) -> Synthetic:
    """Make pairs of prompts, all names in turn, and keep them in a file that a resumed run takes over.

    Args:
        prompts: by name, each list drawn from in seeded order.
        path: JSON file for the pairs.
        seconds: stop at the first look at the clock after this much time; None: no limit.
        most: prompts used of each name; None: all.
    """
    if resume and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        again = {name: [Segment(*fields) for fields in rows] for name, rows in kept["pairs"].items()}
        return Synthetic(again, kept["seconds"])
    started = parallel.now()
    order = {name: rng(seed, "synthetic", name).sample(rows, len(rows))[:most] for name, rows in prompts.items()}
    pairs: Pairs = {name: [] for name in order}
    for first in range(0, max(map(len, order.values()), default=0), _CHUNK):
        for name, rows in order.items():
            pairs[name] += make(rows[first : first + _CHUNK])
        if seconds is not None and parallel.now() - started >= seconds:
            break
    found = Synthetic(pairs, parallel.now() - started)
    written = {
        name: [[s.source, s.source_lang, s.target_lang, s.reference, s.id] for s in rows]
        for name, rows in found.pairs.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, json.dumps({"seconds": found.seconds, "pairs": written}, ensure_ascii=False))
    return found
