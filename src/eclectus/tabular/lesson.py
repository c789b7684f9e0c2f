"""The tabular lesson: algorithms, exploration strategies and bandits on `WordTranslation`, side by side over seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field, ValidationError
from rich.console import Console
from rich.progress import Progress

from eclectus import registry
from eclectus.algorithms.tabular import ALGORITHMS, TemporalDifference, learn, sizes, walk
from eclectus.environments.phrase_table import load, packaged
from eclectus.environments.word_translation import RewardKind, WordTranslation
from eclectus.errors import ConfigError, nearest
from eclectus.exploration.bandits.base import Bandit
from eclectus.exploration.bandits.progress import LearningProgress
from eclectus.exploration.base import Exploration
from eclectus.seeds import derive

Array = npt.NDArray[np.float64]
POINTS = 25  # of a learning curve
ABSENCE = {"explorations": "greedy", "choices": "uniform"}
_RESAMPLES = 2000


class LessonConfig(registry.Options):
    """What the lesson compares. The first of each list is what the other two lists are compared with."""

    algorithms: tuple[str, ...] = Field(("q_learning", "sarsa", "expected_sarsa"), min_length=1)
    explorations: tuple[str, ...] = Field(
        (
            "epsilon_greedy",
            "{type: epsilon_greedy, top_k: 3}",
            "boltzmann",
            "entropy_target",
            "count_bonus",
            "greedy",
            "uniform",
        ),
        min_length=1,
        description="types, or YAML with options",
    )
    choices: tuple[str, ...] = Field(
        ("uniform", "{type: ucb1, discount: 0.99}", "{type: thompson, discount: 0.99}", "{type: exp3, share: 0.01}"),
        min_length=1,
        description="bandits that choose the next sentence by learning progress: types, or YAML with options",
    )
    episodes: int = Field(2000, ge=POINTS)
    seeds: int = Field(5, ge=1)
    seed: int = Field(1, ge=0, description="the first seed")
    reward: RewardKind = "word"
    alpha: float = Field(0.3, gt=0, le=1)
    decay: float = Field(0.0, ge=0, le=1)
    gamma: float = Field(1.0, ge=0, le=1)
    initial: float = Field(0.0, description="first value of every pair of state and action")
    phrase_table: Path | None = None


@dataclass(frozen=True)
class Setting:
    """One curve of the lesson: the names as they were given."""

    algorithm: str
    exploration: str
    choice: str

    def __str__(self) -> str:
        """`Q-learning with epsilon greedy`."""
        return f"{ALGORITHMS[self.algorithm].title} with {label_of(self.exploration)}"


@dataclass(frozen=True)
class Point:
    """What one seed was at after some episodes; rates and means are over the episodes since the last point.

    Args:
        episode: episodes so far.
        exact: share of the sentences that the greedy policy translates as the reference does.
        bleu: mean sentence BLEU of the greedy policy, in [0, 1].
        total: mean return of the behaviour policy.
        explored: share of the actions that were not greedy.
        entropy: mean entropy of the behaviour policy, nats.
        pairs: pairs of state and action tried so far.
    """

    episode: int
    exact: float
    bleu: float
    total: float
    explored: float
    entropy: float
    pairs: int


@dataclass(frozen=True)
class Lesson:
    """What was measured.

    Args:
        config: what was asked for.
        environment: where it was learnt.
        curves: for each setting the points of each seed, in the order of the seeds.
        learner: the table of the first setting and the first seed.
        translations: its greedy translation of each sentence.
    """

    config: LessonConfig
    environment: WordTranslation
    curves: dict[Setting, list[list[Point]]]
    learner: TemporalDifference
    translations: list[str]

    def family(self, which: str) -> dict[str, Setting]:
        """The settings that differ in `algorithms`, `explorations` or `choices` alone, by label."""
        family = _families(self.config)[which]
        if which == "algorithms":
            return {ALGORITHMS[name].title: setting for name, setting in family.items()}
        return {label_of(name): setting for name, setting in family.items()}

    def final(self, setting: Setting, measure: str) -> Array:
        """A measure at the end of training, for each seed."""
        return np.array([getattr(points[-1], measure) for points in self.curves[setting]])

    def over_training(self, setting: Setting, measure: str) -> Array:
        """The mean of a measure over the points of the curve, for each seed: high where learning is fast."""
        return np.array([np.mean([getattr(point, measure) for point in points]) for points in self.curves[setting]])


def configure(**values: Any) -> LessonConfig:
    """Check what the lesson is asked for; values that are None or empty keep their default.

    Raises:
        ConfigError: a wrong value, or an unknown algorithm, strategy, bandit or option.
    """
    try:
        config = LessonConfig(**{key: value for key, value in values.items() if value not in (None, [], ())})
    except ValidationError as error:
        raise ConfigError(registry.describe(error, "tabular", LessonConfig)) from error
    for name in config.algorithms:
        if name not in ALGORITHMS:
            raise ConfigError(f"tabular: unknown algorithm '{name}'{nearest(name, ALGORITHMS)}")
    for name in config.explorations:
        _exploration(name)
    for name in config.choices:
        _bandit(name, 1, 0)
    return config


def settings_of(config: LessonConfig) -> list[Setting]:
    """Every setting once, the one that the others are compared with first."""
    return list(dict.fromkeys(setting for family in _families(config).values() for setting in family.values()))


def run(config: LessonConfig, folder: Path, console: Console | None = None) -> Lesson:
    """Train every setting on every seed and write `metrics.jsonl`.

    Args:
        config: what to compare.
        folder: made if need be; `metrics.jsonl` in it is written anew.
        console: where the progress is shown; None keeps quiet.

    Raises:
        DataError: the phrase table cannot be read.
        ConfigError: its Q-table would be too large.
    """
    table = load(config.phrase_table) if config.phrase_table else packaged()
    environment = WordTranslation(table, config.reward)
    settings = settings_of(config)
    learner(config, environment, settings[0])  # refuses a table that is too large before the folder is made
    folder.mkdir(parents=True, exist_ok=True)
    first: TemporalDifference | None = None
    curves: dict[Setting, list[list[Point]]] = {}
    bar = Progress(*Progress.get_default_columns(), console=console or Console(quiet=True), transient=True)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as stream, bar:
        task = bar.add_task("", total=len(settings) * config.seeds)
        for setting in settings:
            bar.update(task, description=str(setting))
            curves[setting] = []
            for seed in range(config.seed, config.seed + config.seeds):
                pupil = learner(config, environment, setting)
                first = first or pupil
                points = list(train(config, environment, setting, pupil, seed))
                curves[setting].append(points)
                for point in points:
                    row = {**asdict(setting), "seed": seed, **asdict(point)}
                    stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                bar.advance(task)
    assert first is not None  # there is always a first setting with a first seed
    return Lesson(config, environment, curves, first, translate(environment, first))


def learner(config: LessonConfig, environment: WordTranslation, setting: Setting) -> TemporalDifference:
    """A fresh table for a setting."""
    states, actions = sizes(environment)
    kind = ALGORITHMS[setting.algorithm]
    return kind(states, actions, alpha=config.alpha, gamma=config.gamma, decay=config.decay, initial=config.initial)


def train(
    config: LessonConfig, environment: WordTranslation, setting: Setting, pupil: TemporalDifference, seed: int
) -> Iterator[Point]:
    """Train one setting on one seed; yields the points of its curve."""
    arms = len(environment.references)
    bandit = _bandit(setting.choice, arms, derive(seed, "sentences"))
    progress = LearningProgress(arms)
    chosen = 0

    def choose(_: int) -> dict[str, Any]:
        nonlocal chosen
        chosen = bandit.draw()
        return {"sentence": chosen}

    ends = [round(config.episodes * (i + 1) / POINTS) for i in range(POINTS)]
    since: list[tuple[float, float, float]] = []
    pairs = 0
    for episode in learn(environment, pupil, _exploration(setting.exploration), config.episodes, seed, choose):
        bandit.update(chosen, progress.update(chosen, episode.total))
        since.append((episode.total, episode.explored, episode.entropy))
        pairs += episode.new_pairs
        if episode.number + 1 in ends:
            exact, bleu = evaluate(environment, translate(environment, pupil))
            total, explored, entropy = (float(value) for value in np.mean(since, axis=0))
            yield Point(episode.number + 1, exact, bleu, total, explored, entropy, pairs)
            since = []


def translate(environment: WordTranslation, pupil: TemporalDifference) -> list[str]:
    """The greedy translation of every sentence."""
    found = []
    for sentence in range(len(environment.references)):
        *_, (_, _, _, info) = walk(environment, pupil, {"sentence": sentence})
        found.append(str(info["translation"]))
    return found


def evaluate(environment: WordTranslation, translations: Sequence[str]) -> tuple[float, float]:
    """Share of translations that are the reference, and mean sentence BLEU."""
    exact = [text == reference for text, (_, reference) in zip(translations, environment.table.sentences, strict=True)]
    scores = [environment.score(number, text) for number, text in enumerate(translations)]
    return float(np.mean(exact)), float(np.mean(scores))


def interval(values: Array, resamples: int = _RESAMPLES) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over seeds."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def label_of(name: str) -> str:
    """`epsilon greedy, top k 3` for `{type: epsilon_greedy, top_k: 3}`."""
    kind, options = _component("tabular", name)
    return ", ".join([kind, *(f"{key} {value}" for key, value in options.items())]).replace("_", " ")


def _families(config: LessonConfig) -> dict[str, dict[str, Setting]]:
    first = Setting(config.algorithms[0], config.explorations[0], config.choices[0])
    return {
        "algorithms": {name: replace(first, algorithm=name) for name in config.algorithms},
        "explorations": {name: replace(first, exploration=name) for name in config.explorations},
        "choices": {name: replace(first, choice=name) for name in config.choices},
    }


def _exploration(name: str) -> Exploration:
    kind, options = _component("exploration", name)
    return registry.build("exploration", kind, Exploration, "exploration", options)


def _bandit(name: str, arms: int, seed: int) -> Bandit:
    kind, options = _component("sentences", name)
    found = registry.find("exploration.bandits", kind, Bandit)
    return registry.make("sentences", found, arms, seed, registry.parse_options("sentences", found.Options, options))


def _component(where: str, name: str) -> tuple[str, dict[str, Any]]:
    """`kind` or `{type: kind, option: value}`."""
    if not name.lstrip().startswith("{"):
        return name, {}
    try:
        values = yaml.safe_load(name)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        raise ConfigError(f"{where}: '{name}' is not of the form {{type: name, option: value}}")
    return values.pop("type"), {str(key): value for key, value in values.items()}
