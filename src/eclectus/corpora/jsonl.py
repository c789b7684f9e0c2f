"""The user's own text: a file with one JSON object a line, languages under their keys, parallel or monolingual."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import Field

from eclectus import registry
from eclectus.corpora import files
from eclectus.corpora.base import Corpus, Entry, Split, entries_of
from eclectus.errors import DataError

FIELDS = "fields: {en: source, es: target}"
"""How a run names the keys of its languages."""


class Jsonl(Corpus):
    """One JSON object a line; a missing, null or empty value is a missing translation, a list holds several."""

    class Options(registry.Options):
        path: Path
        fields: dict[str, str] = Field(
            default_factory=dict, description="language -> key; without it the language tags are the keys"
        )
        split: Split = Field("auto", description="auto lets the run split; train, dev and test are kept")

    options: Options

    @property
    def label(self) -> str:
        """The file's name."""
        return self.options.path.name

    @property
    def signature(self) -> str:
        """For example `jsonl|path:en-gl.jsonl|lines:1200|sha256:0123456789ab`."""
        return files.signature(self.name, self.locate(self.options.path), len(self._lines))

    @cached_property
    def _lines(self) -> list[str]:
        return files.read_lines(self.name, self.locate(self.options.path))

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of each line that holds text: one, or as many as its longest list.

        Raises:
            DataError: an unreadable file, an unknown language, a line that is no JSON object, a value that is neither
                text nor a list of texts, or a file without any of the keys.
        """
        path = self.options.path
        keys = self.options.fields or {tag: tag for tag in self.languages}
        files.check_languages(self.name, path, list(keys), self.languages, "take it out of 'fields'")
        found = False
        for number, values in files.read_objects(self.name, path, self._lines, '{"en": "…", "es": "…"}'):
            texts = {tag: self._texts(number, key, values.get(key)) for tag, key in keys.items()}
            texts = {tag: own for tag, own in texts.items() if own}
            if not texts:
                self.dropped["no text"] += 1
            found = found or bool(texts)
            yield from entries_of(texts, self.label, f"{self.label}:{number}", self.options.split)
        if not found:
            raise DataError(
                f"{self.name}: no line of '{path}' has text under any of the keys {', '.join(keys.values())}; "
                f"name them with {FIELDS}"
            )

    def _texts(self, number: int, key: str, value: object) -> list[str]:
        """The texts under a key, without blank ones."""
        found = []
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str | None):
                raise DataError(
                    f"{self.name}: '{self.options.path}' line {number}: '{key}' holds {type(text).__name__} "
                    "instead of text; write it in quotes"
                )
            if text is not None and text.strip():
                found.append(text)
        return found
