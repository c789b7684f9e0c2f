"""`eclectus recipe …`: the packaged configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List, show and copy packaged configurations.", no_args_is_help=True)


Recipe = Annotated[str, typer.Argument(metavar="NAME", help="A packaged recipe; `eclectus recipe list` shows them.")]
To = Annotated[Path | None, typer.Argument(metavar="FILE", help="New file; default: NAME.yaml in this folder.")]


@app.command("list")
def list_recipes() -> None:
    """List the packaged recipes."""
    from eclectus import recipes

    width = max(map(len, recipes.names()))
    for name in recipes.names():
        print(f"{name:<{width}} {recipes.summary(name)}")


@app.command()
def show(name: Recipe) -> None:
    """Print a recipe as YAML."""
    from eclectus import recipes

    print(recipes.read(name), end="")


@app.command()
def copy(name: Recipe, to: To = None) -> None:
    """Copy a recipe to a file you can edit."""
    from eclectus import recipes

    path = _write(recipes.read(name), to or Path(f"{name}.yaml"))
    print(f"wrote {path}; run it with: eclectus train {path}")


@app.command()
def accelerate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="ddp, fsdp or deepspeed; see docs/processes.md.")],
    to: To = None,
) -> None:
    """Write a configuration for `accelerate launch`."""
    from eclectus import recipes

    path = _write(recipes.read_accelerate(name), to or Path(f"{name}.yaml"))
    print(f"wrote {path}; use it with: accelerate launch --config_file {path} -m eclectus train CONFIG")


def _write(text: str, path: Path) -> Path:
    from eclectus.corpora.files import check_new

    check_new(path)
    path.write_text(text, encoding="utf-8")
    return path
