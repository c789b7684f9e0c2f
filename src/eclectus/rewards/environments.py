"""Environments for neural metrics: folders with pinned requirements and a program for the reward `process`.

Their libraries ask for other versions than eclectus does (unbabel-comet: numpy<2, transformers<5), so they are not
installed beside it. What is written here is small and yours to change; nothing is downloaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from eclectus.errors import ConfigError, RunError, nearest


@dataclass(frozen=True)
class Metric:
    """A neural metric that can be installed.

    Args:
        program: folder of its files in `rewards/programs`.
        model: its model on the hub.
        references: whether it reads references.
        low, high: the scores that mean worst and best.
        arguments: further arguments of its program.
        steps: what must be done before the environment is made.
        note: what to know about the model.
    """

    program: str
    model: str
    references: bool
    low: float = 0.0
    high: float = 1.0
    arguments: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    note: str = ""


_METRICX_STEP = "git clone https://github.com/google-research/metricx {folder}/metricx"

METRICS = {
    "comet": Metric("comet", "Unbabel/wmt22-comet-da", True, note="Apache-2.0"),
    "cometkiwi": Metric(
        "comet",
        "Unbabel/wmt22-cometkiwi-da",
        False,
        note="CC BY-NC-SA 4.0; its licence must be accepted on the model hub before it can be downloaded",
    ),
    "metricx": Metric(
        "metricx",
        "google/metricx-24-hybrid-large-v2p6",
        False,
        low=25.0,
        high=0.0,
        arguments=("--tokenizer", "google/mt5-large"),
        steps=(_METRICX_STEP,),
        note="Apache-2.0; set references: true to let it read references",
    ),
}
"""The names that `install` knows. Sources: https://github.com/Unbabel/COMET/blob/master/MODELS.md and
https://github.com/google-research/metricx."""


def install(name: str, folder: Path, model: str | None = None) -> str:
    """Write the folder of a metric and say what comes next.

    Args:
        name: a key of `METRICS`.
        folder: where to; it is made, and must be empty or absent.
        model: another model of the same kind: a name on the hub or a path.

    Returns:
        The commands that make the environment, and the lines of YAML that use it.

    Raises:
        ConfigError: the name is unknown.
        RunError: the folder cannot be written, or holds something already.
    """
    if name not in METRICS:
        raise ConfigError(f"reward install: unknown metric '{name}'{nearest(name, METRICS)}")
    metric = METRICS[name]
    programs = resources.files("eclectus.rewards").joinpath("programs")
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
    return _instructions(metric, name, folder, model or metric.model)


def _instructions(metric: Metric, name: str, folder: Path, model: str) -> str:
    home = folder.resolve()
    python = home / ".venv" / ("bin/python" if os.name == "posix" else "Scripts/python.exe")
    term = {
        "type": "process",
        "label": model.rpartition("/")[2],
        "command": [str(python), str(home / "score.py"), "--model", model, *metric.arguments],
        "references": metric.references,
        "low": metric.low,
        "high": metric.high,
    }
    steps = [step.format(folder=_quoted(folder)) for step in metric.steps]
    steps.append(f"python {_quoted(folder / 'make_environment.py')}")
    note = f"# {model}: {metric.note}\n" if model == metric.model else ""
    lines = yaml.safe_dump({"terms": [term]}, sort_keys=False, allow_unicode=True, width=120)
    return (
        f"# {name} stands in {folder}. Make its environment (see requirements.txt for the versions of Python):\n\n"
        + "".join(f"{step}\n" for step in steps)
        + f"\n# Then use it as a reward:\n{note}\n{lines}"
    )


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
