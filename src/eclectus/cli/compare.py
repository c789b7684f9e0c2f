"""`eclectus compare`: many runs of one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eclectus.cli.options import Config, Overrides, Quiet
from eclectus.cli.output import console
from eclectus.errors import ConfigError


def compare(
    recipe: Config,
    algorithms: Annotated[str, typer.Option(metavar="NAMES", help="Algorithms to compare, e.g. rloo,grpo.")] = "",
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            metavar="NAME: KEY=VALUE; ...",
            help="A variant and its settings, or the name of one in CONFIG; repeatable.",
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Use the variants and seeds of another configuration, e.g. algorithms."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="SEEDS", help="Seeds, one run per variant each; default: those in CONFIG, else 1,2,3."),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the runs; repeat the command to resume.")
    ] = Path("runs/compare"),
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Run N at a time, each on its share of the cores.")] = 1,
    overrides: Overrides = None,
    quiet: Quiet = False,
) -> None:
    """Compare algorithms, settings or data sizes over several seeds.

    Writes a table with intervals over seeds, and curves over time and samples. Without --algorithms, --variant or
    --like, runs CONFIG's `compare` section.
    """
    from eclectus import config

    loaded = config.find(recipe, overrides)
    plan = loaded.compare or config.CompareConfig()
    if like is not None:
        liked = config.find(like).compare
        if liked is None or not liked.chosen:
            raise ConfigError(f"compare: '{like}' has no variants under 'compare' to be --like")
        plan = config.CompareConfig(variants=liked.variants, seeds=liked.seeds)
    numbers = [part.strip() for part in seeds.split(",")] if seeds is not None else [str(seed) for seed in plan.seeds]
    if not all(part.isdecimal() for part in numbers):
        raise ConfigError(f"compare: --seeds '{seeds}' must be whole numbers with commas between, as in 1,2,3")
    # After the configuration is checked: this import takes seconds.
    from eclectus.evaluation import tables
    from eclectus.training import compare as comparing

    own = [comparing.algorithm(part.strip()) for part in algorithms.split(",") if part.strip()]
    own += [comparing.Variant.parse(text) for text in variants or []]
    planned = [comparing.Variant(name, tuple(changes)) for name, changes in plan.chosen.items()]
    result = comparing.compare(
        config.dump(loaded),
        own if own and like is None else [*planned, *own],
        [int(part) for part in numbers],
        output,
        console(quiet),
        name=Path(recipe).name,
        pairs=plan.pairs,
        against=None if own else plan.against,
        jobs=jobs,
    )
    shown = console()
    tables.show_sheets(result.tables, shown)
    shown.print(f"comparison: {result.page}", style="bold", markup=False)
