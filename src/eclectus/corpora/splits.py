"""Splitting by source sentence, and the check that nothing held out stands in the training text.

The unit is the *source group*: all entries with the same normalised text in the pivot language (or in the first
language they have). Groups are put in an order by a seeded hash of that text, so a sentence keeps its place when
packages are added, and dev and test are drawn from the front of that order until every pair of languages has its share
of sources.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from eclectus.corpora.base import Entry
from eclectus.corpora.clean import normalise_key, ratio_fits, words
from eclectus.errors import DataError

SHARE = {"test": 0.15, "dev": 0.1}
"""Of a pair's text in one corpus at most this share is held out, so that training keeps the bulk."""

NAME_WORDS = 3
"""Longer texts that are equal in both languages are untranslated; shorter ones may be names."""

Pair = tuple[str, str]

Slot = tuple[str, Pair]
"""A corpus and a pair of languages, which dev and test are drawn for."""


@dataclass
class _Group:
    """Entries that share a source text."""

    members: list[int]
    order: str
    tier: int
    keys: set[str]


def split(
    entries: Sequence[Entry],
    languages: Sequence[str],
    sizes: Mapping[str, int],
    *,
    max_ratio: float,
    seed: int,
    leaks: Literal["refuse", "remove", "keep"],
    dropped: Counter[str],
) -> list[str | None]:
    """Decide on a split for every entry.

    Args:
        entries: cleaned entries; a split other than "auto" is kept.
        languages: the run's tags, the pivot first.
        sizes: {"dev": n, "test": n} segments wanted per pair of languages.
        max_ratio: as in `pair_fits`.
        seed: `data.split_seed`.
        leaks: what to do where splits of the user's own share text.
        dropped: entries that leave training or dev because what is tested stands in them are counted here.

    Returns:
        "train", "dev" or "test" for each entry, or None for one that is left out.

    Raises:
        DataError: splits that the user fixed share text.
    """
    keys = [frozenset(normalise_key(text) for text in entry.texts.values()) for entry in entries]
    result: list[str | None] = [None if e.split == "auto" else e.split for e in entries]
    if leaks != "keep":
        for i, later in _leaks(entries, keys, refuse=leaks == "refuse").items():
            result[i] = None
            dropped[f"shares text with {later}"] += 1
    fixed = {name: _texts(keys, result, name) for name in ("train", "dev", "test")}
    held = fixed["dev"] | fixed["test"]
    auto = [i for i, e in enumerate(entries) if e.split == "auto" and not (held and keys[i] & held)]
    groups = _groups(entries, keys, auto, languages, seed)
    slots = {i: _slots(entries[i], languages, max_ratio) for i in auto}
    firsts = _firsts(entries, slots, languages)
    settled = _fixed_pairs(entries, languages)
    needs, source_needs = _needs(slots, sizes, settled), _needs(firsts, sizes, settled)
    # A group that stands in the user's own training text can no longer be held out.
    open_groups = [g for g in groups if not g.keys & fixed["train"]]
    chosen: dict[str, set[str]] = {"test": set(), "dev": set()}
    for name in ("test", "dev"):
        allowed = [group for group in open_groups if not group.keys & chosen["test"]]
        taken = _draw(allowed, slots, needs[name])
        # Dev and test keep each source once: more is drawn for a pair that repeated ones leave short, and for no other,
        # so that a few repetitions move no sentence.
        taken += _draw(_without(taken, allowed), firsts, _missing(taken, firsts, source_needs[name]))
        open_groups = _without(taken, open_groups)
        for group in taken:
            chosen[name] |= group.keys
            for i in group.members:
                result[i] = name
    held |= chosen["test"] | chosen["dev"]
    for i, entry in enumerate(entries):
        if entry.split == "auto" and result[i] is None:
            if keys[i] & held:
                dropped["shares text with dev or test"] += 1
            else:
                result[i] = "train"
    return result


def pair_fits(entry: Entry, pair: Pair, max_ratio: float) -> bool:
    """Tell whether an entry gives a usable pair: both texts, of like length, not an untranslated copy."""
    first, second = entry.texts.get(pair[0]), entry.texts.get(pair[1])
    if first is None or second is None:
        return False
    if first == second and words(first) > NAME_WORDS:
        return False
    return ratio_fits(first, second, max_ratio)


def order(seed: int, text: str) -> str:
    """Return a text's place in the seeded order, equal on every machine and in every process."""
    return hashlib.sha256(f"{seed}\x00{text}".encode()).hexdigest()


def source_key(entry: Entry, languages: Sequence[str]) -> str:
    """Return the normalised source text: the pivot's, or that of the first language the entry has."""
    tag = _source_tag(entry, languages)
    return f"{tag}\x00{normalise_key(entry.texts[tag])}"


def _source_tag(entry: Entry, languages: Sequence[str]) -> str:
    return next(tag for tag in languages if tag in entry.texts)


def _texts(keys: Sequence[frozenset[str]], splits: Sequence[str | None], name: str) -> set[str]:
    """All texts of a split."""
    return set().union(*(own for own, split in zip(keys, splits, strict=True) if split == name))


