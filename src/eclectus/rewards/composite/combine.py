"""Several rewards as one: weighted terms, multiplied by gates."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eclectus.config import Component, RewardConfig, RewardGateConfig, RewardTermConfig
from eclectus.errors import ConfigError, RunError
from eclectus.own import is_own
from eclectus.registry import find, make, parse_options
from eclectus.rewards.base import Reward, RewardContext, Score, check_class, check_requires
from eclectus.rewards.bridges.function import FunctionReward, load_function
from eclectus.rewards.composite.workers import Workers
from eclectus.rewards.text import excerpt
from eclectus.schedule import Schedule, value_at, written
from eclectus.segment import Segment

Table = list[list[Score]]

_log = logging.getLogger(__name__)

_SLACK = 1e-6
"""By how much rounding may take a value out of [0, 1]."""


@dataclass(frozen=True)
class CompositeScores:
    """What a composite reward says about B segments with G hypotheses each.

    Args:
        total: [B][G] the combined values; None where no term judged.
        parts: the [B][G] values of each term (clipped as the config says) and gate, by name.
    """

    total: Table
    parts: dict[str, Table]


class CompositeReward:
    r"""The weighted mean of the terms that judged, times the product of the gates that judged.

    $$r = \mathrm{clip}\Big(\frac{\sum_i w_i \, \mathrm{clip}_i(t_i)}{\sum_i w_i} \prod_j (1 - s_j (1 - g_j))\Big)$$

    over the terms i and gates j that did not abstain; if all terms with a weight above 0 abstain the total is None,
    whatever the gates say. Weights w and strengths s may be schedules over steps.

    Args:
        config: the terms with their weights, and the gates.
        context: what the run lends to its rewards.
        where: the config's position in the file, for errors.

    Raises:
        ConfigError: an unknown type or a wrong option; the place is named.
    """

    def __init__(self, config: RewardConfig, context: RewardContext, where: str = "reward") -> None:
        self.config = config
        self.context = context
        self._told: set[str] = set()  # the terms of which it was said that they leave [0, 1]
        self._workers = Workers(config.workers) if config.workers else None
        self._rewards: dict[str, Reward] = {}
        self._places: dict[str, str] = {}
        self._terms: dict[str, RewardTermConfig] = {}
        self._gates: dict[str, RewardGateConfig] = {}
        for number, term in enumerate(config.terms):
            self._terms[self._add(term, f"{where}.terms.{number}")] = term
        for number, gate in enumerate(config.gates):
            self._gates[self._add(gate, f"{where}.gates.{number}")] = gate

    def _add(self, part: Component, place: str) -> str:
        reward = _build(part, self.context, place)
        name = _free_name(reward.name, self._rewards)
        self._rewards[name] = reward
        self._places[name] = place
        return name

    @property
    def names(self) -> list[str]:
        """The names of the parts, terms first; a type used twice gets a number, as in `chrf-2`."""
        return list(self._rewards)

    def needing(self, need: str) -> list[str]:
        """Return the names of the parts that require "reference", "translate" or "target_texts"."""
        return [name for name, reward in self._rewards.items() if need in reward.requires]

    @property
    def terms(self) -> list[str]:
        """The names of the terms."""
        return list(self._terms)

    @property
    def dense(self) -> dict[str, str]:
        """The terms that give rewards to tokens: `increments` or `tokens` by name."""
        return {name: term.dense for name, term in self._terms.items() if term.dense is not None}

    def shares(self, step: int | None) -> dict[str, float]:
        """The share of each term in a total that all terms judge."""
        weights = {name: value_at(term.weight, step) for name, term in self._terms.items()}
        return {name: weight / (sum(weights.values()) or 1.0) for name, weight in weights.items()}

    def character_scores(
        self, name: str, segments: Sequence[Segment], hypotheses: Sequence[str]
    ) -> list[list[float] | None]:
        """Return what a term with `dense: tokens` says of each character."""
        return self._rewards[name].character_scores(segments, hypotheses)

    @property
    def signature(self) -> str:
        """How the total is made, for example `(0.5*[BLEU|...] + 0.5*[chrF2|...]) / 1 * [language|...]`."""
        terms = " + ".join(
            f"{written(term.weight)}*[{self._rewards[name].signature}{_bounds(term.clip)}]"
            for name, term in self._terms.items()
        )
        gates = "".join(
            f" * [{self._rewards[name].signature}{'' if gate.strength == 1 else f'|strength:{written(gate.strength)}'}]"
            for name, gate in self._gates.items()
        )
        weights = [term.weight for term in self._terms.values()]
        fixed = [weight for weight in weights if not isinstance(weight, Schedule)]
        total = f"{sum(fixed):g}" if len(fixed) == len(weights) else "weights"
        return f"({terms}) / {total}{gates}{_bounds(self.config.clip)}"

    def demonstrations(self, kind: str, segments: Sequence[Segment], step: int | None = None) -> list[str]:
        """Return the translations that the first part of this type compares with, "" where it has none.

        Raises:
            ConfigError: no part is of this type, or it makes no translations.
        """
        parts: dict[str, Component] = {**self._terms, **self._gates}
        reward = next((self._rewards[name] for name, part in parts.items() if part.type == kind), None)
        if reward is None or type(reward).demonstrations is Reward.demonstrations:
            raise ConfigError(
                f"mle_of: '{kind}' is no part of the reward that makes translations to learn from; name one that does"
                " and is there (pivot), or references"
            )
        reward.step = step
        return reward.demonstrations(segments)

    @property
    def comparative(self) -> bool:
        """Whether a part judges a hypothesis by the others of its source."""
        return any(reward.comparative for reward in self._rewards.values())

    @property
    def judges_alone(self) -> bool:
        """Whether a term can judge a hypothesis that is the only one of its source, as the dev set has them."""
        return any(not self._rewards[name].comparative for name in self._terms)

    def check(self, has_reference: bool, has_siblings: bool = False, in_parts: bool = False) -> None:
        """Refuse at the door a reward that could never judge.

        Args:
            has_reference: whether the segments will carry references.
            has_siblings: whether each source will come in all target languages at once.
            in_parts: whether the sources of a step will come in several calls.

        Raises:
            ConfigError: a part needs references, a policy, training text or the whole step, and the run does not give
                it.
        """
        for name, reward in self._rewards.items():
            place = f"config: '{self._places[name]}': reward '{reward.name}'"
            if "reference" in reward.requires and not has_reference:
                raise ConfigError(
                    f"{place} needs references, which the task withholds; set references: true, or use a reward "
                    "that needs none (pivot, round_trip, fluency)"
                )
            if "translate" in reward.requires and self.context.translate is None:
                raise ConfigError(f"{place} needs a starting policy that translates, and the run lends none")
            if "siblings" in reward.requires and not has_siblings:
                raise ConfigError(
                    f"{place} compares the translations of a source into several languages; set joint: true in the task"
                )
            if "batch" in reward.requires and in_parts:
                raise ConfigError(f"{place} compares with the other sources of a step; set reinforce.overlap: 1")
            dense = self.dense.get(name)
            if dense == "tokens" and type(reward).character_scores is Reward.character_scores:
                raise ConfigError(f"{place} does not judge parts of a text; set dense: increments, or leave it out")
            if dense is not None and "siblings" in reward.requires:
                raise ConfigError(f"{place} compares finished translations; leave dense out")
            if "target_texts" in reward.requires and not any(self.context.target_texts.values()):
                raise ConfigError(f"{place} needs training text in the target languages, and the corpora give none")

    def unjudged(self, languages: Sequence[str]) -> list[str]:
        """A sentence for each part and target language of which the part will judge no translation."""
        return [
            f"'{name}' judges no translation into '{language}': {reason}"
            for name, reward in self._rewards.items()
            for language, reason in reward.unjudged(languages).items()
        ]

    def reset(self) -> None:
        """Let every part forget what it asked of the policy, so that a resumed run asks for the same batches."""
        for reward in self._rewards.values():
            reward.reset()

    def prepare(self, segments: Sequence[Segment]) -> None:
        """Let every part get ready for the sources of the coming steps."""
        for reward in self._rewards.values():
            reward.prepare(segments)

    def save(self, folder: Path, languages: Sequence[str]) -> None:
        """Let every part write what it learnt from the run's text into `folder/<name of the part>`."""
        for name, reward in self._rewards.items():
            reward.save(folder / name, languages)

    def score_groups(
        self,
        segments: Sequence[Segment],
        hypotheses: Sequence[Sequence[str]],
        *,
        step: int | None = None,
        finished: Sequence[Sequence[bool]] | None = None,
    ) -> CompositeScores:
        """Judge `hypotheses[b][g]` as translations of `segments[b]`.

        Args:
            step: the training step, from 1; None is the measure by which checkpoints and controls are compared:
                every schedule at its end.
            finished: [B][G], false where the length limit cut the hypothesis; None: nothing was cut.

        Raises:
            RunError: a reward failed, or returned something else than finite numbers or None, one for each hypothesis,
                or a gate gave a number outside [0, 1].
        """
        parts = {name: self.judge(name, segments, hypotheses, step) for name in self._rewards}
        return CompositeScores(self.combine(parts, [len(g) for g in hypotheses], step=step, finished=finished), parts)

    def judge(
        self, name: str, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]], step: int | None
    ) -> Table:
        """Return what one part says, clipped as the config says; see `score_groups`."""
        reward = self._rewards[name]
        reward.step = step
        table = _checked(name, reward, segments, hypotheses, self._workers)
        clip = self._terms[name].clip if name in self._terms else None
        if (is_own(reward) or isinstance(reward, FunctionReward)) and clip is None and name not in self._told:
            self._check_range(name, segments, hypotheses, table)
        return [[_clipped(value, clip) for value in row] for row in table]

    def _check_range(
        self, name: str, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]], table: Table
    ) -> None:
        """Refuse a gate that leaves [0, 1], where it would turn or multiply the total; say it once of a term."""
        for segment, group, row in zip(segments, hypotheses, table, strict=True):
            for hypothesis, value in zip(group, row, strict=True):
                if value is None or -_SLACK <= value <= 1 + _SLACK:
                    continue
                what = f"reward '{name}' gave {value:g} to the hypothesis {excerpt(hypothesis)} ({segment.direction})"
                if name in self._gates:
                    raise RunError(f"{what}; a gate multiplies the total, so it must be in [0, 1]")
                self._told.add(name)
                _log.warning("%s; a reward should be in [0, 1]: scale it, or set its 'clip'; said once", what)
                return

    def combine(
        self,
        parts: Mapping[str, Table],
        sizes: Sequence[int],
        *,
        step: int | None = None,
        finished: Sequence[Sequence[bool]] | None = None,
        divisors: Sequence[Mapping[str, float]] | None = None,
    ) -> Table:
        """Combine the values of the parts into totals, [B][G].

        Args:
            parts: see `CompositeScores`.
            sizes: hypotheses of each of the B segments.
            step, finished: see `score_groups`.
            divisors: for each segment, what the values of each term are divided by first.
        """
        weights = {name: value_at(term.weight, step) for name, term in self._terms.items()}
        strengths = {name: value_at(gate.strength, step) for name, gate in self._gates.items()}
        unfinished = self.config.unfinished
        total: Table = []
        for b, size in enumerate(sizes):
            shares = {name: weight / divisors[b][name] if divisors else weight for name, weight in weights.items()}
            row: list[Score] = []
            for g in range(size):
                if unfinished is not None and finished is not None and not finished[b][g]:
                    # As if every term had said so, so that it stands on the scale of the other samples.
                    whole = sum(weights.values())
                    row.append(unfinished * (sum(shares.values()) / whole if divisors and whole else 1.0))
                    continue
                judged = {name: value for name, part in parts.items() if (value := part[b][g]) is not None}
                weight = sum(weights[name] for name in judged if name in weights)
                if not weight:
                    row.append(None)
                    continue
                value = sum(shares[name] * judged[name] for name in judged if name in weights) / weight
                value *= math.prod((1 - s) + s * judged[name] for name, s in strengths.items() if name in judged)
                row.append(_clipped(value, self.config.clip))
            total.append(row)
        return total


