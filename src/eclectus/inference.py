"""Use a trained model: translate texts and score files."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from eclectus import languages
from eclectus.corpora import jsonl, tsv
from eclectus.corpora.base import Corpus
from eclectus.corpora.clean import normalise
from eclectus.errors import DataError
from eclectus.evaluation import tables
from eclectus.evaluation.metrics import Scorer
from eclectus.policies.base import Policy
from eclectus.policies.load import load_policy, resolve_device
from eclectus.segment import Segment

_MAX_LENGTH = 128


def load(model: str) -> Policy:
    """Load `base`, a model folder, or the model of a run folder."""
    run = Path(model) / "model"
    policy, _ = load_policy(str(run) if run.is_dir() else model)
    policy.model.to(resolve_device("auto"))
    return policy


def translate(
    model: str,
    texts: list[str] | None,
    input_file: Path | None,
    output: Path | None,
    source: str,
    target: str,
    beams: int,
) -> None:
    """Translate given texts, else the lines of a file, else standard input; one translation a line.

    Raises:
        DataError: the input cannot be read, or the output exists.
        ModelError: the model cannot be loaded, or lacks a language.
    """
    if output is not None and output.exists():
        raise DataError(f"output: '{output}' exists; choose another name")
    policy = load(model)
    policy.check_languages([source, target])
    lines = texts or list(_lines(input_file))
    segments = [Segment(normalise(line), source, target) for line in lines]
    full = [segment for segment in segments if segment.source]
    made = iter(_translate(policy, full, beams))
    # An empty line stays an empty line, so that line n of the output is line n of the input.
    results = [next(made) if segment.source else "" for segment in segments]
    text = "".join(f"{line}\n" for line in results)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def evaluate(
    model: str,
    file: Path,
    source: str,
    target: str,
    columns: str | None,
    beams: int,
    save: Path | None,
    console: Console,
) -> None:
    """Score a model on the sentence pairs of a file and print a table.

    Raises:
        DataError: the file cannot be read or holds no pair of the two languages.
        ModelError: the model cannot be loaded, or lacks a language.
    """
    if save is not None and save.exists():
        raise DataError(f"output: '{save}' exists; choose another name")
    tags = languages.check([source, target])
    segments = [
        Segment(normalise(e.texts[source]), source, target, normalise(e.texts[target]), e.id, {"corpus": e.corpus})
        for e in _corpus(file, columns, tags).entries()
        if e.texts.get(source, "").strip() and e.texts.get(target, "").strip()
    ]
    if not segments:
        raise DataError(f"evaluate: '{file}' holds no pair of {source} and {target}; check --from, --to and --columns")
    policy = load(model)
    policy.check_languages(tags)
    texts = _translate(policy, segments, beams)
    # Any language of the model can be the wrong one, so identification chooses among all of them.
    scorer = Scorer(segments, list(policy.languages))
    tables.show_scores(
        f"{model}, {source}-{target}, {file.name}", scorer.score(texts), scorer.extract.signatures, console
    )
    if save is not None:
        save.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def _translate(policy: Policy, segments: list[Segment], beams: int) -> list[str]:
    if beams > 1:
        return policy.beam_search(segments, beams, _MAX_LENGTH)
    return policy.translate(segments, _MAX_LENGTH)


def _corpus(file: Path, columns: str | None, tags: list[str]) -> Corpus:
    if file.suffix == ".jsonl":
        return jsonl.Jsonl(jsonl.Jsonl.Options(path=file), tags, 0)
    options = (
        tsv.Tsv.Options(path=file, columns=columns.split(",")) if columns else tsv.Tsv.Options(path=file, header=True)
    )
    return tsv.Tsv(options, tags, 0)


def _lines(file: Path | None) -> Iterable[str]:
    name = str(file) if file else "standard input"
    try:
        data = file.read_bytes() if file else sys.stdin.buffer.read()
        return data.decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"input: no file '{name}'") from error
    except UnicodeDecodeError as error:
        raise DataError(f"input: '{name}' is not UTF-8 at byte {error.start}; convert it first") from error
