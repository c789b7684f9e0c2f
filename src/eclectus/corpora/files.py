"""The user's own files: reading lines with errors that name the place, overwriting nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from eclectus.errors import DataError, nearest

FORMATS = {
    ".jsonl": "jsonl",
    ".tmx": "tmx",
    ".xlf": "xliff",
    ".xliff": "xliff",
    ".po": "gettext",
    ".pot": "gettext",
    ".mo": "gettext",
}
"""Corpus type of a file by its suffix, where that says it."""

_SIGNS = {",": "comma", ";": "semicolon", "|": "bar"}


def read_bytes(kind: str, path: Path) -> bytes:
    """Return what a file holds.

    Args:
        kind: corpus type, for the errors.
        path: the file; a relative one stands in the folder that the run is started in.

    Raises:
        DataError: no such file, or one that cannot be read.
    """
    try:
        return path.expanduser().read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{kind}: no file '{path}' (looked in {Path.cwd()}); check its path") from error
    except OSError as error:
        raise DataError(f"{kind}: cannot read '{path}' ({error.strerror}); check its path") from error


def read_lines(kind: str, path: Path) -> list[str]:
    """Return the lines of a UTF-8 file (with or without a byte order mark), without their ends.

    Args:
        kind, path: as of `read_bytes`.

    Raises:
        DataError: no such file, an empty one, or bytes that are not UTF-8.
    """
    return split_lines(kind, str(path), read_bytes(kind, path), "one text or pair of texts")


def split_lines(kind: str, name: str, data: bytes, wanted: str) -> list[str]:
    """Return the lines of UTF-8 text (with or without a byte order mark), without their ends.

    Args:
        kind, name: what the text is for and where it comes from, for the errors.
        data: the text.
        wanted: what a line should hold, for the error of an empty text.

    Raises:
        DataError: an empty text, or bytes that are not UTF-8.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        guess = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
        raise DataError(
            f"{kind}: '{name}' is not UTF-8 (byte {error.start}, line {line}); "
            f"convert it, for example with `iconv -f {guess} -t UTF-8`"
        ) from error
    if not text.strip():
        raise DataError(f"{kind}: '{name}' is empty; give it {wanted} a line")
    # Not str.splitlines: U+2028 and its like are characters of a text, not ends of a line.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def split_columns(kind: str, path: Path, number: int, line: str, columns: Sequence[str]) -> list[str]:
    """Return the cells of a line of tab-separated columns.

    Args:
        kind, path: as of `read_bytes`, for the errors.
        number: of the line, from 1.
        line: the line.
        columns: names of the columns that it should have.

    Raises:
        DataError: it has another number of cells.
    """
    cells = line.split("\t")
    if len(cells) == len(columns):
        return cells
    advice = "separate them with one tab each"
    if len(cells) == 1:
        form = FORMATS.get(path.suffix.lower())
        mark = next((name for sign, name in _SIGNS.items() if line.count(sign) >= len(columns) - 1), None)
        if form is not None:
            advice = f"it is {form} by its name, so set type: {form}"
        elif mark is not None:
            advice += f", not with {mark}s"
    raise DataError(
        f"{kind}: '{path}' line {number} has {len(cells)} columns instead of {len(columns)} ({named(columns)});"
        f" {advice}"
    )


def named(columns: Sequence[str]) -> str:
    """Return the first columns by name; a file without header has text there, which is cut."""
    shown = [column if len(column) <= 30 else f"{column[:30]}…" for column in columns[:8]]
    return ", ".join([*shown, *(["…"] if len(columns) > 8 else [])])


def read_objects(kind: str, path: Path, lines: Sequence[str], example: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the JSON object of each line that is not blank, with the line's number, from 1.

    Args:
        kind, path: as of `read_bytes`, for the errors.
        lines: what `read_lines` returned.
        example: an object as it should be, for the error.

    Raises:
        DataError: a line that is no JSON object.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{kind}: '{path}' line {number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place} is not JSON ({error.msg}, column {error.colno}); write one object a line"
            ) from error
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists without end
            raise DataError(f"{place} cannot be read ({error}); repair it") from error
        if not isinstance(values, dict):
            raise DataError(f"{place} is not an object; write one a line, such as {example}")
        yield number, values


def signature(kind: str, path: Path, count: int, counted: str = "lines") -> str:
    """Return path, number of lines (or what else is counted) and the beginning of the content's SHA-256."""
    digest = hashlib.sha256(path.expanduser().read_bytes()).hexdigest()[:12]
    return f"{kind}|path:{path}|{counted}:{count}|sha256:{digest}"


def check_languages(kind: str, path: Path, tags: Sequence[str], languages: Sequence[str], unused: str) -> None:
    """Make sure that the languages of a file are the run's, each once.

    Raises:
        DataError: a language that the run does not have, or one that stands twice.
    """
    for index, tag in enumerate(tags):
        if tag not in languages:
            hint = nearest(tag, languages)
            raise DataError(f"{kind}: '{path}' has '{tag}', which is not in data.languages{hint}; {unused}")
        if tag in tags[:index]:
            raise DataError(f"{kind}: '{path}' has '{tag}' twice; name each language once")


def check_new(path: Path | None) -> None:
    """Refuse to overwrite an output file, and to find out after minutes that there is no such folder.

    Raises:
        DataError: the file exists, or its folder does not, or nothing can be written there.
    """
    if path is None:
        return
    if path.exists():
        raise DataError(f"output: '{path}' exists; choose another name")
    if not path.parent.is_dir():
        raise DataError(f"output: no folder '{path.parent}'; make it first")
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"output: nothing can be written in '{path.parent}'; choose another folder")
