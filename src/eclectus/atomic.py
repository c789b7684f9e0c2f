"""Files and folders that are written whole or not at all: a reader sees the old content or the new, never a half."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO


def write(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with the ends of lines as they are in `text`."""
    with writing(path) as stream:
        stream.write(text)


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A stream for text in UTF-8, which is the file when the block ends, and nothing where it raises."""
    with _beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        yield stream
        _to_disk(stream)


@contextmanager
def writing_bytes(path: Path) -> Iterator[BinaryIO]:
    """A stream for bytes, which is the file when the block ends, and nothing where it raises."""
    with _beside(path) as temporary, temporary.open("wb") as stream:
        yield stream
        _to_disk(stream)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the same folder, so that it can take the place of `path` at once; closed by then, as Windows wants."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # what went wrong is told, not that nothing is left to remove
            temporary.unlink()
        raise


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` when the block ends, and is nothing where it raises."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _to_disk(stream: TextIO | BinaryIO) -> None:
    """Else a crash of the machine could leave the new name with no content."""
    stream.flush()
    os.fsync(stream.fileno())
