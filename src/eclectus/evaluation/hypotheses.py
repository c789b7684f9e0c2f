"""A file of translations to be judged: TSV or JSONL with a source, a hypothesis, references, human scores."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eclectus import languages
from eclectus.corpora import files
from eclectus.corpora.clean import normalise
from eclectus.errors import ConfigError, DataError
from eclectus.rewards.text import excerpt
from eclectus.rewards.text.tokens import encodable
from eclectus.segment import REFERENCE_COLUMN, Segment

UNUSED = "-"

_EXAMPLE = '{"source": "…", "hypothesis": "…"}'

Cell = str | int | float | None
"""What a column holds in one line: text, or in JSONL a number or null."""


@dataclass(frozen=True)
class Row:
    """One line of the file.

    Args:
        line: its number, from 1.
        source: the text to translate.
        source_lang: BCP-47 tag.
        target_lang: BCP-47 tag.
        references: right translations; may be none.
        cells: every column by name; JSONL may leave some out.
    """

    line: int
    source: str
    source_lang: str
    target_lang: str
    references: tuple[str, ...]
    cells: Mapping[str, Cell] = field(repr=False)

    def segment(self, file: str, withhold: bool = False) -> Segment:
        """What is to be translated, cleaned as a corpus; without references where none may be seen."""
        references = [] if withhold else [normalise(text) for text in self.references]
        return Segment(
            normalise(self.source),
            self.source_lang,
            self.target_lang,
            references[0] if references else None,
            f"{file}:{self.line}",
            alternatives=tuple(references[1:]),
        )


class HypothesisFile:
    """The rows of a TSV (a header names the columns, or `columns` does) or a JSONL file (keys are the columns).

    The columns that mean something are `source`, `reference` (and `reference2`, `reference_3`, … where there are
    several; a list in JSONL), `source_lang` and `target_lang`. A column named as the source language is the source
    where there is no `source`, and so for the target language and the reference. Texts are never made of numbers, nor
    of null: as a reference null says that there is none, as anything else it is refused where a text is needed. What a
    JSONL line has under `systems`, as in a run's `translations.jsonl`, are columns too.

    Args:
        command: named in errors.
        path: the file.
        source_lang: language of all sources; None: the column `source_lang` says it.
        target_lang: language of all translations; None: the column `target_lang` says it.
        columns: names of the columns of a TSV without header, "-" skips one.

    Raises:
        DataError: a file that cannot be read, a missing column, a line with another number of columns, a source or a
            reference that is no text.
        ConfigError: an unknown language, or none.
    """

    def __init__(
        self,
        command: str,
        path: Path,
        source_lang: str | None = None,
        target_lang: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.command, self.path = command, path
        named = re.compile(rf"{re.escape(target_lang)}( \d+)?" if target_lang else "(?!)")
        for tag in (source_lang, target_lang):
            if tag is not None:
                languages.check([tag])
        if not path.is_file():
            raise DataError(f"{command}: no file '{path}' (looked in {Path.cwd()})")
        if (form := files.FORMATS.get(path.suffix.lower(), "jsonl")) != "jsonl":
            raise DataError(f"{command}: '{path}' is {form} by its name, which is not read here; give TSV or JSONL")
        lines = files.read_lines(command, path)
        if path.suffix == ".jsonl":
            if columns is not None:
                raise ConfigError(f"{command}: --columns is for TSV; the keys of '{path}' name its columns")
            objects = files.read_objects(command, path, lines, _EXAMPLE)
            cells = [(number, self._cells(number, values, named)) for number, values in objects]
            self.columns = list(dict.fromkeys(key for _, row in cells for key in row))
        else:
            cells = self._table(lines, columns)
        if not cells:
            raise DataError(f"{command}: '{path}' holds a header and no text; add lines, or name the columns there")
        self._source = self._find("source", source_lang)
        self._references = [c for c in self.columns if REFERENCE_COLUMN.fullmatch(c)]
        self._references = self._references or [c for c in self.columns if named.fullmatch(c)]
        for name, given, option in (
            ("source_lang", source_lang, "--from"),
            ("target_lang", target_lang, "--to"),
        ):
            if given is None and name not in self.columns:
                raise ConfigError(f"{command}: say the language with {option}, or in a column '{name}' of '{path}'")
        self.rows = [self._row(number, row, source_lang, target_lang) for number, row in cells]

    @property
    def has_references(self) -> bool:
        """Whether any row has a reference."""
        return any(row.references for row in self.rows)

    def need(self, column: str, option: str = "") -> None:
        """Refuse a file without a column.

        Args:
            column: its name.
            option: what names another column, for the error.

        Raises:
            DataError: there is none.
        """
        if column not in self.columns:
            ways = ["rename one", *([] if self.path.suffix == ".jsonl" else ["name all of them with --columns"])]
            ways += [f"name another with {option}"] if option else []
            there = f"'{self.path}' has no column '{column}', it has {files.named(self.columns)}"
            raise DataError(f"{self.command}: {there}; {', or '.join(ways)}")

    def numbers(self, column: str) -> list[float | None]:
        """Read a column of numbers; an empty cell is None.

        Raises:
            DataError: there is no such column, or a cell is not a finite number.
        """
        self.need(column)
        return [self._number(row, column) for row in self.rows]

    def texts(self, column: str, nothing: str | None = None) -> list[str]:
        """Read a column of texts.

        Args:
            column: its name.
            nothing: stands for null and for a key that a line of JSONL lacks; None: these are refused.

        Raises:
            DataError: there is no such column, or a line has no text in it.
        """
        self.need(column)
        return [self._text(row.line, column, row.cells.get(column), nothing) for row in self.rows]

    def _text(self, number: int, column: str, value: Cell, nothing: str | None = None) -> str:
        if isinstance(value, str):
            return value
        if value is None and nothing is not None:
            return nothing
        said = "has no" if value is None else f"holds the number {value} in"
        what = 'write "" where a system gave nothing, or leave the line out' if value is None else "write it in quotes"
        raise DataError(f"{self.command}: '{self.path}' line {number} {said} '{column}'; {what}")

    def _number(self, row: Row, column: str) -> float | None:
        cell = row.cells.get(column)
        text = "" if cell is None else str(cell).strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f"{self.command}: '{self.path}' line {row.line}: '{column}' holds {excerpt(text)} instead of a number; "
                "leave it empty where nobody judged"
            )
        return value

    def _find(self, name: str, language: str | None) -> str:
        """The column of the source: its own, or the one named as the language."""
        if name not in self.columns and language in self.columns:
            return str(language)
        self.need(name)
        return name

    def _table(self, lines: list[str], columns: Sequence[str] | None) -> list[tuple[int, dict[str, Cell]]]:
        names = [name.strip() for name in (lines[0].split("\t") if columns is None else columns)]
        self.columns = [name for name in names if name != UNUSED]
        for index, name in enumerate(self.columns):
            if name in self.columns[:index]:
                raise DataError(f"{self.command}: '{self.path}' has the column '{name}' twice; name each once")
        found: list[tuple[int, dict[str, Cell]]] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or (columns is None and number == 1):
                continue
            cells = files.split_columns(self.command, self.path, number, line, names)
            found.append((number, {n: cell for n, cell in zip(names, cells, strict=True) if n != UNUSED}))
        return found

    def _cells(self, number: int, values: Mapping[str, object], named: re.Pattern[str]) -> dict[str, Cell]:
        place = f"{self.command}: '{self.path}' line {number}"
        if isinstance(systems := values.get("systems"), Mapping):
            values = {**systems, **{key: value for key, value in values.items() if key != "systems"}}
        cells: dict[str, Cell] = {}
        for key, value in values.items():
            several = isinstance(value, list) and (REFERENCE_COLUMN.fullmatch(key) or named.fullmatch(key))
            texts: list[object] = value if isinstance(value, list) and several else [value]
            for n, cell in enumerate(texts or [None], start=1):
                if isinstance(cell, bool) or not isinstance(cell, str | int | float | None):
                    raise DataError(f"{place}: '{key}' holds {type(cell).__name__} instead of text; write it in quotes")
                if cell is None and several and texts:
                    raise DataError(f"{place}: '{key}' holds a null among its texts; leave it out")
                # JSON can hold half characters, and no page or table.
                name = encodable(key if n == 1 else f"{key} {n}")
                cells[name] = encodable(cell) if isinstance(cell, str) else cell
        return cells

    def _row(self, number: int, cells: dict[str, Cell], source_lang: str | None, target_lang: str | None) -> Row:
        tags = [
            given if given is not None else self._language(number, name, cells.get(name))
            for name, given in (("source_lang", source_lang), ("target_lang", target_lang))
        ]
        source = self._text(number, self._source, cells.get(self._source))
        references = [self._text(number, name, cells.get(name), "") for name in self._references]
        return Row(number, source, tags[0], tags[1], tuple(text for text in references if text.strip()), cells)

    def _language(self, number: int, name: str, cell: Cell) -> str:
        try:
            return languages.check(["" if cell is None else str(cell)])[0]
        except ConfigError as error:
            raise DataError(f"{self.command}: '{self.path}' line {number}, column '{name}': {error}") from error
