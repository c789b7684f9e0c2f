"""`eclectus recipe …`: the packaged configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Packaged configurations.", no_args_is_help=True)


@app.command("list")
def list_recipes() -> None:
    """Name the packaged recipes."""
    from eclectus import recipes

    width = max(map(len, recipes.names()))
    for name in recipes.names():
        print(f"{name:<{width}} {recipes.summary(name)}")


@app.command()
def show(name: str) -> None:
    """Print a recipe."""
    from eclectus import recipes

    print(recipes.read(name), end="")


@app.command()
def copy(
    name: str, to: Annotated[Path | None, typer.Argument(help="New file (default NAME.yaml here).")] = None
) -> None:
    """Copy a recipe to a file of your own."""
    from eclectus import recipes

    path = _write(recipes.read(name), to or Path(f"{name}.yaml"))
    print(f"wrote {path}; run it with: eclectus train {path}")


@app.command()
def accelerate(
    name: Annotated[str, typer.Argument(help="ddp, fsdp or deepspeed; see docs/processes.md.")],
    to: Annotated[Path | None, typer.Argument(help="New file (default NAME.yaml here).")] = None,
) -> None:
    """Write a configuration of accelerate's launcher, for several processes."""
    from eclectus import recipes

    path = _write(recipes.read_accelerate(name), to or Path(f"{name}.yaml"))
    print(f"wrote {path}; use it with: accelerate launch --config_file {path} -m eclectus train CONFIG")


def _write(text: str, path: Path) -> Path:
    from eclectus.corpora.files import check_new

    check_new(path)
    path.write_text(text, encoding="utf-8")
    return path
