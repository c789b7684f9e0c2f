"""The command line in this process, as its tests call it."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from eclectus.cli import app


@dataclass
class Outcome:
    code: int
    out: str
    err: str


def eclectus(*arguments, stdin=""):
    """Run the command line in this process, its error handling included."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["eclectus", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8"))
        with pytest.raises(SystemExit) as ended:
            app.main()
    out.flush()
    return Outcome(int(ended.value.code or 0), out.buffer.getvalue().decode(), err.getvalue())


def refused(*arguments, stdin=""):
    """Run a command that must fail as promised: one sentence on standard error, exit status 2; return the sentence."""
    outcome = eclectus(*arguments, stdin=stdin)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("eclectus: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert len(outcome.err) < 400, outcome.err
    assert "Traceback" not in outcome.err + outcome.out
    return outcome.err


def heavy_imports(folder, commands):
    """Run commands in one fresh process; its output is the heavy packages that they imported."""
    script = f"""
import contextlib, io, sys
from eclectus.cli.app import main
for command in {commands!r}:
    sys.argv = ["eclectus", *command]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main()
print(sorted({{"torch", "transformers", "numpy", "sacrebleu", "matplotlib", "jinja2"}} & set(sys.modules)))
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=True)