def _leaks(entries: Sequence[Entry], keys: Sequence[frozenset[str]], *, refuse: bool) -> dict[int, str]:
    """Positions of entries of the user's own training and dev text that share text with a later split, and with which.

    Raises:
        DataError: there are any, and they are to be refused.
    """
    found: dict[int, str] = {}
    names: list[str | None] = [entry.split for entry in entries]
    # Dev before the second comparison with it: what leaves dev need not leave training.
    for first, second in (("train", "test"), ("dev", "test"), ("train", "dev")):
        shared = _texts(keys, names, first) & _texts(keys, names, second)
        if shared and refuse:
            leaks = [e for e, own in zip(entries, keys, strict=True) if e.split == second and own & shared]
            example = next(t for t in leaks[0].texts.values() if normalise_key(t) in shared)
            raise DataError(
                f"data: {len(leaks)} {second} entries of '{leaks[0].corpus}' also stand in {first}, for example "
                f"'{example}' ({leaks[0].id}); set data.leaks: remove to leave them out of {first}, or keep to start as"
                " it is"
            )
        for i, name in enumerate(names):
            if name == first and keys[i] & shared:
                found[i], names[i] = second, None
    return found


def _fixed_pairs(entries: Iterable[Entry], languages: Sequence[str]) -> dict[str, set[Pair]]:
    """Pairs of languages for which the user gave dev or test text: nothing else is drawn for those."""
    found: dict[str, set[Pair]] = {"dev": set(), "test": set()}
    for entry in entries:
        if entry.split in found:
            found[entry.split].update(combinations([tag for tag in languages if tag in entry.texts], 2))
    return found


def _groups(
    entries: Sequence[Entry],
    keys: Sequence[frozenset[str]],
    auto: Sequence[int],
    languages: Sequence[str],
    seed: int,
) -> list[_Group]:
    """Group entries by source text, in seeded order, whole sentences before short ones.

    A word such as "May" in the test set would take every other entry with that word in any language out of training,
    and says little about translation; so texts of three words and more are drawn first, single words last.
    """
    found: dict[str, _Group] = {}
    for i in auto:
        source = source_key(entries[i], languages)
        counts = [words(entries[i].texts[tag]) for tag in languages if tag in entries[i].texts]
        tier = 0 if counts[0] >= 3 and min(counts) >= 2 else 1 if counts[0] >= 2 else 2
        group = found.setdefault(source, _Group([], order(seed, source), tier, set()))
        group.members.append(i)
        group.tier = max(group.tier, tier)
        group.keys |= keys[i]
    return sorted(found.values(), key=lambda group: (group.tier, group.order))


def _slots(entry: Entry, languages: Sequence[str], max_ratio: float) -> list[Slot]:
    return [(entry.corpus, pair) for pair in combinations(languages, 2) if pair_fits(entry, pair, max_ratio)]


def _firsts(
    entries: Sequence[Entry], slots: Mapping[int, Sequence[Slot]], languages: Sequence[str]
) -> dict[int, list[Slot]]:
    """The slots of each entry without those that an entry before it fills with the same source."""
    filled: set[tuple[str, str, Slot]] = set()
    firsts: dict[int, list[Slot]] = {}
    for i, own in slots.items():
        tag = _source_tag(entries[i], languages)
        source = entries[i].texts[tag]
        firsts[i] = [slot for slot in own if (tag, source, slot) not in filled]
        filled.update((tag, source, slot) for slot in own)
    return firsts


def _needs(
    slots: Mapping[int, Sequence[Slot]], sizes: Mapping[str, int], settled: Mapping[str, set[Pair]]
) -> dict[str, dict[Slot, int]]:
    """How many segments each corpus gives to each pair: equal parts, bounded by `SHARE` of what it has."""
    available: dict[Pair, Counter[str]] = defaultdict(Counter)
    for own in slots.values():
        for corpus, pair in own:
            available[pair][corpus] += 1
    needs: dict[str, dict[Slot, int]] = {"test": {}, "dev": {}}
    for name, need in needs.items():
        for pair, counts in available.items():
            left = 0 if pair in settled[name] else sizes[name]
            # The smallest corpus first: what it cannot give is shared by the others.
            smallest_first = sorted(counts.items(), key=lambda item: (item[1], item[0]))
            for rank, (corpus, count) in enumerate(smallest_first):
                # At least one where there are three, so that a tiny corpus can be tested at all.
                most = max(int(SHARE[name] * count), 1 if count >= 3 else 0)
                part = min(most, -(-left // (len(smallest_first) - rank)))
                left -= part
                if part:
                    need[corpus, pair] = part
    return needs


def _draw(groups: Sequence[_Group], slots: Mapping[int, Sequence[Slot]], needs: Mapping[Slot, int]) -> list[_Group]:
    """Take groups in order while some pair of languages still needs them."""
    left, taken = dict(needs), []
    for group in groups:
        if not left:
            break
        own = [slot for i in group.members for slot in slots[i]]
        if not any(slot in left for slot in own):
            continue
        taken.append(group)
        for slot in own:
            if slot in left:
                left[slot] -= 1
                if left[slot] == 0:
                    del left[slot]
    return taken


def _missing(
    taken: Sequence[_Group], firsts: Mapping[int, Sequence[Slot]], needs: Mapping[Slot, int]
) -> dict[Slot, int]:
    """What is still needed by the pairs that have fewer sources, over all corpora, than they need."""
    drawn = Counter(slot for group in taken for i in group.members for slot in firsts[i])
    short: Counter[Pair] = Counter()
    for slot in {*drawn, *needs}:
        short[slot[1]] += needs.get(slot, 0) - drawn[slot]
    return {slot: n - drawn[slot] for slot, n in needs.items() if short[slot[1]] > 0 and n > drawn[slot]}


def _without(taken: Sequence[_Group], groups: Sequence[_Group]) -> list[_Group]:
    gone = {group.order for group in taken}
    return [group for group in groups if group.order not in gone]
