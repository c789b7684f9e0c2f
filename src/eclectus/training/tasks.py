"""Tasks at run time: their prompts and their reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eclectus.config import RewardConfig, RewardTermConfig, TaskConfig
from eclectus.corpora.dataset import Dataset
from eclectus.errors import ConfigError, DataError
from eclectus.languages import direction, expand_directions
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.composite.scaling import Scaling
from eclectus.segment import Segment


@dataclass
class Task:
    """One task of the config, ready to run.

    Args:
        prompts: training segments by direction; without references where the task may not see them.
        reward: the composite reward.
        scaling: brings the reward to one scale; None: as the reward's config says.
        families: of a joint task, by source language: each source in all target languages.
        judge: of a control, whose reward is another: what dev evaluations and demonstrations are asked of.
    """

    config: TaskConfig
    prompts: dict[str, list[Segment]]
    reward: CompositeReward
    scaling: Scaling = None  # type: ignore[assignment]
    families: dict[str, list[tuple[Segment, ...]]] = field(default_factory=dict)
    judge: CompositeReward | None = None

    def __post_init__(self) -> None:
        self.scaling = self.scaling or Scaling(self.reward)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def directions(self) -> list[str]:
        return list(self.prompts)

    def demonstrations(self, segments: Sequence[Segment], step: int) -> list[str | None]:
        """The translation of each segment whose likelihood the task raises; None where there is none.

        Args:
            step: counted from 1.
        """
        if not self.config.mle:
            return [None] * len(segments)
        if self.config.mle_of == "references":
            return [segment.reference for segment in segments]
        # A control is asked as outside training: copies of the policy that the reward has are not copies of its own.
        asked = step if self.judge is None else None
        return [text or None for text in self.measure.demonstrations(self.config.mle_of, segments, asked)]

    @property
    def measure(self) -> CompositeReward:
        """What judges the dev set."""
        return self.judge or self.reward

    def prepare(self, sampled: Sequence[Segment], shown: Sequence[Segment] = ()) -> None:
        """Get ready for the sources of the coming steps, those that are sampled and those that are only shown."""
        if self.config.mle and self.config.mle_of != "references":
            self.measure.prepare([*sampled, *shown])
        else:
            self.reward.prepare(sampled)

    def reset(self) -> None:
        """Forget what was asked of policies, as a resumed run has."""
        self.reward.reset()
        self.measure.reset()


def build_tasks(
    configs: Sequence[TaskConfig], dataset: Dataset, context: RewardContext, *, in_parts: bool = False
) -> list[Task]:
    """Build the tasks of a run and check them at the door.

    Args:
        in_parts: whether a step's samples are judged in several calls.

    Raises:
        ConfigError: an unknown direction, reward or option, or a reward that needs what the task has not.
        DataError: a direction has no prompts.
    """
    tasks = []
    for number, config in enumerate(configs):
        reward = CompositeReward(config.reward, context, where=f"reinforce.tasks.{number}.reward")
        reward.check(has_reference=config.references, has_siblings=config.joint, in_parts=in_parts)
        if config.select_by == "reward" and not reward.judges_alone:
            raise ConfigError(
                f"config: 'reinforce.tasks.{number}.select_by': the reward only compares the samples of a source with"
                " each other, and the dev set has one translation of each, so it could choose no checkpoint; set"
                " select_by: reference, or add a term that judges a translation by itself, such as round_trip"
            )
        if config.mle and config.mle_of != "references":
            try:
                reward.demonstrations(config.mle_of, [])
            except ConfigError as error:
                raise ConfigError(f"config: 'reinforce.tasks.{number}': {error}") from error
        prompts: dict[str, list[Segment]] = {}
        for source, target in expand_directions(config.directions, dataset.languages):
            rows = prompts_for(dataset, source, target, references=config.references)
            if not rows and not (config.back_translated and dataset.monolingual("train", target)):
                kind = "sentence pairs" if config.references else f"'{source}' text"
                raise DataError(
                    f"task '{config.name}': no training {kind} for {source}-{target};"
                    " add a corpus or take the direction out"
                )
            prompts[direction(source, target)] = rows
        families = _families(config.name, prompts) if config.joint else {}
        tasks.append(Task(config, prompts, reward, families=families))
    return tasks


def _families(task: str, prompts: Mapping[str, Sequence[Segment]]) -> dict[str, list[tuple[Segment, ...]]]:
    """Each source that has prompts in all target languages, by source language.

    Raises:
        ConfigError: a source language with one target language only.
        DataError: a source language without such a source.
    """
    tables: dict[str, list[dict[str, Segment]]] = {}
    for rows in prompts.values():
        # Reversed, so that of several references of a source the first is taken.
        tables.setdefault(rows[0].source_lang, []).append({s.source: s for s in reversed(rows)})
    families = {}
    for language, targets in tables.items():
        if len(targets) == 1:
            raise ConfigError(
                f"task '{task}' is joint, but has one target language only for '{language}'; add directions"
                f" ({language}-*), or set joint: false"
            )
        first = prompts[next(key for key, rows in prompts.items() if rows[0].source_lang == language)]
        shared = [text for text in dict.fromkeys(s.source for s in first) if all(text in t for t in targets)]
        if not shared:
            raise DataError(
                f"task '{task}' is joint, but no '{language}' text has training pairs in all its target languages;"
                " take a direction out, or set references: false"
            )
        families[language] = [tuple(table[text] for table in targets) for text in shared]
    return families


def prompts_for(dataset: Dataset, source: str, target: str, *, references: bool) -> list[Segment]:
    """Training segments of a direction: sentence pairs, or source-side text alone."""
    if references:
        return dataset.pairs("train", source, target)
    return [
        Segment(text, source, target, id=f"{source}:{number}")
        for number, text in enumerate(dataset.monolingual("train", source))
    ]


def constant_tasks(tasks: Sequence[Task]) -> list[Task]:
    """The same tasks with a reward that says 1 to everything: the control that shows what the rest of the loop does.

    Their checkpoint is chosen by the reward of the tasks themselves, as theirs is.
    """
    config = RewardConfig(terms=[RewardTermConfig(type="constant")], normalise="none", unfinished=None)
    constant = CompositeReward(config, RewardContext())
    return [Task(t.config, t.prompts, constant, families=t.families, judge=t.reward) for t in tasks]
