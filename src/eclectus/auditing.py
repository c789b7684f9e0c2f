"""Audit a reward from the shell: read the corpus, make the cheats, show what the reward pays for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from eclectus import languages, scoring
from eclectus.config import RewardConfig, RewardTermConfig
from eclectus.corpora import files
from eclectus.corpora.clean import normalise
from eclectus.errors import ConfigError, DataError
from eclectus.evaluation import audit_report
from eclectus.evaluation.audit import Audit, Item, Output, audit
from eclectus.evaluation.hypotheses import HypothesisFile, Row
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.scoring import Lent
from eclectus.segment import Segment

_YARDSTICKS = ("bleu", "chrf")


def audit_file(
    name: str,
    file: Path,
    *,
    task: str | None,
    source: str | None,
    target: str | None,
    columns: str | None,
    systems: str | None,
    human: str | None,
    lower_is_better: bool,
    wrong_language: Sequence[str],
    lent: Lent,
    threshold: float | None,
    seed: int,
    limit: int | None,
    html: Path | None,
    console: Console,
) -> Audit:
    """Show how cheatable a reward is on a corpus; see `evaluation.audit`.

    Args:
        name: the reward, see `scoring.settings`.
        file: TSV or JSONL with sources and references; real output in a column `hypothesis` (one line for each
            translation, a column `system` may say whose) or in one column for each of `systems`.
        task: of a run's file.
        source: language of the sources.
        target: language of the translations.
        columns: names of a TSV's columns.
        systems: columns with real output, with commas between.
        human: column of human judgements; None: `score` where there is one.
        lower_is_better: whether the judgements count errors, as MQM does.
        wrong_language: `LANG` for a column of the file, or `LANG=FILE`.
        lent: what the reward needs beside the text.
        threshold: one bar for all cheats.
        seed: of shuffling and drawing.
        limit: only so many segments, the file's first.
        html: where to write the page.
        console: for the table.

    Raises:
        EclectusError: the file cannot be read, or the reward cannot judge it.
    """
    found = scoring.settings(name, task)
    files.check_new(html)
    read = scoring.read_file("audit", file, source, target, columns)
    others = [_other(argument, read) for argument in wrong_language]
    reward, segments = scoring.lend("audit", found, read, lent, [language for language, _ in others])
    items, places = _items(read.rows, segments, limit)
    outputs = _outputs(read, places, systems, human, lower_is_better)
    if not outputs and not read.has_references:
        raise DataError(f"audit: '{file}' has neither references nor translations; add a column 'reference'")
    first = {item: i for i, item in reversed(list(enumerate(places))) if item is not None}
    texts = {language: [column[first[item]] for item in range(len(items))] for language, column in others}
    visible = not scoring.withheld(found, lent) and all(row.references for row in read.rows)
    yardsticks = {y: _plain(y) for y in _YARDSTICKS if visible and name != y}
    result = audit(
        reward,
        items,
        outputs,
        name=name,
        corpus=file.name,
        seed=seed,
        threshold=threshold,
        others=texts,
        yardsticks=yardsticks,
    )
    audit_report.show(result, console)
    scoring.warn_of_swapped(read.rows, console)
    if html is not None:
        audit_report.write(result, html)
    return result


def _items(rows: Sequence[Row], segments: Sequence[Segment], limit: int | None) -> tuple[list[Item], list[int | None]]:
    """What is to be translated, each once, and for each row which of it; None: beyond the limit."""
    known: dict[tuple[str, str, str, tuple[str, ...]], int] = {}
    items: list[Item] = []
    places: list[int | None] = []
    for row, judged in zip(rows, segments, strict=True):
        key = (row.source, row.source_lang, row.target_lang, row.references)
        if key not in known and (limit is None or len(items) < limit):
            known[key] = len(items)
            # Cheats are made of the references even where the reward may not see them.
            texts = tuple(map(normalise, row.references))
            items.append(Item(replace(judged, reference=next(iter(texts), None), alternatives=texts[1:]), judged))
        places.append(known.get(key))
    return items, places


def _outputs(
    read: HypothesisFile,
    places: Sequence[int | None],
    systems: str | None,
    human: str | None,
    lower_is_better: bool,
) -> list[Output]:
    """The real translations of the file."""
    names = [name.strip() for name in systems.split(",")] if systems else []
    for name in names:
        read.need(name, "--systems")
    long = not names and "hypothesis" in read.columns
    if human is not None and not long:
        raise ConfigError("audit: --human judges a column 'hypothesis'; write one translation a line, and its system")
    column = human or ("score" if long and "score" in read.columns else None)
    judgements = read.numbers(column) if column else [None] * len(read.rows)
    if lower_is_better and column is None:
        raise ConfigError("audit: --lower-is-better is about judgements, of which the file has none; see --human")
    sign = -1.0 if lower_is_better else 1.0
    # A system that gave nothing for a source was that bad there; without the line it would look better than it is.
    said = {name: read.texts(name, nothing="") for name in (*names, *(["hypothesis"] if long else []))}
    found = []
    for i, (row, item, value) in enumerate(zip(read.rows, places, judgements, strict=True)):
        if item is None:
            continue
        if long:
            system = str(row.cells.get("system") or "").strip() or "real output"
            judged = None if value is None else sign * value
            found.append(Output(item, system, said["hypothesis"][i], judged))
        found += [Output(item, name, said[name][i]) for name in names]
    return found


def _other(argument: str, read: HypothesisFile) -> tuple[str, list[str | None]]:
    """A wrong language and its text for each row: a column, or the lines of a file in turn."""
    language, equals, path = argument.partition("=")
    languages.check([language])
    if any(language == row.target_lang for row in read.rows):
        raise ConfigError(f"audit: --wrong-language {language} is the target language; name another")
    if equals:
        lines = scoring.read_texts("audit", Path(path))
        return language, [lines[i % len(lines)] for i in range(len(read.rows))]
    read.need(language, "--wrong-language LANG=FILE")
    return language, [normalise(text) or None for text in read.texts(language, nothing="")]


def _plain(kind: str) -> CompositeReward:
    return CompositeReward(RewardConfig(terms=[RewardTermConfig(type=kind)]), RewardContext())
