"""Rewards that compare a hypothesis with references: what they share, from checks to the memory of references."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain, islice, pairwise
from typing import Generic, TypeVar

import numpy as np

from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.text import references_of
from eclectus.rewards.text.tokens import Spell, Speller, Tokenizer
from eclectus.segment import Segment

T = TypeVar("T")

_REMEMBERED = 2**20  # characters of references, whose statistics take about 100 bytes for each


class Overlap(Reward):
    """Base of the rewards that compare texts: a subclass judges groups of distinct hypotheses in `_judge`."""

    requires = frozenset({"reference"})
    pure = True

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge each hypothesis against its segment's references; DataError where there is none."""
        languages = [segment.target_lang for segment in segments]
        return list(self.score(hypotheses, [references_of(s, self.name) for s in segments], languages))

    def score_groups(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> list[list[Score]]:
        """Judge `hypotheses[b][g]` for `segments[b]`; equal hypotheses of one segment are judged once."""
        distinct = [list(dict.fromkeys(group)) for group in hypotheses]
        references = [references_of(segment, self.name) for segment in segments]
        if not any(distinct):
            return [[] for _ in hypotheses]
        table = self._judge([segment.target_lang for segment in segments], references, distinct)
        return [_spread(*row) for row in zip(hypotheses, distinct, table, strict=True)]

    def score(
        self, hypotheses: Sequence[str], references: Sequence[tuple[str, ...]], languages: Sequence[str]
    ) -> list[float]:
        """Judge `hypotheses[i]` against `references[i]`, all in `languages[i]` (a BCP-47 tag)."""
        if not hypotheses:
            return []
        groups: dict[tuple[tuple[str, ...], str], dict[str, float]] = {}
        for hypothesis, texts, language in zip(hypotheses, references, languages, strict=True):
            groups.setdefault((texts, language), {})[hypothesis] = 0.0
        table = self._judge([tag for _, tag in groups], [texts for texts, _ in groups], [*map(list, groups.values())])
        for group, row in zip(groups.values(), table, strict=True):
            group.update(zip(group, row, strict=False))
        keys = zip(references, languages, strict=True)
        return [groups[key][hypothesis] for key, hypothesis in zip(keys, hypotheses, strict=True)]

    @abstractmethod
    def _judge(
        self, languages: Sequence[str], references: Sequence[tuple[str, ...]], hypotheses: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Return the values of `hypotheses[b]` against `references[b]`; a row may be longer than its group."""


class SpeltOverlap(Overlap):
    """Base of the rewards that compare texts token by token; a subclass chooses the tokenizer and gives `_compare`."""

    _speller: Speller

    def __init__(self, options: Reward.Options | None = None, context: RewardContext | None = None) -> None:
        super().__init__(options, context)
        self._references = Remembered(self._spell)

    @abstractmethod
    def tokenizer_for(self, language: str) -> Tokenizer:
        """Return the tokenizer for a target language (a BCP-47 tag)."""

    def _spelling(self, language: str) -> Spell:
        """Return the function from texts to their spellings."""
        return self._speller.using(self.tokenizer_for(language))

    def _spell(self, references: tuple[str, ...], language: str) -> list[str]:
        return self._spelling(language)(references)

    def _judge(
        self, languages: Sequence[str], references: Sequence[tuple[str, ...]], hypotheses: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        if self._speller.full:
            self._speller.clear()
            self._references.clear()
        known = [*map(self._references, references, languages)]
        spelt = {}
        for tag in set(languages):  # all texts of a language in one go
            groups = [group for language, group in zip(languages, hypotheses, strict=True) if language == tag]
            spelt[tag] = iter(in_groups(self._spelling(tag), groups))
        return self._compare(known, [next(spelt[tag]) for tag in languages]).tolist()

    @abstractmethod
    def _compare(self, references: list[list[str]], hypotheses: list[list[str]]) -> np.ndarray:
        """Return [B, G] the values of spelt hypotheses against their spelt references."""


class Remembered(Generic[T]):
    """Statistics of references, extracted once and kept over steps; the least recently used are forgotten first.

    Args:
        extract: makes the statistics from references and a language.
        size: characters of all references that are remembered.
    """

    def __init__(self, extract: Callable[[tuple[str, ...], str], T], size: int = _REMEMBERED) -> None:
        self._extract = extract
        self._size = size
        self.clear()

    def __call__(self, references: tuple[str, ...], language: str) -> T:
        """Return the statistics of one segment's references."""
        key = (references, language)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        value = self._known[key] = self._extract(references, language)
        self._room -= sum(map(len, references)) + 1
        while self._room < 0:
            (oldest, _), _ = self._known.popitem(last=False)
            self._room += sum(map(len, oldest)) + 1
        return value

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forget everything."""
        self._known: OrderedDict[tuple[tuple[str, ...], str], T] = OrderedDict()
        self._room = self._size


def _spread(group: Sequence[str], distinct: Sequence[str], values: Sequence[float]) -> list[Score]:
    """Give every hypothesis of a group the value of its text."""
    if len(group) == len(distinct):
        return list(values[: len(group)])
    known = dict(zip(distinct, values, strict=False))
    return [known[hypothesis] for hypothesis in group]


def in_groups(spell: Spell, groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """Spell the texts of many groups in one go."""
    spelt = iter(spell([*chain.from_iterable(groups)]))
    return [[*islice(spelt, len(group))] for group in groups]


def lengths_of(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Return [B, G] the lengths of `texts[b][g]`, 0 where a group has fewer than G."""
    width = max(map(len, texts), default=0)
    return np.array([[*map(len, group), *[0] * (width - len(group))] for group in texts], np.int64).reshape(
        len(texts), width
    )


def apart(references: Sequence[Sequence[T]]) -> tuple[list[list[T]], list[int]]:
    """Give each reference a row of its own, and say whose it is."""
    return [[one] for row in references for one in row], [b for b, row in enumerate(references) for _ in row]


def best(values: np.ndarray, owners: Sequence[int], size: int, by: np.ndarray | None = None) -> np.ndarray:
    """Return [B, G] from rows [N, G] the value where `by` (None: `values`) is highest among a segment's rows.

    Args:
        values: [N, G], one row for each reference.
        owners: [N] the segment of each row, ascending.
        size: B.
        by: [N, G]; the first of equally high ones is taken.
    """
    if len(owners) == size:
        return values
    by = values if by is None else by
    bounds = np.searchsorted(owners, np.arange(size + 1))
    columns = np.arange(values.shape[1])
    return np.array([values[a:b][by[a:b].argmax(0), columns] for a, b in pairwise(bounds)])
