"""Where the commands print and write to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 110
"""Columns where nothing tells the width (a pipe, a log); tables would be cut at 80."""


def console(quiet: bool = False, file: TextIO | None = None) -> Console:
    """A console for standard output, or for `file`."""
    from rich.console import Console

    file = file or sys.stdout
    return Console(file=file, quiet=quiet, highlight=False, width=None if file.isatty() else _WIDTH)


def free(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found
