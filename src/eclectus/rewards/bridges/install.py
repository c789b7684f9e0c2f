"""Environments for neural metrics: folders with pinned requirements and a program for the reward `process`.

Their libraries ask for other versions than eclectus does (unbabel-comet: numpy<2, transformers<5), so they are not
installed beside it. What is written here is small and yours to change; pip downloads the rest from where it is set to.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from eclectus.errors import ConfigError, RunError, nearest

_OLDEST = (3, 9)


@dataclass(frozen=True)
class Metric:
    """A neural metric that can be installed.

    Args:
        program: folder of its files in `rewards/bridges/programs`.
        model: its model on the hub.
        references: whether it reads references.
        newest: the newest Python that its requirements allow; the oldest is 3.9.
        low, high: the scores that mean worst and best.
        arguments: further arguments of its program.
        steps: what is left to do once the environment exists.
        note: what to know about the model.
    """

    program: str
    model: str
    references: bool
    newest: tuple[int, int]
    low: float = 0.0
    high: float = 1.0
    arguments: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    note: str = ""


_METRICX_STEP = "git clone https://github.com/google-research/metricx {folder}/metricx"

METRICS = {
    "comet": Metric("comet", "Unbabel/wmt22-comet-da", True, (3, 12), note="Apache-2.0"),
    "cometkiwi": Metric(
        "comet",
        "Unbabel/wmt22-cometkiwi-da",
        False,
        (3, 12),
        note="CC BY-NC-SA 4.0; its licence must be accepted on the model hub before it can be downloaded",
    ),
    "metricx": Metric(
        "metricx",
        "google/metricx-24-hybrid-large-v2p6",
        False,
        (3, 11),
        low=25.0,
        high=0.0,
        arguments=("--tokenizer", "google/mt5-large"),
        steps=(_METRICX_STEP,),
        note="Apache-2.0; set references: true to let it read references",
    ),
}
"""The names that `install` knows. Sources: https://github.com/Unbabel/COMET/blob/master/MODELS.md and
https://github.com/google-research/metricx."""


def install(
    name: str, folder: Path | None = None, model: str | None = None, python: str | None = None, files_only: bool = False
) -> str:
    """Write the folder of a metric, make its environment there, and say what comes next.

    Args:
        name: a key of `METRICS`.
        folder: where to; it is made, and must be empty or absent. None: `programs/<name>` in the current folder.
        model: another model of the same kind: a name on the hub or a path.
        python: the interpreter that the environment shall have; None: this one.
        files_only: leave the environment to the user.

    Returns:
        The commands that are left to run, and the lines of YAML that use the metric.

    Raises:
        ConfigError: the name is unknown, or the metric does not run with this Python.
        RunError: the folder cannot be written or holds something already, or the environment cannot be made.
    """
    if name not in METRICS:
        raise ConfigError(f"reward install: unknown metric '{name}'{nearest(name, METRICS)}")
    metric = METRICS[name]
    folder = Path("programs", name) if folder is None else folder
    python = sys.executable if python is None else python
    if not files_only:
        _check(name, metric, python)
    _write(metric, folder)
    commands = [[python, "-m", "venv", "--clear", str(folder / ".venv")], _pip(folder)]
    if not files_only:
        _run(commands)
    left = [shlex.join(command) for command in commands] if files_only else []
    return _instructions(metric, name, folder, model or metric.model, left)


def _check(name: str, metric: Metric, python: str) -> None:
    """Refuse a Python that the requirements do not allow before anything is written or downloaded."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
        version = tuple(map(int, said.split()))
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise ConfigError(
            f"reward install: '{python}' is no Python that runs ({error}); name one by --python"
        ) from error
    if not _OLDEST <= version <= metric.newest:
        oldest, newest, found = (".".join(map(str, v)) for v in (_OLDEST, metric.newest, version))
        raise ConfigError(
            f"reward install: {name} runs with Python {oldest} to {newest}, and '{python}' is {found}; name another by "
            "--python, or write the files alone by --files-only"
        )


def _write(metric: Metric, folder: Path) -> None:
    programs = resources.files("eclectus.rewards.bridges").joinpath("programs")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RunError(f"reward install: the folder {folder} is not empty; give another one")
        for part in ("shared", metric.program):
            for file in programs.joinpath(part).iterdir():
                if file.is_file():
                    (folder / file.name).write_bytes(file.read_bytes())
    except OSError as error:
        raise RunError(f"reward install: cannot write to {folder} ({error}); give another folder") from error


def _run(commands: list[list[str]]) -> None:
    """Run the commands that make an environment, with what they say on standard error."""
    for i, command in enumerate(commands):
        try:
            # Standard output is for the YAML.
            subprocess.run(command, stdout=2, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            again = " && ".join(shlex.join(command) for command in commands[i:])
            reason = f"exit status {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else error
            raise RunError(
                f"reward install: the files are written, but {'venv' if i == 0 else 'pip'} failed ({reason}); look at "
                f"what it says above, check the network and the space on the disk, and run: {again}"
            ) from error


def _pip(folder: Path) -> list[str]:
    options = ["--no-input", "--disable-pip-version-check"]
    return [str(_python(folder)), "-m", "pip", "install", *options, "-r", str(folder / "requirements.txt")]


def _python(folder: Path) -> Path:
    return folder / ".venv" / ("bin/python" if os.name == "posix" else "Scripts/python.exe")


def _instructions(metric: Metric, name: str, folder: Path, model: str, left: list[str]) -> str:
    home = folder.resolve()
    term = {
        "type": "process",
        "label": model.rpartition("/")[2],
        "command": [str(_python(home)), str(home / "score.py"), "--model", model, *metric.arguments],
        "references": metric.references,
        "low": metric.low,
        "high": metric.high,
    }
    left = [*left, *(step.format(folder=shlex.quote(str(folder))) for step in metric.steps)]
    steps = "".join(f"{step}\n" for step in ["# Then run:", *left, ""]) if left else ""
    note = f"# {model}: {metric.note}\n" if model == metric.model else ""
    lines = yaml.safe_dump({"terms": [term]}, sort_keys=False, allow_unicode=True, width=120)
    return (
        f"# {name} stands in {folder} (requirements.txt says which versions).\n"
        f"{steps}# Use it as a reward:\n{note}\n{lines}"
    )
