"""What one step hands to its backward pass, see `backward`, and how it is cut into updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from eclectus.algorithms.advantages import judged
from eclectus.algorithms.losses import StepSize
from eclectus.config import CorrectionConfig, KlConfig
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts, Sampling


@dataclass(frozen=True)
class Demonstration:
    """A translation whose likelihood a step raises.

    Args:
        target: token ids, end-of-sequence included.
        weight: of its tokens' log-probabilities.
        row: of its source among those of the step; None: nothing was sampled from it.
    """

    source: Source
    target: Sequence[int]
    weight: float
    row: int | None


@dataclass(frozen=True)
class Update:
    """What one step hands to the backward pass: B sources, G samples each.

    Args:
        sources: one for each row of the rollouts.
        rollouts: see `Rollouts`.
        rewards: [B, G], NaN where not judged.
        advantages: [B, G] or [B, G, T]; a source whose advantages are all 0 is skipped.
        kl_weights: for each source.
        demonstrations: for the likelihood term.
        size: divisors of the whole step.
        sampling: how the rollouts were drawn.
        kl: estimator of the KL term.
        measure_kl: measure KL of all samples, also where its weight is 0 and where nothing is to be learnt.
        entropy_weight: of the entropy bonus; where it is not 0 no source is skipped.
        owners: name of the task of each source, for KL by task.
        reused: the policy has been updated on these rollouts already.
        targets, values: [B, G, T] for the algorithm's module, see `Signals`; None: it has none.
        policy_learns: False: only the algorithm's module is trained.
        correction: the rollouts' log-probabilities are those of another program, which drew them; they are corrected
            here, by the pass that learns from them. For the first update of a step alone.
        step_moves: whether the step that this is a part of moves the policy, see `moves`; None: it is no part.
    """

    sources: Sequence[Source]
    rollouts: Rollouts
    rewards: torch.Tensor
    advantages: torch.Tensor
    kl_weights: Sequence[float]
    demonstrations: Sequence[Demonstration]
    size: StepSize
    sampling: Sampling
    kl: KlConfig
    measure_kl: bool
    entropy_weight: float
    owners: Sequence[str]
    reused: bool = False
    targets: torch.Tensor | None = None
    values: torch.Tensor | None = None
    policy_learns: bool = True
    correction: CorrectionConfig | None = None
    step_moves: bool | None = None

    @property
    def anchored(self) -> bool:
        """Whether the update asks the reference."""
        return any(map(self.asks_anchor, range(len(self.sources))))

    def asks_anchor(self, row: int) -> bool:
        """Whether it asks the reference about this source's samples."""
        return self.measure_kl or self.kl_weights[row] > 0

    def only(self, rows: Sequence[int]) -> Update:
        """A part of the step as a step of its own, with its own divisors."""
        index = list(rows)
        rollouts, rewards = self.rollouts.only(index), self.rewards[index]
        return replace(
            self,
            sources=[self.sources[row] for row in rows],
            rollouts=rollouts,
            rewards=rewards,
            advantages=self.advantages[index],
            kl_weights=[self.kl_weights[row] for row in rows],
            demonstrations=self._shown_with(rows),
            size=step_size(rewards, rollouts),
            owners=[self.owners[row] for row in rows],
            targets=None if self.targets is None else self.targets[index],
            values=None if self.values is None else self.values[index],
            step_moves=self.moves,
        )

    def _shown_with(self, rows: Sequence[int]) -> list[Demonstration]:
        """The demonstrations of these sources, and as large a part of those that belong to none."""
        found, apart = [], 0
        for shown in self.demonstrations:
            row = shown.row
            if row is None:
                row, apart = apart % len(self.sources), apart + 1
            if row in rows:
                found.append(shown if shown.row is None else replace(shown, row=rows.index(row)))
        return found

    @property
    def moves(self) -> bool:
        """Whether anything but KL and entropy moves the policy in the whole step, of which this may be a part."""
        if self.step_moves is not None:
            return self.step_moves
        return self.policy_learns and (bool(self.demonstrations) or bool(self._telling().any()))

    def learnable(self) -> list[bool]:
        """For each source, whether its samples say anything to the policy or to the algorithm's module."""
        wanted = self._telling()
        # Whatever moves the policy must not move it away on sources that say nothing. If nothing moves it, KL is left
        # out: at the start its gradient is rounding error, which Adam would make as large as any other.
        if self.moves:
            wanted |= torch.tensor(self.kl_weights, device=wanted.device) > 0
        return [True] * len(wanted) if self.entropy_weight else wanted.tolist()

    def _telling(self) -> torch.Tensor:
        """Bool [B], whether there is something to learn from the samples without KL and entropy."""
        wanted = self.advantages.flatten(1).abs().amax(dim=1) > 0
        if self.targets is not None:
            wanted |= self.targets.flatten(1).isfinite().any(dim=1)
        if self.rollouts.forced is not None:
            wanted |= self.rollouts.forced.flatten(1).any(dim=1)
        return wanted


def step_size(rewards: torch.Tensor, rollouts: Rollouts) -> StepSize:
    """Judged sequences, their sampled tokens, the sources that have any, and all sequences; at least 1 of each."""
    known = judged(rewards).cpu()
    lengths = rollouts.actions.sum(dim=-1).cpu()
    counts = (known.sum(), (lengths * known).sum(), known.any(dim=1).sum())
    sequences, tokens, sources = (float(count.clamp(min=1)) for count in counts)
    return StepSize(sequences, tokens, sources, drawn=float(known.numel()))
