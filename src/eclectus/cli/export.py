"""`eclectus export …`: trained models for other programs."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from eclectus.cli.options import Model

app = typer.Typer(help="Convert a trained model for another program.", no_args_is_help=True)


class Quantization(enum.StrEnum):
    int8 = "int8"
    int8_float32 = "int8_float32"
    int8_float16 = "int8_float16"
    int8_bfloat16 = "int8_bfloat16"
    int16 = "int16"
    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"


@app.callback()
def _formats() -> None:
    """Keeps the name of the format in the command while there is only one."""


@app.command()
def ctranslate2(
    model: Model,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="New folder for the converted model.")],
    quantization: Annotated[
        Quantization, typer.Option(help="Data type of the weights; int8 is a quarter of the size and faster.")
    ] = Quantization.float32,
) -> None:
    """Convert an encoder-decoder model to CTranslate2, with its tokenizer."""
    from eclectus import inference
    from eclectus.export.ctranslate2 import export

    policy, _ = inference.load(model)
    export(policy, output, quantization.value)
    print(f"wrote {output}; load it with ctranslate2.Translator('{output}')")
