"""The program `eclectus`: its commands, and what it says when one fails."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from typing import Annotated

import typer

from eclectus import __version__, launch
from eclectus.cli import compare, export, recipe, report, reward, tabular, train, translate
from eclectus.errors import EclectusError, InterruptedRunError

app = typer.Typer(
    help="Reinforcement-learning fine-tuning for multilingual translation models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    train.quickstart,
    train.train,
    compare.compare,
    translate.evaluate,
    translate.translate,
    report.report,
    tabular.tabular,
):
    app.command()(command)
app.add_typer(recipe.app, name="recipe")
app.add_typer(reward.app, name="reward")
app.add_typer(export.app, name="export")

_GRACE = 5.0
"""Seconds in which a launcher ends the processes of a run whose first one has failed."""


def main() -> None:
    """Entry point: a user's mistake is one sentence, never a traceback."""
    # Before numpy or torch start their threads; spinning threads fight each other on small machines.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    _write_any_language()
    try:
        app(prog_name="eclectus")
    except InterruptedRunError as error:
        if not _follows():
            _complain(str(error))
        raise SystemExit(error.exit_code) from None
    except EclectusError as error:
        _complain(str(error))
        if launch.launched():
            # At once: what an interpreter does on its way out may outlast the patience of the others.
            sys.stdout.flush()
            os._exit(error.exit_code)
        raise SystemExit(error.exit_code) from None
    except (KeyboardInterrupt, SystemExit) as error:  # of Ctrl-C typer makes an exit
        code = error.code if isinstance(error, SystemExit) else InterruptedRunError.exit_code
        if code == InterruptedRunError.exit_code:
            _complain("stopped")
        raise SystemExit(code) from None
    except BrokenPipeError:
        # The reader of our output has gone, as in `eclectus translate … | head`; the interpreter's last flush must not
        # complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        _complain(_describe(error))
        raise SystemExit(2) from None


def _write_any_language() -> None:
    """Print every text, whatever the encoding of the terminal: escaped where it has no such character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # In pipes and files Windows takes the old code page, which hardly any other program reads.
            encoding = "utf-8" if os.name == "nt" and not stream.isatty() else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _complain(sentence: str) -> None:
    """Say what is wrong; where processes train together, once if it is wrong in all of them."""
    if number := _follows():
        # The first process tells its mistake at once, and its launcher then ends the others.
        time.sleep(_GRACE)
        sentence = f"process {number}: {sentence}"
    print(f"eclectus: {sentence}", file=sys.stderr)


def _follows() -> int:
    """The number of this process among those that train together; 0 for the first, and for one alone."""
    return int(os.environ.get("RANK", "0")) if launch.launched() else 0


def _describe(error: OSError) -> str:
    """One sentence about what the system refused."""
    place = f" ('{error.filename}')" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{place}; free some and try again; `eclectus train --resume` continues a run"
    return f"{error.strerror or error}{place}"


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"eclectus {__version__}")
        raise typer.Exit
