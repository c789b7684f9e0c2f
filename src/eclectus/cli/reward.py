"""`eclectus reward …`: what rewards there are, what they say about a file, how they can be cheated."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from eclectus.cli.output import console

app = typer.Typer(help="List, describe, apply and audit rewards.", no_args_is_help=True)


class Format(enum.StrEnum):
    tsv = "tsv"
    jsonl = "jsonl"


Reward = Annotated[
    str,
    typer.Option("--config", metavar="REWARD", help="YAML file, recipe, or a single reward; 'default' is packaged."),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Task whose reward to use, if REWARD is a run with several."),
]
Source = Annotated[
    str | None, typer.Option("--from", metavar="LANG", help="Source language; default: the source_lang column.")
]
Target = Annotated[
    str | None, typer.Option("--to", metavar="LANG", help="Target language; default: the target_lang column.")
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Names of a TSV's columns, e.g. source,hypothesis; default: its first line."),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Starting policy for rewards that translate: 'base' or a folder."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--texts", metavar="LANG=FILE", help="Text in a language, one segment per line; repeatable."),
]
Languages = Annotated[
    str | None,
    typer.Option(metavar="LANGS", help="The run's languages, pivot first, e.g. en,de; default: those of the text."),
]
Withhold = Annotated[
    bool, typer.Option("--withhold-references", help="Hide references, as a task with references: false does.")
]


@app.command("list")
def list_rewards() -> None:
    """List the rewards with their range and requirements."""
    from eclectus import catalogue

    print(catalogue.listing(), end="")


@app.command()
def describe(name: Annotated[str, typer.Argument(metavar="NAME", help="A reward or package.module:Class.")]) -> None:
    """Explain a reward: formula, known cheats, options."""
    from eclectus import catalogue

    print(catalogue.description(name), end="")


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="TSV or JSONL with source, hypothesis and, if needed, reference.")
    ],
    *,
    config: Reward = "default",
    source: Source = None,
    target: Target = None,
    task: Task = None,
    columns: Columns = None,
    hypothesis: Annotated[str, typer.Option(metavar="NAME", help="Column to score.")] = "hypothesis",
    model: Model = None,
    texts: Texts = None,
    languages: Languages = None,
    withhold: Withhold = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="File for the scores; default: standard output.")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Output format; default: by the suffix of --save, else tsv.")
    ] = None,
) -> None:
    """Score the translations in a file, line by line.

    Prints one line per translation: its number, the total, and every term and gate (empty if it abstains). Means go to
    standard error.
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
        console=console(file=sys.stderr),
    )
    if save is None:
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()


@app.command()
def audit(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="TSV or JSONL: source, reference, optionally real output and human scores."
        ),
    ],
    *,
    config: Reward = "default",
    source: Source = None,
    target: Target = None,
    task: Task = None,
    columns: Columns = None,
    systems: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Columns with real output, e.g. a,b; default: the hypothesis column."),
    ] = None,
    human: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of human judgements; default: score, if present.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--lower-is-better", help="The human scores count errors, as MQM does.")
    ] = False,
    wrong_language: Annotated[
        list[str] | None,
        typer.Option(metavar="LANG[=FILE]", help="Text in a wrong language: a column, or the lines of a file."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="X",
            help="Flag cheats that earn more than this share of the score of real output (damaged references: of the"
            " reference's); default: 0.5, for slight damage 0.95.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if a cheat is flagged.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write an HTML report.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Use only the first N segments.")] = None,
    model: Model = None,
    texts: Texts = None,
    languages: Languages = None,
    withhold: Withhold = False,
) -> None:
    """Show how easily a reward can be gamed.

    Compares what it pays for empty, copied, repeated, truncated, shuffled and wrong-language text with what references
    and real output earn; and reports its agreement with human judgements, if the file has any.
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
        console=console(),
    )
    if html is not None:
        print(f"page: {html}")
    if strict and result.flagged:
        raise typer.Exit(1)


def _split(names: str | None) -> list[str]:
    return [name.strip() for name in names.split(",")] if names else []


@app.command("install")
def install_reward(
    name: Annotated[str, typer.Argument(metavar="NAME", help="comet, cometkiwi or metricx.")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="New folder for program and environment; default: programs/NAME."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model of the same kind: hub id or folder.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Python for the environment; default: the one running this.")
    ] = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Write the files but create no environment.")
    ] = False,
) -> None:
    """Install COMET or MetricX as a reward.

    Prints the YAML for the reward; pip's output goes to standard error.
    """
    from eclectus.rewards.bridges.install import install

    print(install(name, folder, model, python, files_only))
