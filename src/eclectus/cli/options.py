"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file or name of a packaged recipe.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. --set reinforce.steps=100; repeatable."),
]
Processes = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Train with N processes: one per GPU, or sharing the CPU cores."),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="'base', a model folder or a run folder.")]
From = Annotated[str, typer.Option("--from", metavar="LANG", help="Source language.")]
To = Annotated[str, typer.Option("--to", metavar="LANG", help="Target language.")]
Beams = Annotated[int, typer.Option(min=1, metavar="N", help="Beam size; 1 is greedy.")]
MaxLength = Annotated[int, typer.Option(min=1, metavar="N", help="Maximum tokens per translation.")]
Output = Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder; a number is appended if it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the final table.")]
