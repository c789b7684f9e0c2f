"""`eclectus reward …`: what rewards there are, what they say about a file, how they can be cheated."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="List, describe, try and audit rewards.", no_args_is_help=True)


class Format(enum.StrEnum):
    tsv = "tsv"
    jsonl = "jsonl"


Reward = Annotated[
    str, typer.Option("--config", metavar="REWARD", help="A YAML file, a recipe, or one reward; 'default' is packaged.")
]
Task = Annotated[str | None, typer.Option("--task", help="Which task's reward, where REWARD is a whole run.")]
Source = Annotated[str | None, typer.Option("--from", help="Language of the sources; default: the column source_lang.")]
Target = Annotated[
    str | None, typer.Option("--to", help="Language of the translations; default: the column target_lang.")
]
Columns = Annotated[
    str | None, typer.Option(help="Names of a TSV's columns, as in source,hypothesis; default: its first line.")
]
Model = Annotated[str | None, typer.Option(help="Starting policy for rewards that translate: 'base' or a folder.")]
Texts = Annotated[
    list[str] | None, typer.Option("--texts", metavar="LANG=FILE", help="Text of a language, one a line.")
]
Languages = Annotated[
    str | None, typer.Option(help="The run's languages, the pivot first, as in en,de; default: those of the text.")
]
Withhold = Annotated[bool, typer.Option("--withhold-references", help="Judge as a task with references: false does.")]


@app.command("list")
def list_rewards() -> None:
    """Name the rewards, their range and what they need."""
    from eclectus import catalogue

    print(catalogue.listing(), end="")


@app.command()
def describe(name: Annotated[str, typer.Argument(help="A reward, or package.module:Class.")]) -> None:
    """Say what a reward computes, how it is cheated, and its options."""
    from eclectus import catalogue

    print(catalogue.description(name), end="")


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="TSV or JSONL with source, hypothesis and, where needed, reference.")],
    *,
    config: Reward = "default",
    source: Source = None,
    target: Target = None,
    task: Task = None,
    columns: Columns = None,
    hypothesis: Annotated[str, typer.Option(help="Column to score.")] = "hypothesis",
    model: Model = None,
    texts: Texts = None,
    languages: Languages = None,
    withhold: Withhold = False,
    save: Annotated[Path | None, typer.Option("--save", help="File for the scores; default: standard output.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Of the scores; default: by the suffix of --save, else tsv.")
    ] = None,
) -> None:
    """Score the translations of a file, line by line.

    One line for each: its number, the total, every term and gate; empty where one abstains. Means go to standard error.
    """
    from eclectus import scoring

    text = scoring.score(
        config,
        file,
        task=task,
        source=source,
        target=target,
        columns=columns,
        hypothesis=hypothesis,
        lent=scoring.Lent(model, texts or [], _split(languages), withhold),
        save=save,
        form=None if form is None else form.value,
        console=_console(sys.stderr),
    )
    if save is None:
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()


@app.command()
def audit(
    file: Annotated[Path, typer.Argument(help="TSV or JSONL with source and reference, real output and human scores.")],
    *,
    config: Reward = "default",
    source: Source = None,
    target: Target = None,
    task: Task = None,
    columns: Columns = None,
    systems: Annotated[
        str | None, typer.Option(help="Columns with real output, as in a,b; default: the column hypothesis.")
    ] = None,
    human: Annotated[
        str | None, typer.Option(help="Column of human judgements; default: score where there is one.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--lower-is-better", help="The judgements count errors, as MQM does.")
    ] = False,
    wrong_language: Annotated[
        list[str] | None,
        typer.Option(metavar="LANG[=FILE]", help="Text in a wrong language: a column, or a file's lines in turn."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, help="Share of honest work that a cheat may keep; default 0.5, slight damage 0.95."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 where a cheat pays.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of shuffling and drawing.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the file's first segments.")] = None,
    model: Model = None,
    texts: Texts = None,
    languages: Languages = None,
    withhold: Withhold = False,
) -> None:
    """Show how cheatable a reward is.

    What it pays for empty, copied, repeated, cut, shuffled and foreign text, beside references and real output; and how
    it agrees with human judgements, where the file has them.
    """
    from eclectus import auditing, scoring

    result = auditing.audit_file(
        config,
        file,
        task=task,
        source=source,
        target=target,
        columns=columns,
        systems=systems,
        human=human,
        lower_is_better=errors,
        wrong_language=wrong_language or [],
        lent=scoring.Lent(model, texts or [], _split(languages), withhold),
        threshold=threshold,
        seed=seed,
        limit=limit,
        html=html,
        console=_console(sys.stdout),
    )
    if html is not None:
        print(f"page: {html}")
    if strict and result.flagged:
        raise typer.Exit(1)


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in names.split(",")] if names else []


def _console(file: TextIO) -> Console:
    from rich.console import Console

    # Where nothing tells the width (a pipe, a log) tables would be cut at 80 columns.
    return Console(file=file, highlight=False, width=None if file.isatty() else 120)


@app.command("install")
def install_reward(
    name: Annotated[str, typer.Argument(help="comet, cometkiwi or metricx.")],
    folder: Annotated[
        Path | None, typer.Argument(help="New folder for the program and its environment; default: programs/NAME.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model of the same kind: a hub name or a folder.")] = None,
    python: Annotated[
        str | None, typer.Option(help="The environment's Python; default: the one that runs this.")
    ] = None,
    files_only: Annotated[bool, typer.Option("--files-only", help="Write the files, make no environment.")] = False,
) -> None:
    """Install COMET or MetricX with a program for it.

    pip's output goes to standard error; the YAML that uses the metric goes to standard output.
    """
    from eclectus.rewards.environments import install

    print(install(name, folder, model, python, files_only))
