"""Use a trained model: translate texts and score files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from eclectus import atomic, languages, registry
from eclectus.corpora import files, jsonl, tsv
from eclectus.corpora.base import Corpus, Entry
from eclectus.corpora.clean import normalise
from eclectus.corpora.seen import SeenText
from eclectus.errors import DataError
from eclectus.evaluation import tables
from eclectus.evaluation.metrics import Scorer
from eclectus.policies.base import Policy
from eclectus.policies.load import load_policy, resolve_device
from eclectus.segment import Segment


def load(model: str) -> tuple[Policy, SeenText | None]:
    """Load `base`, a model folder, the model of a run folder, or a hub id; with the text that it was trained on.

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    policy, seen = load_policy(model)
    policy.model.to(resolve_device("auto"))
    return policy, seen


def translate(
    model: str,
    texts: list[str] | None,
    input_file: Path | None,
    output: Path | None,
    source: str,
    target: str,
    *,
    beams: int,
    max_length: int,
) -> None:
    """Translate given texts, else the lines of a file, else standard input; one translation a line.

    Raises:
        DataError: the input cannot be read, or the output exists.
        ModelError: the model cannot be loaded, or lacks a language.
    """
    files.check_new(output)
    if texts and input_file is not None:
        raise DataError("translate: got texts and --input; give one of the two")
    tags = languages.check([source, target])
    lines = texts or _lines(input_file)
    policy, _ = load(model)
    policy.check_languages(tags)
    policy.check_directions([(source, target)])
    segments = [Segment(normalise(line), source, target) for line in lines]
    full = [segment for segment in segments if segment.source]
    found = _translate(policy, full, beams, max_length)
    for told in _cut(policy, full, found, max_length):
        print(f"eclectus: {told}", file=sys.stderr)
    made = iter(found)
    # An empty line stays an empty line, so that line n of the output is line n of the input.
    results = [next(made) if segment.source else "" for segment in segments]
    data = _as_lines(results)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        try:
            _write(output, data)
        except DataError as error:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            raise DataError(f"{error}; the translations are on standard output instead") from error


def evaluate(
    model: str,
    file: Path,
    source: str,
    target: str,
    *,
    columns: str | None,
    codes: str | None = None,
    beams: int,
    max_length: int,
    save: Path | None,
    console: Console,
) -> None:
    """Score a model on the sentence pairs of a file and print a table.

    Raises:
        DataError: the file cannot be read or holds no pair of the two languages, or `save` exists.
        ModelError: the model cannot be loaded, or lacks a language.
    """
    files.check_new(save)
    tags = languages.check([source, target])
    found: dict[str, Segment] = {}
    corpus = _corpus(file, columns, codes, tags)
    for entry in _entries(corpus, tags):
        text, reference = (normalise(entry.texts.get(tag, "")) for tag in tags)
        # Of several translations the first is what a score compares with, as on the test set of a run.
        if text and reference:
            found.setdefault(text, Segment(text, source, target, reference, entry.id, {"corpus": entry.corpus}))
    segments = list(found.values())
    if not segments:
        why = "; ".join(_as_options(told) for told in corpus.warnings()) or "check --from, --to and --columns"
        raise DataError(f"evaluate: '{file}' holds no pair of {source} and {target}; {why}")
    policy, seen = load(model)
    policy.check_languages(tags)
    policy.check_directions([(source, target)])
    texts = _translate(policy, segments, beams, max_length)
    # Any language of the model can be the wrong one, so identification chooses among all of them.
    scorer = Scorer(segments, list(policy.languages) or tags)
    tables.show_scores(
        f"{model}, {source}-{target}, {file.name}", scorer.score(texts), scorer.extract.signatures, console
    )
    for told in _cut(policy, segments, texts, max_length):
        console.print(told, style="yellow", markup=False)
    for told in corpus.warnings():
        console.print(_as_options(told), style="yellow", markup=False)
    known = sum(s.source in seen or (s.reference or "") in seen for s in segments) if seen is not None else 0
    if known:
        console.print(
            f"Not held out: {known} of {len(segments)} pairs hold text that the model was trained on, so these scores"
            " say little about new text.",
            style="yellow",
        )
    if save is not None:  # after the scores, which a full disk then does not take away
        _write(save, _as_lines(texts))


def _as_lines(texts: list[str]) -> bytes:
    """One text a line, the same on every system."""
    return "".join(f"{text}\n" for text in texts).encode("utf-8")


def _write(path: Path, data: bytes) -> None:
    """Write a new file whole.

    Raises:
        DataError: the disk is full, or the like; there is no such file.
    """
    try:
        with atomic.writing_bytes(path) as stream:
            stream.write(data)
    except OSError as error:
        raise DataError(f"output: cannot write '{path}' ({error.strerror or error})") from error


def _translate(policy: Policy, segments: list[Segment], beams: int, max_length: int) -> list[str]:
    if beams > 1:
        return policy.beam_search(segments, beams, max_length)
    return policy.translate(segments, max_length)


