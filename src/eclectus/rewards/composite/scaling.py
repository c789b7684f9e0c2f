"""From the rewards of a step to what the algorithm sees: the config's `normalise`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eclectus.errors import RunError
from eclectus.rewards.composite.combine import CompositeReward, CompositeScores, Table
from eclectus.rewards.composite.normalise import Normaliser, spread, standardise
from eclectus.segment import Segment

_TOTAL = ""


@dataclass(frozen=True)
class Scaled:
    """Totals on the scale that the algorithm sees.

    Args:
        totals: [B][G]; None where not judged.
        divisors: for each of the B segments, what the values of each term were divided by on the way.
        scales: for each of the B segments, what its total was divided by as a whole, so that what is remembered from
            step to step can be kept in the units of the reward. With `terms` the divisor of a source of which all terms
            say the same; 1 where totals were shifted as well, as with `source`.
    """

    totals: Table
    divisors: list[dict[str, float]]
    scales: list[float]


class Scaling:
    r"""Brings the totals of a composite reward to one scale.

    - `none`: as they are;
    - `direction`: divided by the running deviation of their direction, see `Normaliser`;
    - `source`: standardised among the samples of each source, see `standardise`;
    - `terms`: normalise, then sum. Each term is divided by its own running deviation in the direction before it is
      weighted,

    $$r = \frac{\sum_i w_i t_i / \sigma_i}{\sum_i w_i} \prod_j (1 - s_j (1 - g_j))$$

    so that a weight says how much a term matters and not how widely it happens to spread. A term that no two samples
    differ in gets no more weight by it than the normaliser's floor allows.

    Source: normalising each reward before they are added: GDPO, Liu et al. 2026, https://arxiv.org/abs/2601.05242,
    which does so within the group of a source.

    Args:
        reward: the composite reward; its config says how to normalise.
    """

    def __init__(self, reward: CompositeReward) -> None:
        self._reward = reward
        self._kind = reward.config.normalise
        names = {"direction": [_TOTAL], "terms": reward.terms}.get(self._kind, [])
        self._normalisers = {name: Normaliser() for name in names}

    def __call__(
        self,
        segments: Sequence[Segment],
        scores: CompositeScores,
        *,
        step: int | None = None,
        finished: Sequence[Sequence[bool]] | None = None,
    ) -> Scaled:
        """Take in the rewards of a step and return its totals on the wanted scale; None stays None."""
        ones = [1.0 for _ in segments]
        if self._kind == "none":
            return Scaled(scores.total, self._alike(ones), ones)
        if self._kind == "source":
            return Scaled([standardise(row) for row in scores.total], self._alike([*map(spread, scores.total)]), ones)
        if self._kind == "terms":
            by_term = {name: self._deviations(name, segments, scores.parts[name]) for name in self._normalisers}
            divisors = [{name: found[b] for name, found in by_term.items()} for b in range(len(segments))]
            sizes = [len(row) for row in scores.total]
            totals = self._reward.combine(scores.parts, sizes, step=step, finished=finished, divisors=divisors)
            shares = self._reward.shares(step)
            factors = [sum(share / row[name] for name, share in shares.items()) for row in divisors]
            # No factor: a schedule has all weights at 0, and nothing was judged.
            return Scaled(totals, divisors, [1 / factor if factor else 1.0 for factor in factors])
        deviations = self._deviations(_TOTAL, segments, scores.total)
        table = [
            [None if value is None else value / divisor for value in row]
            for divisor, row in zip(deviations, scores.total, strict=True)
        ]
        return Scaled(table, self._alike(deviations), deviations)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which restore the running deviations to the last bit."""
        return {name: normaliser.state_dict() for name, normaliser in self._normalisers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises:
            RunError: the state is of another reward.
        """
        if set(state) != set(self._normalisers):
            raise RunError("the checkpoint's reward normalisers belong to another reward; start a new run")
        for name, normaliser in self._normalisers.items():
            normaliser.load_state_dict(state[name])

    def _alike(self, divisors: Sequence[float]) -> list[dict[str, float]]:
        return [dict.fromkeys(self._reward.terms, divisor) for divisor in divisors]

    def _deviations(self, name: str, segments: Sequence[Segment], values: Table) -> list[float]:
        """Those of the segments' directions once all values are taken in: within a step there is one scale."""
        normaliser = self._normalisers[name]
        for segment, row in zip(segments, values, strict=True):
            normaliser.update(segment.direction, row)
        return [normaliser.deviation(segment.direction) for segment in segments]
