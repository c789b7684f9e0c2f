"""The backward pass of one update, in micro-batches whose cut does not change the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from eclectus import parallel
from eclectus.algorithms import kl as divergence
from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.importance import truncated_weights, weighted
from eclectus.algorithms.losses import LossInputs
from eclectus.config import CorrectionConfig
from eclectus.policies.base import Policy, TokenScores
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts, exploring
from eclectus.rollouts.limits import Limits
from eclectus.rollouts.padding import pad_rows, within_budget
from eclectus.training import own_algorithm
from eclectus.training.passes import in_step, micro_batches
from eclectus.training.update import Update


@dataclass(frozen=True)
class _Part:
    """A micro-batch: whole groups of n of the sources, cut to their longest sample."""

    rows: list[int]
    sources: list[Source]
    tokens: torch.Tensor
    mask: torch.Tensor
    actions: torch.Tensor
    limits: Limits | None

    @property
    def samples(self) -> int:
        return self.tokens.shape[1]


class _Means:
    """Sums and counts over micro-batches, for values that are means over tokens."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, value: float, count: float) -> None:
        total, n = self._sums.get(name, (0.0, 0.0))
        self._sums[name] = (total + value, n + count)

    def together(self) -> _Means:
        """Those of all processes."""
        found = _Means()
        for part in parallel.gather(self._sums):
            for name, (value, count) in part.items():
                found.add(name, value, count)
        return found

    def values(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._sums.items() if count}


def accumulate(
    policy: Policy,
    reference: Policy,
    algorithm: Algorithm,
    work: Update,
    micro_batch_tokens: int,
    scaler: torch.amp.GradScaler | None = None,
) -> dict[str, float]:
    """Add the gradient of one step, scaled by `scaler`, to the parameters of the policy and of the algorithm's module.

    Of several processes each adds the part of its share of the sources; their sum is the gradient.

    Returns:
        metrics of the step, of all processes together.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    sums = {"loss": 0.0}
    means = _Means()
    exact = work.kl.estimator == "exact"
    learnable = work.learnable()
    wanted = [row for row, learnt in enumerate(learnable) if learnt]
    if work.measure_kl:
        left = [row for row, learnt in enumerate(learnable) if not learnt]
        _measure(policy, reference, work, left, micro_batch_tokens, means)
    own = _cut(work, _fair_share(work.rollouts, wanted), micro_batch_tokens)
    for rows, counted in in_step(policy, own, wanted[:1]):
        part = _part(work, rows)
        anchored = counted and work.asks_anchor(rows[0])
        with torch.set_grad_enabled(work.policy_learns):
            scores = policy.token_scores(
                part.sources,
                part.tokens,
                part.mask,
                work.sampling.temperature,
                entropy=work.entropy_weight > 0,
                anchor=reference if exact and anchored else None,
                states=algorithm.needs_states,
                limits=part.limits,
            )
        if not counted:
            _pass_back(scores.logprobs)
            continue
        inputs = _loss_inputs(work, part, scores)
        if work.correction is not None:
            inputs = _corrected(inputs, work.correction, means)
        loss, metrics = own_algorithm.loss(algorithm, inputs)
        if not work.reused and work.correction is None:
            apart = (inputs.logprobs.detach() - inputs.old_logprobs).abs() * inputs.mask
            means.add("logprob_mismatch", float(apart.sum()), float(inputs.mask.sum()))
        if anchored:
            loss = loss + _kl_term(reference, work, part, scores, means)
        if scores.entropy is not None:
            entropy = (scores.entropy * part.actions).sum()
            loss = loss - work.entropy_weight * entropy / work.size.drawn
            means.add("policy_entropy", float(entropy.detach()), float(part.actions.sum()))
        scaler.scale(loss).backward()
        sums["loss"] += float(loss.detach())
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + value
    sums = _added(sums) | means.together().values()
    if "engine_weight" in sums:
        sums["engine_ess"] = sums.pop("engine_weight") ** 2 / sums.pop("engine_weight_squared")
    likelihood = _likelihood(policy, work, micro_batch_tokens, scaler) if work.policy_learns else None
    if likelihood is not None:
        sums["mle_loss"] = likelihood
    return sums


def _fair_share(rollouts: Rollouts, rows: Sequence[int]) -> Sequence[int]:
    """This process's part of the rows, with as many long samples as the others have."""
    lengths = rollouts.mask.sum(dim=(1, 2)).tolist()
    return parallel.share(sorted(rows, key=lambda row: (lengths[row], row)))


