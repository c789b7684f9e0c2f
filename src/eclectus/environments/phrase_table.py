"""A phrase table small enough for a Q-table: which target words may translate which source words, and sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from eclectus.errors import DataError

_HINT = (
    'give {"languages": ["en", "es"], "phrases": {"black": "negro negra"}, "sentences": [["black cat", "gato negro"]]}'
)


@dataclass(frozen=True)
class PhraseTable:
    """What a word-by-word translator may write, and what it should.

    Args:
        source_lang: BCP-47 tag.
        target_lang: BCP-47 tag.
        phrases: one or more source words -> the target words that may translate them, in any order and form.
        sentences: (source, reference) pairs in words separated by spaces.
        name: what the table is called in errors: its file.

    Raises:
        DataError: there are no sentences, one is there twice or has an empty side, or its reference has a word that no
            phrase of its source offers: no translator could then write it.

    Example:
        >>> phrases = {"black": ("negro", "negra"), "cat": ("gato",)}
        >>> table = PhraseTable("en", "es", phrases, (("black cat", "gato negro"),))
        >>> table.candidates("black cat")
        ('gato', 'negra', 'negro')
    """

    source_lang: str
    target_lang: str
    phrases: Mapping[str, tuple[str, ...]]
    sentences: tuple[tuple[str, str], ...]
    name: str = "phrase table"

    def __post_init__(self) -> None:
        if not self.sentences:
            raise DataError(f"{self.name}: there are no sentences; add at least one pair")
        seen: set[str] = set()
        for source, reference in self.sentences:
            if not source.split() or not reference.split():
                raise DataError(
                    f"{self.name}: the sentence '{source or reference}' has an empty side; fill it or drop it"
                )
            if source in seen:
                raise DataError(f"{self.name}: the sentence '{source}' is there twice; keep one reference")
            seen.add(source)
            missing = set(reference.split()).difference(self.candidates(source))
            if missing:
                raise DataError(
                    f"{self.name}: no phrase of '{source}' offers '{min(missing)}' of its reference '{reference}';"
                    " add it to a phrase"
                )

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every target word that some sentence may use, sorted."""
        return tuple(sorted({word for source, _ in self.sentences for word in self.candidates(source)}))

    def candidates(self, source: str) -> tuple[str, ...]:
        """The target words that the phrases inside `source` offer, sorted."""
        words = source.split()
        spans = (" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
        return tuple(sorted({word for span in spans for word in self.phrases.get(span, ())}))


def packaged() -> PhraseTable:
    """The English-Spanish table that comes with eclectus: adjectives change places, articles and adjectives agree."""
    text = resources.files(__package__).joinpath("en-es.tsv").read_text(encoding="utf-8")
    return _from_tsv(text, "the packaged table")


def load(path: Path) -> PhraseTable:
    """Read a table from a `.json` or a `.tsv` file.

    The TSV has three columns; its first line is `kind`, the source language and the target language, each other line
    is a `phrase` (source words, then target words separated by spaces) or a `sentence` (source, then reference). The
    JSON object has the keys `languages`, `phrases` and `sentences`.

    Raises:
        DataError: the file cannot be read, or is not such a table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"phrase table: cannot read '{path}' ({reason}); name a .tsv or .json file") from error
    return _from_json(text, str(path)) if path.suffix == ".json" else _from_tsv(text, str(path))


def _from_tsv(text: str, name: str) -> PhraseTable:
    rows = [line.split("\t") for line in text.splitlines()]
    if not rows or len(rows[0]) != 3 or rows[0][0] != "kind":
        raise DataError(f"{name}: the first line must be 'kind', the source and the target language, separated by tabs")
    phrases: list[tuple[str, str]] = []
    sentences: list[tuple[str, str]] = []
    kinds = {"phrase": phrases, "sentence": sentences}
    for number, row in enumerate(rows[1:], start=2):
        if row == [""]:
            continue
        if len(row) != 3 or row[0] not in kinds:
            raise DataError(
                f"{name}, line {number}: write 'phrase' or 'sentence', source and target, separated by tabs"
            )
        kinds[row[0]].append((row[1], row[2]))
    return _table(rows[0][1:], phrases, sentences, name)


def _from_json(text: str, name: str) -> PhraseTable:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}, line {error.lineno}: not valid JSON ({error.msg}); {_HINT}") from error
    if not _is_table(values):
        raise DataError(f"{name}: not a phrase table; {_HINT}")
    pairs = [(source, reference) for source, reference in values["sentences"]]
    return _table(values["languages"], list(values["phrases"].items()), pairs, name)


def _is_table(values: Any) -> bool:
    def texts(value: Any, size: int) -> bool:
        return isinstance(value, list) and len(value) == size and all(isinstance(part, str) for part in value)

    return (
        isinstance(values, dict)
        and values.keys() == {"languages", "phrases", "sentences"}
        and texts(values["languages"], 2)
        and isinstance(values["phrases"], dict)
        and all(isinstance(words, str) for words in values["phrases"].values())
        and isinstance(values["sentences"], list)
        and all(texts(pair, 2) for pair in values["sentences"])
    )


def _table(
    languages: Sequence[str], phrases: Sequence[tuple[str, str]], sentences: Sequence[tuple[str, str]], name: str
) -> PhraseTable:
    offers: dict[str, tuple[str, ...]] = {}
    for phrase, words in phrases:
        key = " ".join(phrase.split())
        offers[key] = offers.get(key, ()) + tuple(words.split())
    tidy = tuple((" ".join(source.split()), " ".join(reference.split())) for source, reference in sentences)
    return PhraseTable(languages[0], languages[1], offers, tidy, name)
