"""Use a reward from the shell: score a file of translations, audit a reward on a corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from eclectus import config, languages, recipes, registry
from eclectus.config import RewardConfig, RewardSettings, RewardTermConfig
from eclectus.corpora import files
from eclectus.corpora.clean import normalise
from eclectus.errors import ConfigError, DataError, nearest
from eclectus.evaluation import audit_report
from eclectus.evaluation.audit import Audit, Item, Output, audit
from eclectus.evaluation.formats import count, number
from eclectus.evaluation.hypotheses import HypothesisFile, Row
from eclectus.evaluation.judging import Judgement, judge
from eclectus.rewards.base import RewardContext
from eclectus.rewards.combine import CompositeReward
from eclectus.segment import Segment

Format = Literal["tsv", "jsonl"]

_MAX_LENGTH = 128
_YARDSTICKS = ("bleu", "chrf")


@dataclass(frozen=True)
class Lent:
    """What the user lends to a reward, as a run would.

    Args:
        model: what `inference.load` loads, for rewards that translate.
        texts: `LANG=FILE`, text of a language, one a line, for rewards that know it.
        languages: tags, the pivot first; none: those of the reward's file, else those of the text.
        withhold: judge as a task with `references: false` does.
    """

    model: str | None = None
    texts: Sequence[str] = ()
    languages: Sequence[str] = ()
    withhold: bool = False


def settings(name: str, task: str | None = None) -> RewardSettings:
    """Find a reward: a YAML file, a packaged reward, a recipe (with its task), or the type of one reward.

    Raises:
        ConfigError: there is none of this name, or its settings are wrong.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return config.parse_reward(config.read(path), task, name)
    if name in recipes.reward_names():
        return config.parse_reward(recipes.read_reward(name), task, name)
    if name in recipes.names():
        return config.parse_reward(recipes.read(name), task, name)
    if ":" not in name and name not in registry.names("rewards"):
        known = {*registry.names("rewards"), *recipes.reward_names(), *recipes.names()}
        raise ConfigError(f"reward: no file and no reward '{name}'{nearest(name, known)}")
    if task is not None:
        raise ConfigError(f"reward: '{name}' is one reward and has no task '{task}'; leave --task out")
    return RewardSettings(RewardConfig(terms=[RewardTermConfig(type=name)]))


def score(
    name: str,
    file: Path,
    *,
    task: str | None,
    source: str | None,
    target: str | None,
    columns: str | None,
    hypothesis: str,
    lent: Lent,
    save: Path | None,
    form: Format | None,
    console: Console,
) -> str:
    """Score the translations of a file.

    Args:
        name: the reward, see `settings`.
        file: TSV or JSONL with a source, a hypothesis, and references where the reward needs them.
        task: of a run's file.
        source: language of the sources.
        target: language of the translations.
        columns: names of a TSV's columns.
        hypothesis: the column to score.
        lent: what the reward needs beside the text.
        save: where to write; None: nowhere.
        form: of the result; None: by the suffix of `save`, else TSV.
        console: for the means.

    Returns:
        One line for each line of the file: its number, the total, every part; empty (null) where one abstains.

    Raises:
        EclectusError: the file cannot be read, or the reward cannot judge it.
    """
    found = settings(name, task)
    check_new(save)
    read = _read("score", file, source, target, columns)
    read.need(hypothesis, "--hypothesis")
    reward, segments = _reward("score", found, read, lent)
    # As a policy would have written them; only corpora are cleaned.
    hypotheses = [row.cells.get(hypothesis, "") for row in read.rows]
    judged = [row[0] for row in judge(reward, segments, [[text] for text in hypotheses])]
    if form is None:
        form = "jsonl" if save is not None and save.suffix == ".jsonl" else "tsv"
    text = _table(read.rows, judged, reward.names, form)
    if save is not None:
        save.write_text(text, encoding="utf-8")
    for part in ("total", *reward.names):
        values = [j.total if part == "total" else j.parts[part] for j in judged]
        known = [value for value in values if value is not None]
        mean = number(sum(known) / len(known), 4) if known else "abstains everywhere"
        silent = len(values) - len(known)
        rest = f" ({count(silent, 'abstention')})" if silent and known else ""
        console.print(f"{part}: {mean} over {count(len(values), 'line')}{rest}", markup=False)
    console.print(reward.signature, markup=False, style="dim")
    return text


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
        name: the reward, see `settings`.
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
    found = settings(name, task)
    check_new(html)
    read = _read("audit", file, source, target, columns)
    others = [_other(argument, read) for argument in wrong_language]
    reward, segments = _reward("audit", found, read, lent, [language for language, _ in others])
    items, places = _items(read.rows, segments, limit)
    outputs = _outputs(read, places, systems, human, lower_is_better)
    if not outputs and not read.has_references:
        raise DataError(f"audit: '{file}' has neither references nor translations; add a column 'reference'")
    first = {item: i for i, item in reversed(list(enumerate(places))) if item is not None}
    texts = {language: [column[first[item]] for item in range(len(items))] for language, column in others}
    visible = read.has_references and not _withheld(found, lent)
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
    if html is not None:
        audit_report.write(result, html)
    return result


def check_new(path: Path | None) -> None:
    """Refuse to overwrite a file, or to write into a folder that is not there."""
    if path is None:
        return
    if path.exists():
        raise DataError(f"output: '{path}' exists; choose another name")
    if not path.parent.is_dir():
        raise DataError(f"output: no folder '{path.parent}'; make it first")


def _read(command: str, file: Path, source: str | None, target: str | None, columns: str | None) -> HypothesisFile:
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    return HypothesisFile(command, file, source, target, names)


def _withheld(found: RewardSettings, lent: Lent) -> bool:
    return lent.withhold or not found.references


def _reward(
    command: str, found: RewardSettings, read: HypothesisFile, lent: Lent, others: Sequence[str] = ()
) -> tuple[CompositeReward, list[list[Segment]]]:
    """Build the reward and the segments that it judges, for each row one with each of its references."""
    directions = list(dict.fromkeys((row.source_lang, row.target_lang) for row in read.rows))
    own = list(dict.fromkeys([*(tag for pair in directions for tag in pair), *others]))
    tags = languages.check(list(lent.languages)) or found.languages
    missing = [tag for tag in own if tag not in tags]
    if lent.languages and missing:
        raise ConfigError(f"{command}: --languages lacks '{missing[0]}', which the text has; name every language")
    tags = [*tags, *missing]
    texts = _texts(command, lent.texts)
    probe = CompositeReward(found.reward, RewardContext(languages=tags, target_texts=texts))
    translating, knowing, comparing = (probe.needing(n) for n in ("translate", "target_texts", "reference"))
    if comparing and _withheld(found, lent):
        raise ConfigError(f"{command}: reward '{comparing[0]}' needs references, and they are withheld from it")
    if comparing and not read.has_references:
        raise DataError(
            f"{command}: reward '{comparing[0]}' needs references, and '{read.path}' has none; add a column 'reference'"
        )
    if knowing and not texts:
        raise ConfigError(
            f"{command}: reward '{knowing[0]}' needs text of the target language; give it one text a line with "
            f"--texts {directions[0][1]}=FILE (not the references, which it would know by heart)"
        )
    if translating and lent.model is None:
        raise ConfigError(
            f"{command}: reward '{translating[0]}' translates with a starting policy; name one with --model, as in "
            "--model base"
        )
    reward = probe
    if translating and lent.model is not None:
        # After everything else is checked: this import takes seconds.
        from eclectus import inference

        policy, _ = inference.load(lent.model)
        policy.check_languages(own)
        translate = lambda wanted: policy.translate(wanted, _MAX_LENGTH)  # noqa: E731
        reward = CompositeReward(found.reward, RewardContext(tags, translate, texts))
    hidden = _withheld(found, lent)
    return reward, [_segments(row, read.path.name, hidden) for row in read.rows]


def _segments(row: Row, file: str, hidden: bool) -> list[Segment]:
    references: list[str | None] = [normalise(text) for text in row.references]
    return [
        Segment(normalise(row.source), row.source_lang, row.target_lang, reference, f"{file}:{row.line}")
        for reference in ([None] if hidden or not references else references)
    ]


def _plain(kind: str) -> CompositeReward:
    return CompositeReward(RewardConfig(terms=[RewardTermConfig(type=kind)]), RewardContext())


def _texts(command: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    found = {}
    for argument in arguments:
        language, equals, path = argument.partition("=")
        if not equals:
            raise ConfigError(f"{command}: --texts '{argument}' is not of the form LANG=FILE, as in de=german.txt")
        languages.check([language])
        found[language] = [text for line in _lines(command, Path(path)) if (text := normalise(line))]
    return found


def _lines(command: str, path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"{command}: no file '{path}' (looked in {Path.cwd()})")
    return files.read_lines(command, path)


def _items(
    rows: Sequence[Row], segments: Sequence[list[Segment]], limit: int | None
) -> tuple[list[Item], list[int | None]]:
    """What is to be translated, each once, and for each row which of it; None: beyond the limit."""
    known: dict[tuple[str, str, str, tuple[str, ...]], int] = {}
    items: list[Item] = []
    places: list[int | None] = []
    for row, judged in zip(rows, segments, strict=True):
        key = (row.source, row.source_lang, row.target_lang, row.references)
        if key not in known and (limit is None or len(items) < limit):
            known[key] = len(items)
            first = judged[0]
            reference = normalise(row.references[0]) if row.references else None
            # Cheats are made of the reference even where the reward may not see it.
            items.append(Item(Segment(first.source, first.source_lang, first.target_lang, reference, first.id), judged))
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
    sign = -1.0 if lower_is_better else 1.0
    found = []
    for row, item, value in zip(read.rows, places, judgements, strict=True):
        if item is None:
            continue
        if long:
            system = row.cells.get("system", "").strip() or "real output"
            judged = None if value is None else sign * value
            found.append(Output(item, system, row.cells.get("hypothesis", ""), judged))
        found += [Output(item, name, row.cells.get(name, "")) for name in names]
    return found


def _other(argument: str, read: HypothesisFile) -> tuple[str, list[str | None]]:
    """A wrong language and its text for each row: a column, or the lines of a file in turn."""
    language, equals, path = argument.partition("=")
    languages.check([language])
    if any(language == row.target_lang for row in read.rows):
        raise ConfigError(f"audit: --wrong-language {language} is the target language; name another")
    if equals:
        lines = [text for line in _lines("audit", Path(path)) if (text := normalise(line))]
        return language, [lines[i % len(lines)] for i in range(len(read.rows))]
    read.need(language, "--wrong-language LANG=FILE")
    return language, [normalise(row.cells.get(language, "")) or None for row in read.rows]


def _table(rows: Sequence[Row], judged: Sequence[Judgement], names: Sequence[str], form: Format) -> str:
    lines = []
    if form == "tsv":
        lines.append("\t".join(("line", "total", *names)))
    for row, judgement in zip(rows, judged, strict=True):
        values = {"total": judgement.total, **judgement.parts}
        rounded = {key: None if value is None else round(value, 6) for key, value in values.items()}
        if form == "jsonl":
            lines.append(json.dumps({"line": row.line, **rounded}, ensure_ascii=False))
        else:
            cells = ["" if value is None else f"{value:g}" for value in rounded.values()]
            lines.append("\t".join((str(row.line), *cells)))
    return "".join(f"{line}\n" for line in lines)