def _cut(work: Update, rows: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Micro-batches of the rows; those that ask the anchor are apart, so that it reads no others."""
    for asked in (True, False):
        yield from micro_batches(work.rollouts, [row for row in rows if work.asks_anchor(row) is asked], budget)


def _added(sums: Mapping[str, float]) -> dict[str, float]:
    """The sums of all processes; where one had no source, it has no metrics of the algorithm."""
    found: dict[str, float] = {}
    for part in parallel.gather(dict(sums)):
        for name, value in part.items():
            found[name] = found.get(name, 0.0) + value
    return found


def _part(work: Update, rows: list[int]) -> _Part:
    index = torch.tensor(rows, device=work.advantages.device)
    width = int(work.rollouts.mask[index].sum(dim=-1).max())
    return _Part(
        rows,
        [work.sources[row] for row in rows],
        work.rollouts.tokens[index, :, :width],
        work.rollouts.mask[index, :, :width],
        work.rollouts.actions[index, :, :width],
        None if work.rollouts.limits is None else work.rollouts.limits.of(rows, width),
    )


def _loss_inputs(work: Update, part: _Part, scores: TokenScores) -> LossInputs:
    width = part.tokens.shape[2]
    rollouts, rows, logprobs = work.rollouts, part.rows, scores.logprobs

    def cut(values: torch.Tensor | None) -> torch.Tensor | None:
        return None if values is None else values[rows, :, :width].flatten(0, 1)

    if rollouts.floor is not None:
        # What was sampled from is the policy with exploration mixed in, so that is what learns from the samples.
        mixed = exploring(logprobs, rollouts.floor[rows, :, :width], work.sampling.epsilon)
        logprobs = torch.where(part.actions, mixed, logprobs)
    advantages = work.advantages[rows].flatten(0, 1)
    return LossInputs(
        logprobs=logprobs.flatten(0, 1),
        old_logprobs=rollouts.logprobs[rows, :, :width].flatten(0, 1),
        advantages=advantages if advantages.dim() == 1 else advantages[:, :width],
        mask=part.actions.flatten(0, 1),
        size=work.size,
        tokens=part.tokens.flatten(0, 1),
        rewards=work.rewards[rows].flatten(),
        samples=part.samples,
        forced=cut(rollouts.forced),
        reused=work.reused,
        states=None if scores.states is None else scores.states.flatten(0, 1),
        targets=cut(work.targets),
        values=cut(work.values),
    )


def _corrected(inputs: LossInputs, correction: CorrectionConfig, means: _Means) -> LossInputs:
    """Samples with another program's log-probabilities, weighted by what the policy says of them in this pass."""
    own, behaviour, mask = inputs.logprobs.detach(), inputs.old_logprobs, inputs.mask
    weights = truncated_weights(own, behaviour, mask, correction.cap, correction.level)
    known = weights if correction.level == "sequence" else weights[mask]
    count = known.numel()
    means.add("engine_mismatch", float((own - behaviour).abs().sum()), float(mask.sum()))  # 0 beside the mask
    means.add("engine_truncated", float((known >= correction.cap).sum()), count)
    means.add("engine_weight", float(known.sum()), count)
    means.add("engine_weight_squared", float((known**2).sum()), count)
    return replace(inputs, old_logprobs=own, advantages=weighted(inputs.advantages, weights))


@torch.no_grad()
def _measure(
    policy: Policy, reference: Policy, work: Update, rows: Sequence[int], micro_batch_tokens: int, means: _Means
) -> None:
    """KL of sources that nothing is learnt from: without them it would be that of the others alone, which move most."""
    anchor = reference if work.kl.estimator == "exact" else None
    own = micro_batches(work.rollouts, _fair_share(work.rollouts, rows), micro_batch_tokens)
    for shared, counted in in_step(policy, own, rows[:1]):
        part = _part(work, shared)
        scores = policy.token_scores(
            part.sources,
            part.tokens,
            part.mask,
            work.sampling.temperature,
            anchor=anchor if counted else None,
            limits=part.limits,
        )
        if counted:
            _kl_term(reference, work, part, scores, means)


def _kl_term(reference: Policy, work: Update, part: _Part, scores: TokenScores, means: _Means) -> torch.Tensor:
    """Sum of the weighted KL terms of a micro-batch, over all sequences of the step."""
    mask = part.actions.flatten(0, 1)
    if scores.divergence is not None:
        values = terms = (scores.divergence.flatten(0, 1) * mask).sum(dim=1)
    else:
        with torch.no_grad():
            anchor = reference.token_logprobs(
                part.sources, part.tokens, part.mask, work.sampling.temperature, part.limits
            ).flatten(0, 1)
        own = scores.logprobs.flatten(0, 1)
        if work.kl.estimator == "k1":
            values, terms = divergence.k1(own, anchor, mask), divergence.k1_surrogate(own, anchor, mask, part.samples)
        else:
            values = terms = divergence.k3(own, anchor, mask)
    by_source = values.detach().view(len(part.rows), -1).sum(dim=1).tolist()
    lengths = mask.view(len(part.rows), -1).sum(dim=1).tolist()
    for row, value, length in zip(part.rows, by_source, lengths, strict=True):
        means.add("kl", value, length)
        means.add(f"kl/{work.owners[row]}", value, length)
    weights = torch.tensor([work.kl_weights[row] for row in part.rows], device=terms.device)
    return (terms.view(len(part.rows), -1) * weights[:, None]).sum() / work.size.drawn


def _likelihood(policy: Policy, work: Update, budget: int, scaler: torch.amp.GradScaler) -> float | None:
    """Backward pass of the demonstrations' mean negative log-likelihood, each token weighted by its task's `mle`."""
    if not work.demonstrations:
        return None
    count, total = sum(len(d.target) for d in work.demonstrations), 0.0
    own = within_budget(parallel.share(work.demonstrations), lambda d: len(d.target), budget)
    for part, counted in in_step(policy, own, work.demonstrations[:1]):
        tokens, mask = pad_rows([d.target for d in part], policy.pad_id, policy.device)
        logprobs = policy.token_logprobs([d.source for d in part], tokens, mask)
        if not counted:
            _pass_back(logprobs)
            continue
        weights = torch.tensor([d.weight for d in part], device=policy.device)
        # An unknown character is never said: nothing that is learnt would make it likelier.
        logprobs = torch.where(logprobs == -math.inf, 0.0, logprobs)
        loss = -(logprobs.sum(dim=(1, 2)) * weights).sum() / count
        scaler.scale(loss).backward()
        total += float(-logprobs.detach().sum() / count)
    return sum(parallel.gather(total))


def _pass_back(logprobs: torch.Tensor) -> None:
    """The backward pass of a part that counts nothing, for the processes that make theirs."""
    if logprobs.requires_grad:
        (logprobs * 0.0).sum().backward()