def _cut(policy: Policy, segments: list[Segment], texts: list[str], max_length: int) -> Iterator[str]:
    """Say how many texts were too long for the model, or their translations for `max_length`."""
    cut = sum(policy.too_long(segments))
    if cut:
        yield f"{cut} of {len(segments)} texts are longer than the model reads and were cut; give one sentence a line"
    # A whole one has an end beside its tokens; of those that fill the model no more than this comes back.
    limit = min(max_length + 1, policy.max_length - 1)
    made = sum(len(ids) >= limit for ids in policy.tokenize_targets(texts))
    if made:
        yield (
            f"{made} of {len(texts)} translations end where there is no more room (--max-length {max_length}; the model"
            f" has {policy.max_length} tokens)"
        )


def _corpus(file: Path, columns: str | None, codes: str | None, tags: list[str]) -> Corpus:
    if not file.is_file():
        raise DataError(f"evaluate: no file '{file}' (looked in {Path.cwd()})")
    kind = files.FORMATS.get(file.suffix.lower())  # all others are tab-separated
    if kind == "gettext":
        raise DataError(
            f"evaluate: '{file}' is a gettext catalogue, which is not read here; give the pairs as TSV, JSONL, TMX or"
            " XLIFF (po2tmx of the Translate Toolkit makes TMX of it)"
        )
    if codes is not None and kind not in ("tmx", "xliff"):
        raise DataError(f"evaluate: --codes is for TMX and XLIFF; '{file}' has no codes inside its text")
    if kind is not None:
        options: dict[str, object] = {"path": file} | ({"codes": codes} if codes else {})
        if kind == "jsonl" and columns is not None:
            options["fields"] = _keys(columns, tags)
        elif columns is not None:
            options["tags"] = _varieties(columns, tags)
        return registry.build("corpora", kind, Corpus, "evaluate", options, tags, 0)
    if columns is not None:
        names, place, advice = columns.split(","), "--columns", "name every column of the file there"
    else:
        names, place = files.read_lines("evaluate", file)[0].split("\t"), f"the first line of '{file}'"
        advice = f"write the languages there, or give them as --columns {','.join(tags)}"
    names = [name.strip() for name in names]
    for tag in tags:
        if tag not in names:
            raise DataError(f"evaluate: {place} has no column '{tag}'; {advice}")
    # A file may hold more languages than the two that are asked for.
    used = [name if name in tags else tsv.UNUSED for name in names]
    return tsv.Tsv(tsv.Tsv.Options(path=file, columns=used, header=columns is None), tags, 0)


def _entries(corpus: Corpus, tags: list[str]) -> Iterator[Entry]:
    """The entries of a file, with the advice of this command where it holds none."""
    try:
        yield from corpus.entries()
    except DataError as error:
        told = str(error).replace(f"with {jsonl.FIELDS}", f"by --columns {tags[0]}=source,{tags[1]}=target")
        told = told.replace("set data.languages, or tags", f"check --from and --to, or say --columns {tags[0]}=TAG")
        raise DataError(_as_options(told)) from error


def _as_options(told: str) -> str:
    """What a corpus says of its settings, in options of this command."""

    def columns(tags: re.Match[str]) -> str:
        return "--columns " + ",".join(f"{tags[1]}={tag}" for tag in tags[2].split(", "))

    return re.sub(r"tags: \{(\S+): \[([^]]+)\]\}", columns, told.replace("codes: keep", "--codes keep"))


def _varieties(columns: str, tags: list[str]) -> dict[str, list[str]]:
    """The tags of a TMX or XLIFF file that are read as each language: `es=es-MX,es=es-AR`."""
    found: dict[str, list[str]] = {}
    for part in columns.split(","):
        language, _, tag = (text.strip() for text in part.partition("="))
        if language not in tags or not tag:
            raise DataError(
                f"evaluate: --columns '{columns}' names no tag of {tags[0]} or {tags[1]}; the file names its languages"
                f" itself, so leave it out, or write {tags[1]}=TAG, with the file's own tag"
            )
        found.setdefault(language, []).append(tag)
    return found


def _keys(columns: str, tags: list[str]) -> dict[str, str]:
    """The keys of a JSONL that hold the languages: `en=source,es=target`."""
    parts = (part.partition("=") for part in columns.split(","))
    keys = {tag.strip(): key.strip() for tag, _, key in parts}
    if not all(keys.get(tag) for tag in tags):
        raise DataError(
            f"evaluate: --columns '{columns}' gives no key of {' and '.join(tags)}; write"
            f" {tags[0]}=source,{tags[1]}=target, with the file's own keys"
        )
    return {tag: keys[tag] for tag in tags}


def _lines(file: Path | None) -> list[str]:
    """Lines of a file or of standard input; characters such as U+2028 are part of a line and end none."""
    if file is None and sys.stdin.isatty():
        print("reading lines from the keyboard; end with Ctrl-D", file=sys.stderr)
    name = str(file) if file else "standard input"
    try:
        data = file.read_bytes() if file else sys.stdin.buffer.read()
    except OSError as error:
        raise DataError(f"input: cannot read '{name}' ({error.strerror}); check --input") from error
    return files.split_lines("input", name, data, "one text")
