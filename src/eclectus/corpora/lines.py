"""Plain text in one file a language, where line n of each file is the same segment: how most parallel corpora come."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from eclectus import registry
from eclectus.corpora import files
from eclectus.corpora.base import Corpus, Entry, Split
from eclectus.errors import DataError


class Lines(Corpus):
    """Line-aligned files, one a language; a single file is monolingual text."""

    class Options(registry.Options):
        files: dict[str, Path] = Field(min_length=1, description="language -> file; line n of each is the same segment")
        first: int = Field(1, ge=1, description="first line that is read, counted from 1")
        last: int | None = Field(None, ge=1, description="last line that is read; null: to the end")
        split: Split = Field("auto", description="auto lets the run split; train, dev and test are kept")

        @model_validator(mode="after")
        def _some_lines(self) -> Lines.Options:
            if self.last is not None and self.last < self.first:
                raise ValueError(f"last: {self.last} stands before first: {self.first}, so no line is left; swap them")
            return self

    options: Options

    @property
    def label(self) -> str:
        """The files' names."""
        return "+".join(path.name for path in self.options.files.values())

    @property
    def signature(self) -> str:
        """For each file as of `tsv`, and the lines that are read: `lines|path:train.en|…|from:1|to:14500`."""
        whole = [
            files.signature(self.name, self.locate(self.options.files[tag]), len(lines))
            for tag, lines in self._texts.items()
        ]
        return f"{' + '.join(whole)}|from:{self.options.first}|to:{self._last}"

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        return {tag: files.read_lines(self.name, self.locate(path)) for tag, path in self.options.files.items()}

    @property
    def _last(self) -> int:
        return self.options.last or len(next(iter(self._texts.values())))

    def entries(self) -> Iterator[Entry]:
        """Yield one entry for each line in the range that has text in any language.

        Raises:
            DataError: an unreadable file, an unknown language, files of unequal length, or a range beyond their end.
        """
        for tag, path in self.options.files.items():
            files.check_languages(self.name, path, [tag], self.languages, "take it out of 'files'")
        counts = {tag: len(lines) for tag, lines in self._texts.items()}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"'{self.options.files[tag]}' has {count:,}" for tag, count in counts.items())
            raise DataError(f"{self.name}: {said} lines; line n of each must be the same segment, so repair the files")
        count = next(iter(counts.values()))
        if max(self.options.first, self._last) > count:
            raise DataError(
                f"{self.name}: '{self.label}' has {count:,} lines, and first: {self.options.first} to last: "
                f"{self._last} lies beyond; choose lines that are there"
            )
        for number in range(self.options.first, self._last + 1):
            texts = {tag: lines[number - 1] for tag, lines in self._texts.items() if lines[number - 1].strip()}
            if texts:
                yield Entry(texts, self.label, f"{self.label}:{number}", self.options.split)
            else:
                self.dropped["no text"] += 1
