"""Our own sampler: exact at plain temperature, log-probabilities captured while sampling.

Each source is encoded once, whatever its number of samples. Sources of which every sample has ended leave the batch.
All randomness is drawn before the first step, one uniform number for each (position, source, sample), so a sample
does not depend on which other sources are in the batch.

Left out on purpose: top-k and top-p that cut tokens off, and beam search. A token without probability is never tried,
so nothing is learnt of it, and which tokens are cut off changes with each update. Exploration here adds to the policy:
what is drawn from is (1 - epsilon) * policy + epsilon * uniform over the k likeliest, and that is what is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from eclectus.rollouts.base import Sampling, Stepper, exploring


@dataclass
class Drawn:
    """Token-level result of `draw`; shapes as in `Rollouts`, and the mean entropy per token in nats, [B, G]."""

    tokens: torch.Tensor
    logprobs: torch.Tensor
    mask: torch.Tensor
    finished: torch.Tensor
    entropy: torch.Tensor
    floor: torch.Tensor | None
    forced: torch.Tensor | None


@torch.inference_mode()
def draw(
    stepper: Stepper,
    sources: int,
    samples: int,
    sampling: Sampling,
    *,
    start: Sequence[int],
    ends: Sequence[int],
    pad: int,
    stopped: Callable[[torch.Tensor], torch.Tensor] | None = None,
    generator: torch.Generator | None = None,
    prefixes: Sequence[Sequence[int]] | None = None,
    with_entropy: bool = False,
    device: torch.device | str = "cpu",
) -> Drawn:
    """Draw `samples` token sequences for each of `sources` sources.

    Args:
        stepper: the policy's decoder, holding `sources * samples` rows.
        start: the token before the translation, for each source.
        ends: tokens that end a row; the one that does is recorded.
        pad: token after the end of a row.
        stopped: tells which rows of tokens [n, t] have just reached a text that ends a translation. The token that
            completed it is the last one of its row: recorded, masked in, given gradient, like an end token.
        generator: source of the uniform numbers; required unless `sampling.temperature` is 0 (greedy).
        prefixes: for each source, tokens that its samples begin with; from the first that the policy can never say on,
            tokens are drawn.
        with_entropy: also measure the entropy of each distribution met on the way (0 otherwise).

    Returns:
        tokens, log-probabilities and mask [B, G, T], finished and entropy [B, G], on `device`.
    """
    length = sampling.max_length
    greedy = sampling.temperature == 0
    if not greedy and generator is None:
        raise ValueError("sampling needs a generator; give one seeded from (run seed, step, purpose)")
    # Drawn on the CPU so that a seed means the same samples on every device.
    uniform = None if greedy else torch.rand(length, sources, samples, generator=generator, dtype=torch.float64)
    tokens = torch.full((sources, samples, length), pad, dtype=torch.int64, device=device)
    logprobs = torch.zeros(sources, samples, length, device=device)
    mask = torch.zeros(sources, samples, length, dtype=torch.bool, device=device)
    entropy = torch.zeros(sources, samples, device=device)
    floor = torch.zeros_like(logprobs) if sampling.epsilon and not greedy else None
    given = None if prefixes is None else _padded(prefixes, device)
    forced = None if given is None else torch.zeros_like(mask)
    done = torch.zeros(sources, samples, dtype=torch.bool, device=device)
    active = torch.arange(sources, device=device)
    last = torch.tensor(start, dtype=torch.int64, device=device).repeat_interleave(samples)
    end = torch.tensor(ends, dtype=torch.int64, device=device)
    used = 0
    for position in range(length):
        logits = stepper.step(last).float()
        if greedy:
            scores = policy_scores = torch.log_softmax(logits, dim=-1)
            chosen = scores.argmax(dim=-1)
        else:
            scores = policy_scores = torch.log_softmax(logits / sampling.temperature, dim=-1)
            if floor is not None:
                added = exploration(policy_scores, sampling)
                scores = exploring(policy_scores, added, sampling.epsilon)
            chosen = _inverse_cdf(scores, uniform[position, active.cpu()].reshape(-1).to(device))  # type: ignore[index]
        used = position + 1
        running = ~done[active]
        if given is not None and forced is not None and position < given.shape[1]:
            wanted = given[active, position].repeat_interleave(samples)
            following = (wanted >= 0) & (forced[active, :, position - 1].view(-1) if position else True)
            following &= policy_scores.gather(1, wanted.clamp(min=0)[:, None]).squeeze(1).isfinite()
            chosen = torch.where(following, wanted, chosen)
            forced[active, :, position] = following.view(-1, samples) & running
        picked = scores.gather(1, chosen[:, None]).view(-1, samples)
        if floor is not None:
            floor[active, :, position] = added.gather(1, chosen[:, None]).view(-1, samples) * running
        chosen = chosen.view(-1, samples)
        tokens[active, :, position] = torch.where(running, chosen, pad)
        logprobs[active, :, position] = torch.where(running, picked, 0.0)
        mask[active, :, position] = running
        if with_entropy:
            surprise = -(policy_scores.exp() * policy_scores.clamp(min=-1e4)).sum(dim=-1).view(-1, samples)
            entropy[active] += torch.where(running, surprise, 0.0)
        ended = torch.isin(chosen, end)
        if stopped is not None:
            ended[running] |= stopped(tokens[active, :, :used][running])
        done[active] |= ended
        open_sources = ~done[active].all(dim=1)
        if not open_sources.any():
            break
        if not open_sources.all():
            index = open_sources.nonzero().squeeze(1)
            stepper.keep(index)
            active, chosen = active[index], chosen[index]
        last = chosen.reshape(-1)
    mask = mask[..., :used]
    return Drawn(
        tokens[..., :used],
        logprobs[..., :used],
        mask,
        done,
        entropy / mask.sum(dim=-1).clamp(min=1),
        None if floor is None else floor[..., :used],
        None if forced is None else forced[..., :used],
    )


def _padded(prefixes: Sequence[Sequence[int]], device: torch.device | str) -> torch.Tensor:
    """int64 [B, P], -1 after the end of each prefix."""
    width = max((len(prefix) for prefix in prefixes), default=0)
    rows = [[*prefix, *([-1] * (width - len(prefix)))] for prefix in prefixes]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(rows), width)


def exploration(logprobs: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Probability [N, V] that exploration adds: epsilon / k on each of the k likeliest tokens that can be said."""
    vocabulary = logprobs.shape[-1]
    values, places = logprobs.topk(min(sampling.top_k or vocabulary, vocabulary), dim=-1)
    possible = values.isfinite()
    share = sampling.epsilon * possible / possible.sum(dim=-1, keepdim=True)
    return torch.zeros_like(logprobs).scatter_(1, places, share)


def _inverse_cdf(logprobs: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample one index per row: the first whose cumulative probability exceeds `uniform`.

    One random number and one cumulative sum per row; drawing a random number for each word of the vocabulary, as
    `torch.multinomial` does, costs several times more. A token of probability zero can never be the first to exceed.
    """
    cumulative = logprobs.exp().cumsum(dim=-1)
    total = cumulative[:, -1:]
    threshold = (uniform[:, None] * total).to(cumulative.dtype)
    # Rounding may lift the threshold to the total itself, which nothing exceeds.
    threshold = torch.minimum(threshold, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, threshold, right=True).squeeze(1)