def check_parts(config: RewardConfig, where: str = "reward") -> None:
    """Refuse what can be refused of a reward before there is anything that it needs.

    Raises:
        ConfigError: as `CompositeReward`.
    """
    for list_name, parts in (("terms", config.terms), ("gates", config.gates)):
        for number, part in enumerate(parts):
            _found(part, f"{where}.{list_name}.{number}")


def _build(part: Component, context: RewardContext, place: str) -> Reward:
    build, options = _found(part, place)
    reward: Reward = make(place, build, options, context)
    try:
        check_requires(part.type, reward.requires)  # an __init__ may have changed what the class says
    except ConfigError as error:
        raise ConfigError(f"config: '{place}': {error}") from error
    return reward


def _found(part: Component, place: str) -> tuple[Any, Any]:
    """What builds a part from its options and the context, and the options."""
    function = load_function(part.type)
    if function is not None:
        return partial(FunctionReward, function, part.type), parse_options(place, FunctionReward.Options, part.options)
    try:
        kind: Any = find("rewards", part.type, Reward)
    except ConfigError as error:
        raise ConfigError(f"config: '{place}.type': {error}") from error
    try:
        check_class(part.type, kind)
    except ConfigError as error:
        raise ConfigError(f"config: '{place}': {error}") from error
    return kind, parse_options(place, kind.Options, part.options)


def _clipped(value: Score, clip: Sequence[float] | None) -> Score:
    return value if value is None or clip is None else min(max(value, clip[0]), clip[1])


def _bounds(clip: Sequence[float] | None) -> str:
    return "" if clip is None else f"|clip:{clip[0]:g},{clip[1]:g}"


def _free_name(name: str, taken: dict[str, Reward]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _checked(
    name: str,
    reward: Reward,
    segments: Sequence[Segment],
    hypotheses: Sequence[Sequence[str]],
    workers: Workers | None,
) -> Table:
    """Ask one reward, in worker processes where it can, and refuse what is not finite."""
    if workers is not None and reward.pure:
        table = workers.score_groups(reward, segments, hypotheses)
    else:
        table = reward.score_groups(segments, hypotheses)
    for segment, group, row in zip(segments, hypotheses, table, strict=True):
        for hypothesis, value in zip(group, row, strict=True):
            if value is not None and not math.isfinite(value):
                raise RunError(
                    f"reward '{name}' gave {value} to the hypothesis {excerpt(hypothesis)} ({segment.direction}); "
                    "a reward must be a finite number, or None to abstain"
                )
    return table
