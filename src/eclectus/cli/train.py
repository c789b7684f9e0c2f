"""`eclectus quickstart` and `eclectus train`: runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eclectus import launch
from eclectus.cli.options import Output, Overrides, Processes, Quiet
from eclectus.cli.output import console, free
from eclectus.errors import ConfigError

if TYPE_CHECKING:
    from eclectus.evaluation.results import Results


def quickstart(
    output: Output = Path("runs/quickstart"),
    controls: Annotated[
        bool, typer.Option("--controls", help="Also run the controls (takes three to four times as long).")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train the base model first instead of using the bundled one.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 1,
    overrides: Overrides = None,
    processes: Processes = 1,
    quiet: Quiet = False,
) -> None:
    """Run the demo on the bundled model (minutes).

    Improves it on directions for which it has seen no sentence pairs, and reports what changed.
    """
    _several(processes)
    from eclectus import config, recipes

    changes = [f"seed={seed}", *(overrides or [])]
    if controls:
        changes.append("controls=[constant_reward, supervised, distillation, best_of_n]")
    folder = _agreed(free(output))
    base = folder / "base"
    if from_scratch:
        changes.append(f"policy.path={base / 'model'}")
        folder = folder / "rl"
    loaded = config.parse(recipes.read("quickstart"), changes, name="quickstart")
    # After the configuration is checked: this import takes seconds.
    from eclectus.training import run

    if from_scratch:
        changes = [f"seed={seed}", *_of_the_machine(overrides or [])]
        run.start(config.parse(recipes.read("base"), changes, name="base"), base, console(quiet))
    _finish(run.start(loaded, folder, console(quiet)), folder)


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="YAML file or name of a packaged recipe.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="New output folder; default: runs/<name of CONFIG>.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume the interrupted run in this folder.")
    ] = None,
    overrides: Overrides = None,
    processes: Processes = 1,
    quiet: Quiet = False,
) -> None:
    """Run a configuration, from text to report.

    Stages: data preparation, supervised training, reinforcement learning, evaluation, report.
    """
    _several(processes)
    if resume is not None:
        if recipe is not None or overrides or output is not None:
            raise ConfigError("--resume continues a run as it was begun; give no CONFIG, --output or --set with it")
        from eclectus.training import run

        _finish(run.resume(resume, console(quiet)), resume)
        return
    if recipe is None:
        raise ConfigError("train: name a YAML file or a packaged recipe; `eclectus recipe list` shows them")
    from eclectus import config

    loaded = config.find(recipe, overrides)
    folder = output or Path("runs") / Path(recipe).stem
    # After the configuration is checked: this import takes seconds.
    from eclectus.training import run

    _finish(run.start(loaded, folder, console(quiet)), folder)


def _of_the_machine(overrides: list[str]) -> list[str]:
    """Those that are not about the demo but about where it runs."""
    return [change for change in overrides if change.partition("=")[0] in ("threads", "device")]


def _several(processes: int) -> None:
    """Run this very command in several processes, where it is not one of them already, and end with them."""
    if processes > 1 and not launch.launched():
        raise typer.Exit(launch.run(processes, sys.argv[1:]))


def _agreed(folder: Path) -> Path:
    """The folder that the first of several processes has found free, before it makes it."""
    if not launch.launched():
        return folder
    from eclectus import parallel

    parallel.begin()
    return parallel.leaders(folder)


def _finish(results: Results, folder: Path) -> None:
    from eclectus import parallel
    from eclectus.evaluation import tables

    if not parallel.leads():
        return
    shown = console()
    tables.show(results, shown)
    shown.print(f"model:  {folder / 'model'}", markup=False)
    shown.print(f"report: {folder / 'report.html'}", style="bold", markup=False)
