"""Our rewards in TRL: a reward of the config as a function for the `reward_funcs` of GRPOTrainer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from eclectus import languages as known_languages
from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, DataError
from eclectus.registry import describe
from eclectus.rewards.base import Reward, RewardContext, Score, check_requires
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import REFERENCE_COLUMN, Segment

RewardFunction = Callable[..., list[Score]]

_log = logging.getLogger(__name__)


def as_trl_reward(
    reward: str | Mapping[str, Any] | RewardConfig | CompositeReward | Reward,
    context: RewardContext | None = None,
    *,
    source_lang: str | None = None,
    target_lang: str | None = None,
    name: str | None = None,
) -> RewardFunction:
    """Make of a reward what TRL's GRPOTrainer takes in `reward_funcs`.

    The function is called as `f(prompts, completions, **columns)` and returns one number or None for each completion.
    It reads the columns `source_lang`, `target_lang` (BCP-47), `source`, `reference` and `id` of the data set; without
    a column `source` the prompt, or its last message, is the source. Several references are a list in `reference`, or
    stand in further columns `reference2`, `reference_3`, … Other columns become attributes of the segment.
    Prompts and completions may be texts or messages. Rows that follow each other with the same source and direction are
    the samples of one source, as TRL lays them out, and are judged together.

    TRL normalises and centres by itself, so `normalise` and `unfinished` of a config do nothing here. Schedules follow
    `trainer_state.global_step`; the means of a config's parts are logged where TRL offers `log_metric`.

    Args:
        reward: a type (`"chrf"`), a term (`{"type": "bleu", "max_order": 2}`), a config with `terms` and `gates`, or a
            reward that is built already.
        context: what the reward may use; see `RewardContext`. A reward that translates needs `translate`.
        source_lang, target_lang: for a data set of one direction, which then needs no such columns.
        name: under which TRL logs it; by default the type, or `eclectus` for a config with several parts.

    Raises:
        ConfigError: an unknown type or a wrong option, a reward that needs what the context lacks, or a language that
            is none.
        DataError: when called, a column is missing or has another length, a reference is neither a text nor a list of
            texts, or no call had the other sources or languages that the reward compares with.

    Example:
        >>> chrf = as_trl_reward("chrf", source_lang="en", target_lang="es")
        >>> chrf.__name__, chrf(prompts=["cat", "cat"], completions=["gato", ""], reference=["gato", "gato"])
        ('chrf', [1.0, 0.0])
    """
    judge = reward if isinstance(reward, CompositeReward | Reward) else _build(reward, context or RewardContext())
    _check_context(judge)
    languages = {"source_lang": source_lang, "target_lang": target_lang}
    known_languages.check([source_lang] if source_lang else [])
    known_languages.check([target_lang] if target_lang else [])
    company = _Company(judge)
    told = False

    def function(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Any = None,  # named so that it becomes no attribute
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Any = None,
        **columns: Sequence[Any],
    ) -> list[Score]:
        nonlocal told
        _check_lengths(prompts, completions, columns)
        if not told and not columns.get("source"):
            told = True
            _log.warning(
                "the data set has no column 'source', so the whole prompt is judged as the source; "
                "add the column if a prompt says more"
            )
        segments, groups = _grouped(_segments(prompts, columns, languages), [_text(c) for c in completions])
        company.check(segments)
        # TRL counts the updates that are made, we the one that is being made.
        step = None if trainer_state is None else trainer_state.global_step + 1
        if isinstance(judge, Reward):
            judge.step = step
            return [value for row in judge.score_groups(segments, groups) for value in row]
        scores = judge.score_groups(segments, groups, step=step)
        if log_metric is not None:
            for part, table in scores.parts.items():
                known = [value for row in table for value in row if value is not None]
                if known:
                    log_metric(f"parts/{function.__name__}/{part}", sum(known) / len(known))
        return [value for row in scores.total for value in row]

    parts = [judge.name] if isinstance(judge, Reward) else judge.names
    function.__name__ = name or (parts[0] if len(parts) == 1 else "eclectus")
    return function


def _build(reward: str | Mapping[str, Any] | RewardConfig, context: RewardContext) -> CompositeReward:
    if isinstance(reward, str):
        reward = {"type": reward}
    if not isinstance(reward, RewardConfig):
        try:
            reward = RewardConfig.model_validate(reward if "terms" in reward else {"terms": [reward]})
        except ValidationError as error:
            raise ConfigError(describe(error, "reward", RewardConfig)) from error
    return CompositeReward(reward, context)


def _needing(judge: CompositeReward | Reward, need: str) -> list[str]:
    """The names of the parts that require something."""
    if isinstance(judge, CompositeReward):
        return judge.needing(need)
    return [judge.name] if need in judge.requires else []


def _check_context(judge: CompositeReward | Reward) -> None:
    """Refuse a reward that could only abstain, because its context lacks what it needs.

    Raises:
        ConfigError: it needs a policy or training text, and has none.
    """
    if isinstance(judge, Reward):
        check_requires(judge.name, judge.requires)
    lent = {"translate": judge.context.translate is not None, "target_texts": any(judge.context.target_texts.values())}
    for need, there in lent.items():
        for name in _needing(judge, need):
            if not there:
                raise ConfigError(
                    f"as_trl_reward: reward '{name}' needs '{need}', which nothing gives it here; "
                    f"give RewardContext({need}=...) as the context"
                )


_ALONE = {
    "batch": "with the other sources of a step, and the call has one; make the batch larger",
    "siblings": "the translations of a source into several languages, and the call has one language for each; "
    "order the data set so that they come together, without shuffling",
}


class _Company:
    """Refuses a reward that compares sources or languages where no call has brought it any to compare."""

    def __init__(self, judge: CompositeReward | Reward) -> None:
        self._wanted = {need: names[0] for need in ("batch", "siblings") if (names := _needing(judge, need))}

    def check(self, segments: Sequence[Segment]) -> None:
        """Raises DataError; what has been there once, a later call, such as the rest of a dev set, may lack."""
        sources = {(s.source_lang, s.source) for s in segments}
        targets = {(s.source_lang, s.source, s.target_lang) for s in segments}
        if len(sources) > 1:
            self._wanted.pop("batch", None)
        if len(targets) > len(sources):
            self._wanted.pop("siblings", None)
        for need, name in self._wanted.items():
            raise DataError(f"as_trl_reward: reward '{name}' compares {_ALONE[need]}")


def _check_lengths(prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]) -> None:
    lists = {"completions": completions, **{name: cells for name, cells in columns.items() if isinstance(cells, list)}}
    for name, cells in lists.items():
        if len(cells) != len(prompts):
            raise DataError(
                f"as_trl_reward: {len(prompts)} prompts, but '{name}' has {len(cells)}; give one for each prompt"
            )


def _segments(
    prompts: Sequence[Any], columns: Mapping[str, Sequence[Any]], languages: Mapping[str, str | None]
) -> list[Segment]:
    def column(name: str) -> Sequence[Any]:
        values = columns.get(name)
        if values is None and languages[name] is None:
            raise DataError(f"the data set has no column '{name}'; add it, or give {name} to as_trl_reward")
        if values is None:
            return [languages[name]] * len(prompts)
        for tag in dict.fromkeys(values):
            if not isinstance(tag, str):
                raise DataError(
                    f"the data set's column '{name}' holds {tag!r}; give a language such as 'en' in every row"
                )
            known_languages.check([tag])
        return values

    sources = columns.get("source") or [_text(prompt) for prompt in prompts]
    ids = columns.get("id") or [None] * len(prompts)
    named = {name: values for name, values in columns.items() if REFERENCE_COLUMN.fullmatch(name) and values}
    references = [
        _references({name: values[row] for name, values in named.items()}, row) for row in range(len(prompts))
    ]
    own = {"source", "source_lang", "target_lang", "id", *named}
    labels = [
        {name: str(value[row]) for name, value in columns.items() if name not in own and isinstance(value, list)}
        for row in range(len(prompts))
    ]
    rows = zip(sources, column("source_lang"), column("target_lang"), references, ids, labels, strict=True)
    return [
        Segment(text, one, two, next(iter(known), None), str(key or ""), label, tuple(known[1:]))
        for text, one, two, known, key, label in rows
    ]


def _references(cells: Mapping[str, Any], row: int) -> list[str]:
    """Return the texts of one row's columns of references."""
    texts: list[str] = []
    for name, cell in cells.items():
        for text in cell if isinstance(cell, list | tuple) else [cell]:
            if not isinstance(text, str | None):
                raise DataError(
                    f"the data set's column '{name}' holds {type(text).__name__} instead of text in row {row + 1} of "
                    "the batch; give a text, a list of texts, or None"
                )
            if text is not None:
                texts.append(text)
    # Beside others an empty text fills a table up; alone it is the reference, as in a segment.
    return [text for text in texts if text.strip()] or texts[:1]


def _grouped(segments: Sequence[Segment], completions: Sequence[str]) -> tuple[list[Segment], list[list[str]]]:
    """Rows that follow each other and have one source and direction are the samples of one segment."""
    kept: list[Segment] = []
    groups: list[list[str]] = []
    for segment, completion in zip(segments, completions, strict=True):
        if not kept or kept[-1] != segment:
            kept.append(segment)
            groups.append([])
        groups[-1].append(completion)
    return kept, groups


def _text(said: Any) -> str:
    """A text, or the content of the last of several messages."""
    if isinstance(said, str):
        return said
    content = said[-1]["content"]
    # Multimodal chat templates hold the content in blocks.
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
