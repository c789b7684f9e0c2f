"""The user's own text: a file of tab-separated columns, one language a column, parallel or monolingual."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from eclectus import registry
from eclectus.corpora import files
from eclectus.corpora.base import Corpus, Entry, Split
from eclectus.errors import DataError

UNUSED = "-"
"""Name of a column that is not read."""

_HEADINGS = {"source", "src", "target", "tgt", "trg", "translation", "reference", "ref"}
"""What headers call columns, none of which is a translation of another."""


class Tsv(Corpus):
    """Tab-separated columns, without quoting; an empty cell is a missing translation."""

    class Options(registry.Options):
        path: Path
        columns: list[str] = Field(default_factory=list, description="language of each column; '-' skips one")
        header: bool = Field(False, description="the first line names the columns (`columns`, if given, is used)")
        split: Split = Field("auto", description="auto lets the run split; train, dev and test are kept")

        @model_validator(mode="after")
        def _columns_are_known(self) -> Tsv.Options:
            if not self.columns and not self.header:
                raise ValueError("name the languages with columns: [en, es], or set header: true")
            return self

    options: Options

    @property
    def label(self) -> str:
        """The file's name."""
        return self.options.path.name

    @property
    def signature(self) -> str:
        """For example `tsv|path:en-gl.tsv|lines:1200|sha256:0123456789ab`."""
        return files.signature(self.name, self.locate(self.options.path), len(self._lines))

    @cached_property
    def _lines(self) -> list[str]:
        return files.read_lines(self.name, self.locate(self.options.path))

    def entries(self) -> Iterator[Entry]:
        """Yield one entry for each line that is not blank.

        Raises:
            DataError: an unreadable file, an unknown language, or a line with another number of columns.
        """
        path, header = self.options.path, self.options.header
        columns = self.options.columns or [name.strip() for name in self._lines[0].split("\t")]
        used = [column for column in columns if column != UNUSED]
        files.check_languages(self.name, path, used, self.languages, f"set 'columns', '{UNUSED}' where unused")
        if header and len(self._lines) == 1:
            raise DataError(f"{self.name}: '{path}' holds a header and no text; add lines, or set header: false")
        first = [cell.strip() for cell in self._lines[0].split("\t")]
        heads = [cell for column, cell in zip(columns, first, strict=False) if column != UNUSED]
        words = {cell.casefold() for cell in heads}
        headings = len(words) == len(heads) > 1 and words <= _HEADINGS
        if not header and used and (heads == used or headings):
            instead = "take it out" if headings else "leave --columns out"
            raise DataError(
                f"{self.name}: line 1 of '{path}' names the columns and is no text; set header: true for it, or"
                f" {instead}"
            )
        for number, line in enumerate(self._lines, start=1):
            if not line.strip() or (header and number == 1):
                continue
            cells = files.split_columns(self.name, path, number, line, columns)
            texts = {c: cell for c, cell in zip(columns, cells, strict=True) if c != UNUSED and cell.strip()}
            if texts:
                yield Entry(texts, self.label, f"{self.label}:{number}", self.options.split)
            else:
                self.dropped["no text"] += 1
