"""The backward pass of one step, in micro-batches whose cut does not change the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from eclectus.algorithms.base import Algorithm
from eclectus.algorithms.losses import LossInputs, StepSize, kl_k3
from eclectus.policies.base import Policy
from eclectus.policies.padding import pad_rows
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts


@dataclass(frozen=True)
class Update:
    """What one step hands to the backward pass: B sources, G samples each.

    Args:
        sources: one for each row of the rollouts.
        rollouts: see `Rollouts`.
        advantages: [B, G]; a source whose advantages are all 0 is skipped.
        kl_weights, mle_weights: for each source.
        references: target text for the likelihood term, or None.
        size: divisors of the whole step.
        temperature: as in sampling.
        measure_kl: measure KL also where its weight is 0.
    """

    sources: Sequence[Source]
    rollouts: Rollouts
    advantages: torch.Tensor
    kl_weights: Sequence[float]
    mle_weights: Sequence[float]
    references: Sequence[str | None]
    size: StepSize
    temperature: float
    measure_kl: bool


def accumulate(
    policy: Policy, reference: Policy, algorithm: Algorithm, work: Update, micro_batch_tokens: int
) -> dict[str, float]:
    """Add the gradient of one step to the policy's parameters; returns metrics of the step."""
    sums = {"loss": 0.0}
    kl_sum, kl_tokens = 0.0, 0
    signal = (work.advantages.abs().amax(dim=1) > 0).tolist()
    for rows in _micro_batches(work, signal, micro_batch_tokens):
        index = torch.tensor(rows, device=work.advantages.device)
        width = int(work.rollouts.mask[index].sum(dim=-1).max())
        tokens = work.rollouts.tokens[index, :, :width]
        mask = work.rollouts.mask[index, :, :width]
        sources = [work.sources[row] for row in rows]
        logprobs = policy.token_logprobs(sources, tokens, mask, work.temperature)
        inputs = LossInputs(
            logprobs=logprobs.flatten(0, 1),
            old_logprobs=work.rollouts.logprobs[index, :, :width].flatten(0, 1),
            advantages=work.advantages[index].flatten(),
            mask=mask.flatten(0, 1),
            size=work.size,
        )
        loss, metrics = algorithm.loss(inputs)
        weights = torch.tensor([work.kl_weights[row] for row in rows], device=loss.device)
        wanted = (torch.ones_like(weights, dtype=torch.bool) if work.measure_kl else weights > 0).nonzero().squeeze(1)
        if len(wanted):
            part = wanted.tolist()
            with torch.no_grad():
                anchor = reference.token_logprobs(
                    [sources[i] for i in part], tokens[wanted], mask[wanted], work.temperature
                )
            kl = kl_k3(logprobs[wanted].flatten(0, 1), anchor.flatten(0, 1), mask[wanted].flatten(0, 1))
            loss = loss + (kl.view(len(part), -1) * weights[wanted][:, None]).sum() / work.size.sequences
            kl_sum, kl_tokens = kl_sum + float(kl.detach().sum()), kl_tokens + int(mask[wanted].sum())
        loss.backward()
        sums["loss"] += float(loss.detach())
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + value
    if kl_tokens:
        sums["kl"] = kl_sum / kl_tokens
    likelihood = _likelihood(policy, work)
    if likelihood is not None:
        sums["mle_loss"] = likelihood
    return sums


def _likelihood(policy: Policy, work: Update) -> float | None:
    """Backward pass of the mean negative log-likelihood of the references, each token weighted by its task's `mle`."""
    rows = [row for row, text in enumerate(work.references) if text is not None and work.mle_weights[row] > 0]
    if not rows:
        return None
    targets = policy.tokenize_targets([work.references[row] or "" for row in rows])
    tokens, mask = pad_rows(targets, policy.pad_id, policy.device)
    logprobs = policy.token_logprobs([work.sources[row] for row in rows], tokens, mask)
    weights = torch.tensor([work.mle_weights[row] for row in rows], device=policy.device)
    loss = -(logprobs.sum(dim=(1, 2)) * weights).sum() / mask.sum()
    loss.backward()
    return float(-logprobs.detach().sum() / mask.sum())


def _micro_batches(work: Update, signal: Sequence[bool], budget: int) -> Iterator[list[int]]:
    """Sources with signal, samples of like length together, at most `budget` padded target tokens at once."""
    samples = work.rollouts.tokens.shape[1]
    lengths = work.rollouts.mask.sum(dim=-1).amax(dim=1).tolist()
    rows: list[int] = []
    for row in sorted((r for r, wanted in enumerate(signal) if wanted), key=lambda r: (lengths[r], r)):
        if rows and (len(rows) + 1) * samples * lengths[row] > budget:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows
