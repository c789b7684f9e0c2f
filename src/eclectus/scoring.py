"""Use a reward from the shell: find it, lend it what it needs, score a file of translations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from eclectus import config, languages, recipes, registry
from eclectus.config import RewardConfig, RewardSettings, RewardTermConfig
from eclectus.corpora import files
from eclectus.corpora.clean import normalise
from eclectus.errors import ConfigError, DataError, nearest
from eclectus.evaluation.formats import count, number
from eclectus.evaluation.hypotheses import HypothesisFile, Row
from eclectus.evaluation.judging import Judgement, judge
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.language import identify
from eclectus.segment import Segment

Format = Literal["tsv", "jsonl"]

_MAX_LENGTH = 128
_ENOUGH = 200
"""Segments that show which language a column is in."""


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
    """Find a reward: a YAML file, a packaged reward, the type of one reward, or a recipe (with its task).

    What is the name of a type and of a recipe (`joint`) is the type, unless a task is named.

    Raises:
        ConfigError: there is none of this name, or its settings are wrong.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return config.parse_reward(config.read(path), task, name)
    if name in recipes.reward_names():
        return config.parse_reward(recipes.read_reward(name), task, name)
    kinds = registry.names("rewards")
    if name in recipes.names() and (task is not None or name not in kinds):
        return config.parse_reward(recipes.read(name), task, name)
    if ":" not in name and name not in kinds:
        known = {*kinds, *recipes.reward_names(), *recipes.names()}
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
    files.check_new(save)
    if form is None and save is not None and save.suffix == ".csv":
        raise ConfigError(f"score: '{save}' would hold tabs, or JSON; name it .tsv or .jsonl, or say --format")
    read = read_file("score", file, source, target, columns)
    read.need(hypothesis, "--hypothesis")
    reward, segments = lend("score", found, read, lent)
    # As a policy would have written them; only corpora are cleaned.
    hypotheses = read.texts(hypothesis)
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
    warn_of_swapped(read.rows, console)
    console.print(reward.signature, markup=False, style="dim")
    return text


def read_file(command: str, file: Path, source: str | None, target: str | None, columns: str | None) -> HypothesisFile:
    """Read a file of translations; `columns` has commas between the names."""
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    return HypothesisFile(command, file, source, target, names)


def warn_of_swapped(rows: Sequence[Row], console: Console) -> None:
    """Say so where the sources are rather in the language of the references, and these in that of the sources."""
    seen = [row for row in rows if row.references][:_ENOUGH]
    directions = {(row.source_lang, row.target_lang) for row in seen if row.source_lang != row.target_lang}
    for source, target in sorted(directions):
        here = [row for row in seen if (row.source_lang, row.target_lang) == (source, target)]
        texts = [[row.source for row in here], [row.references[0] for row in here]]
        votes = [[found for found, _ in identify(part, [source, target]) if found is not None] for part in texts]
        if all(part.count(other) > len(part) / 2 for part, other in zip(votes, (target, source), strict=True)):
            console.print(
                f"most sources look like {target} and most references like {source}: are the two languages swapped?",
                markup=False,
                style="yellow",
            )


def withheld(found: RewardSettings, lent: Lent) -> bool:
    """Whether the reward may not see references."""
    return lent.withhold or not found.references


def lend(
    command: str, found: RewardSettings, read: HypothesisFile, lent: Lent, others: Sequence[str] = ()
) -> tuple[CompositeReward, list[Segment]]:
    """Build a reward with what it needs, and the segment of each row.

    Args:
        command: named in errors.
        found: the reward.
        read: the text.
        lent: what the user lends.
        others: languages of hypotheses beside those of the text.

    Raises:
        ConfigError: the reward needs what is not there.
        ModelError: the model cannot be loaded, or lacks a language.
    """
    own = list(dict.fromkeys([*(tag for row in read.rows for tag in (row.source_lang, row.target_lang)), *others]))
    tags = languages.check(list(lent.languages)) or found.languages
    missing = [tag for tag in own if tag not in tags]
    if lent.languages and missing:
        raise ConfigError(f"{command}: --languages lacks '{missing[0]}', which the text has; name every language")
    hidden = withheld(found, lent)
    context = RewardContext([*tags, *missing], target_texts=_texts(command, lent.texts))
    reward = CompositeReward(found.reward, context)
    _check(command, reward, context, read, lent, hidden)
    if lent.model is not None and reward.needing("translate"):
        # After everything else is checked: this import takes seconds.
        from eclectus import inference

        policy, _ = inference.load(lent.model)
        policy.check_languages(own)
        translate = partial(policy.translate, max_length=_MAX_LENGTH)
        reward = CompositeReward(found.reward, replace(context, translate=translate))
    return reward, [row.segment(read.path.name, hidden) for row in read.rows]


def _check(
    command: str, reward: CompositeReward, context: RewardContext, read: HypothesisFile, lent: Lent, hidden: bool
) -> None:
    """Refuse a reward that could never judge, with what would help."""
    if comparing := reward.needing("reference"):
        place = f"{command}: reward '{comparing[0]}' needs references, and"
        if hidden:
            raise ConfigError(f"{place} they are withheld from it; use one that needs none, or let it see them")
        if not read.has_references:
            raise DataError(f"{place} '{read.path}' has none; add a column 'reference'")
    if (knowing := reward.needing("target_texts")) and not any(context.target_texts.values()):
        raise ConfigError(
            f"{command}: reward '{knowing[0]}' needs text of the target language; give it one text a line with "
            f"--texts {read.rows[0].target_lang}=FILE (not the references, which it would know by heart)"
        )
    if (translating := reward.needing("translate")) and lent.model is None:
        raise ConfigError(
            f"{command}: reward '{translating[0]}' translates with a starting policy; name one with --model, as in "
            "--model base"
        )


def _texts(command: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    found = {}
    for argument in arguments:
        language, equals, path = argument.partition("=")
        if not equals:
            raise ConfigError(f"{command}: --texts '{argument}' is not of the form LANG=FILE, as in de=german.txt")
        languages.check([language])
        found[language] = read_texts(command, Path(path))
    return found


def read_texts(command: str, path: Path) -> list[str]:
    """Return the texts of a file, one a line, cleaned and without blank ones.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    if not path.is_file():
        raise DataError(f"{command}: no file '{path}' (looked in {Path.cwd()})")
    texts = [text for line in files.read_lines(command, path) if (text := normalise(line))]
    if not texts:
        raise DataError(f"{command}: '{path}' holds nothing visible; give it one text a line")
    return texts


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
