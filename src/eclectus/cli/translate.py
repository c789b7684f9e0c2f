"""`eclectus translate` and `eclectus evaluate`: a model put to use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eclectus.cli.options import Beams, From, MaxLength, Model, To
from eclectus.cli.output import console


def translate(
    model: Model,
    source: From,
    target: To,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts to translate; default: the lines of --input or standard input."),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="Text file, one segment per line.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the translations; default: standard output.")
    ] = None,
    beams: Beams = 1,
    max_length: MaxLength = 128,
) -> None:
    """Translate texts, a file, or standard input line by line."""
    from eclectus import inference

    inference.translate(model, text or None, input_file, output, source, target, beams=beams, max_length=max_length)


def evaluate(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="TSV (a column per language), JSONL (a key per language), TMX or XLIFF."),
    ],
    source: From,
    target: To,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="LANGS",
            help="Languages of a TSV's columns, e.g. en,es, by default its first line; or a JSONL's keys, e.g."
            " en=source,es=target; or the tags that a TMX or XLIFF has for varieties, e.g. es=es-MX.",
        ),
    ] = None,
    codes: Annotated[
        str | None,
        typer.Option(
            metavar="drop|keep",
            help="A program's codes inside the text of TMX and XLIFF, e.g. placeholders; default: drop, as in a run.",
        ),
    ] = None,
    beams: Beams = 1,
    max_length: MaxLength = 128,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Also write the translations, one per line.")
    ] = None,
) -> None:
    """Score a model on a file of sentence pairs.

    Prints BLEU and chrF++ with their signatures, and diagnostics for what these miss.
    """
    from eclectus import inference

    inference.evaluate(
        model,
        file,
        source,
        target,
        columns=columns,
        codes=codes,
        beams=beams,
        max_length=max_length,
        save=save,
        console=console(),
    )
