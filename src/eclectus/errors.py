"""Errors that a user can repair: one sentence that says what is wrong, where, and what to do.

The command line prints the sentence and exits with `exit_code`; every other exception is a bug of ours.
"""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import traceback
from collections.abc import Iterable
from pathlib import Path


class EclectusError(Exception):
    """Base of all errors that are the user's to repair."""

    exit_code = 2


class ConfigError(EclectusError):
    """A configuration that cannot be run."""


class DataError(EclectusError):
    """A corpus that cannot be read, or that would make the results untrue."""


class ModelError(EclectusError):
    """A model that cannot be loaded, or that lacks what the run needs."""


class RunError(EclectusError):
    """A run that cannot start, continue, or be trusted."""


class InterruptedRunError(RunError):
    """The user stopped the run; everything is saved."""

    exit_code = 130


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `", did you mean 'x'?"` for the known word nearest to `word`, else the list of known words."""
    known = sorted(known)
    if not known:
        return "; there are none"
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else f"; known: {', '.join(known)}"


def raised(error: Exception) -> str:
    """`ValueError (message) at file:line`, of code that is not ours; called where the error was caught."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call, which is ours
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} ({' '.join(str(error).split())}){place}"


def resuming(folder: str | Path) -> str:
    """The command that goes on with a run, for an error that left it unfinished."""
    quoted = subprocess.list2cmdline([str(folder)]) if os.name == "nt" else shlex.quote(str(folder))
    return f"`eclectus train --resume {quoted}`"
