"""Zero-shot text out of multi-parallel text: each meaning keeps one of several languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eclectus.corpora import splits
from eclectus.corpora.base import Entry
from eclectus.corpora.clean import normalise_key


def keep_apart(entries: Sequence[Entry], languages: Sequence[str], seed: int) -> list[Entry]:
    """Take texts out, so that no text in one of the languages has its translation into another of them anywhere.

    Entries that share a text in any language, also over other entries between them, are one meaning: the same English
    caption may stand beside German in one line and beside French in another. A seeded hash gives each meaning one of
    the languages that it has, so with two languages the text falls into halves, and a meaning keeps its place when
    others are added.

    Args:
        entries: of the training text; those of fewer than two of the languages may lose text as well, where what they
            share with others makes them part of the other side.
        languages: which are kept apart; texts in others stay.
        seed: of the hash.

    Returns:
        The entries in their order, without those that have no text left.
    """
    keys = [[normalise_key(text) for text in entry.texts.values()] for entry in entries]
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    for own in keys:
        first = root(own[0])
        for key in own[1:]:
            first, other = sorted((first, root(key)))
            parents[other] = first  # the smallest key names the meaning, whatever the order of the entries
    there: dict[str, set[str]] = {}
    for entry, own in zip(entries, keys, strict=True):
        there.setdefault(root(own[0]), set()).update(entry.texts)
    kept = []
    for entry, own in zip(entries, keys, strict=True):
        meaning = root(own[0])
        choices = [tag for tag in languages if tag in there[meaning]]
        gone = set(choices)
        if choices:
            gone.remove(choices[int(splits.order(seed, f"apart\x00{meaning}"), 16) % len(choices)])
        texts = {tag: text for tag, text in entry.texts.items() if tag not in gone}
        if texts:
            kept.append(replace(entry, texts=texts))
    return kept
