"""Several rewards as one: weighted terms, multiplied by gates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eclectus.config import Component, RewardConfig
from eclectus.errors import ConfigError, RunError
from eclectus.registry import find, parse_options
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.rewards.function import FunctionReward, load_function
from eclectus.rewards.normalise import Normaliser
from eclectus.rewards.text import excerpt
from eclectus.rewards.workers import Workers
from eclectus.segment import Segment

__all__ = ["CompositeReward", "CompositeScores", "Normaliser"]

Table = list[list[Score]]


@dataclass(frozen=True)
class CompositeScores:
    """What a composite reward says about B segments with G hypotheses each.

    Args:
        total: [B][G] the combined values; None where no term judged.
        parts: the [B][G] values of each term and gate, by name.
    """

    total: Table
    parts: dict[str, Table]


class CompositeReward:
    r"""The weighted mean of the terms that judged, times the product of the gates that judged.

    $$r = \frac{\sum_i w_i t_i}{\sum_i w_i} \prod_j g_j$$

    over the terms i and gates j that did not abstain; if all terms abstain the total is None, whatever the gates say.

    Args:
        config: the terms with their weights, and the gates.
        context: what the run lends to its rewards.
        where: the config's place in the file, for errors.

    Raises:
        ConfigError: an unknown type or a wrong option; the place is named.
    """

    def __init__(self, config: RewardConfig, context: RewardContext, where: str = "reward") -> None:
        self._context = context
        self._workers = Workers(config.workers) if config.workers else None
        self._rewards: dict[str, Reward] = {}
        self._weights: dict[str, float] = {}
        self._places: dict[str, str] = {}
        parts: list[tuple[str, Component]] = [(f"{where}.terms.{i}", term) for i, term in enumerate(config.terms)]
        parts += [(f"{where}.gates.{i}", gate) for i, gate in enumerate(config.gates)]
        for place, part in parts:
            reward = _build(part, context, place)
            name = _free_name(reward.name, self._rewards)
            self._rewards[name] = reward
            self._places[name] = place
        for name, term in zip(self._rewards, config.terms, strict=False):
            self._weights[name] = term.weight

    @property
    def names(self) -> list[str]:
        """The names of the parts, terms first; a type used twice gets a number, as in `chrf-2`."""
        return list(self._rewards)

    @property
    def signature(self) -> str:
        """How the total is made, for example `(0.5*[BLEU|...] + 0.5*[chrF2|...]) * [language|...]`."""
        terms = " + ".join(f"{w:g}*[{self._rewards[name].signature}]" for name, w in self._weights.items())
        gates = "".join(f" * [{r.signature}]" for name, r in self._rewards.items() if name not in self._weights)
        return f"({terms}) / {sum(self._weights.values()):g}{gates}"

    def check(self, has_reference: bool) -> None:
        """Refuse at the door a reward that could never judge.

        Args:
            has_reference: whether the segments will carry references.

        Raises:
            ConfigError: a part needs references, a policy or training text, and the run gives none.
        """
        for name, reward in self._rewards.items():
            place = f"config: '{self._places[name]}': reward '{reward.name}'"
            if "reference" in reward.requires and not has_reference:
                raise ConfigError(
                    f"{place} needs references, which the task withholds; set references: true, or use a reward "
                    "that needs none (pivot, round_trip, fluency)"
                )
            if "translate" in reward.requires and self._context.translate is None:
                raise ConfigError(f"{place} needs a starting policy that translates, and the run lends none")
            if "target_texts" in reward.requires and not any(self._context.target_texts.values()):
                raise ConfigError(f"{place} needs training text in the target languages, and the corpora give none")

    def reset(self) -> None:
        """Let every part forget what it asked of the policy, so that a resumed run asks for the same batches."""
        for reward in self._rewards.values():
            reward.reset()

    def score_groups(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> CompositeScores:
        """Judge `hypotheses[b][g]` as translations of `segments[b]`.

        Raises:
            RunError: a reward returned something else than finite numbers or None, one for each hypothesis.
        """
        parts = {name: _checked(name, r, segments, hypotheses, self._workers) for name, r in self._rewards.items()}
        total = [
            [self._combine({name: part[b][g] for name, part in parts.items()}) for g in range(len(group))]
            for b, group in enumerate(hypotheses)
        ]
        return CompositeScores(total, parts)

    def _combine(self, values: dict[str, Score]) -> Score:
        weighted = weights = 0.0
        gates = 1.0
        for name, value in values.items():
            if value is None:
                continue
            if name in self._weights:
                weighted += self._weights[name] * value
                weights += self._weights[name]
            else:
                gates *= value
        return weighted / weights * gates if weights else None


def _build(part: Component, context: RewardContext, place: str) -> Reward:
    function = load_function(part.type)
    if function is not None:
        if part.options:
            raise ConfigError(
                f"config: '{place}': the function '{part.type}' takes no options; remove {list(part.options)}"
            )
        return FunctionReward(function, part.type)
    try:
        kind: Any = find("rewards", part.type, Reward)
    except ConfigError as error:
        raise ConfigError(f"config: '{place}.type': {error}") from error
    return kind(parse_options(place, kind.Options, part.options), context)


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
    """Ask one reward, in worker processes where it can, and check what it says."""
    if workers is not None and reward.pure:
        table = workers.score_groups(reward, segments, hypotheses)
    else:
        table = reward.score_groups(segments, hypotheses)
    if [len(row) for row in table] != [len(group) for group in hypotheses]:
        raise RunError(f"reward '{name}' did not return one value for each hypothesis")
    for segment, group, row in zip(segments, hypotheses, table, strict=True):
        for hypothesis, value in zip(group, row, strict=True):
            if value is not None and not math.isfinite(value):
                raise RunError(
                    f"reward '{name}' gave {value} to the hypothesis {excerpt(hypothesis)} ({segment.direction}); "
                    "a reward must be a finite number, or None to abstain"
                )
    return table
