"""Our own sampler: exact at plain temperature, log-probabilities captured while sampling.

Each source is encoded once, whatever its number of samples. Samples that have ended leave the batch, several at a time.
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

from eclectus.errors import RunError
from eclectus.rollouts.base import Among, Sampling, Stepper, exploring

_LEAVING = 1 / 8
"""Share of the rows that must have ended before they leave: each time, what is cached of the others is copied."""

_BLOCK = 64
"""Words of the vocabulary whose probabilities are summed before one of them is looked for."""


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
    among: Among | None = None,
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
        among: the sources are some of a larger batch, and their samples those that they would have there.
        with_entropy: also measure the entropy of each distribution met on the way (0 otherwise).

    Returns:
        tokens, log-probabilities and mask [B, G, T], finished and entropy [B, G], on `device`.

    Raises:
        RunError: the policy's probabilities are not numbers.
    """
    length = sampling.max_length
    greedy = sampling.temperature == 0
    if not greedy and generator is None:
        raise ValueError("sampling needs a generator; give one seeded from (run seed, step, purpose)")
    # Drawn on the CPU so that a seed means the same samples on every device.
    uniform = None if greedy else _uniform(length, among or Among(range(sources), sources), samples, generator)
    count = sources * samples
    tokens = torch.full((count, length), pad, dtype=torch.int64, device=device)
    logprobs = torch.zeros(count, length, device=device)
    mask = torch.zeros(count, length, dtype=torch.bool, device=device)
    entropy = torch.zeros(count, device=device)
    floor = torch.zeros_like(logprobs) if sampling.epsilon and not greedy else None
    given = None if prefixes is None else _padded(prefixes, device).repeat_interleave(samples, dim=0)
    forced = None if given is None else torch.zeros_like(mask)
    plain = not greedy and floor is None and given is None and not with_entropy
    done = torch.zeros(count, dtype=torch.bool, device=device)
    # The rows in work, and which of them have not ended.
    rows, running = torch.arange(count, device=device), torch.ones_like(done)
    last = torch.tensor(start, dtype=torch.int64, device=device).repeat_interleave(samples)
    end = torch.tensor(ends, dtype=torch.int64, device=device)
    used = 0
    for position in range(length):
        logits = stepper.step(last).float()
        drawn = None if uniform is None else uniform[position].view(-1)[rows.cpu()].to(device)
        if plain and drawn is not None:
            probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
            chosen = _inverse_cdf(probabilities, drawn)
            picked = probabilities.gather(1, chosen[:, None]).squeeze(1).log()
        else:
            scores = policy_scores = torch.log_softmax(logits if greedy else logits / sampling.temperature, dim=-1)
            if floor is not None:
                added = exploration(policy_scores, sampling)
                scores = exploring(policy_scores, added, sampling.epsilon)
            chosen = scores.argmax(dim=-1) if drawn is None else _inverse_cdf(scores.exp(), drawn)
            if given is not None and forced is not None and position < given.shape[1]:
                wanted = given[rows, position]
                following = (wanted >= 0) & (forced[rows, position - 1] if position else True)
                following &= policy_scores.gather(1, wanted.clamp(min=0)[:, None]).squeeze(1).isfinite()
                chosen = torch.where(following, wanted, chosen)
                forced[rows, position] = following & running
            picked = scores.gather(1, chosen[:, None]).squeeze(1)
            if floor is not None:
                floor[rows, position] = added.gather(1, chosen[:, None]).squeeze(1) * running
            if with_entropy:
                surprise = -(policy_scores.exp() * policy_scores.clamp(min=-1e4)).sum(dim=-1)
                entropy[rows] += torch.where(running, surprise, 0.0)
        used = position + 1
        tokens[rows, position] = torch.where(running, chosen, pad)
        logprobs[rows, position] = torch.where(running, picked, 0.0)
        mask[rows, position] = running
        ended = (chosen[:, None] == end).any(dim=1)
        if stopped is not None:
            ended[running] |= stopped(tokens[rows, :used][running])
        running = running & ~ended
        left = running.nonzero().squeeze(1)
        if not len(left):
            done[rows] = True
            break
        if len(rows) - len(left) >= _LEAVING * len(rows):
            stepper.keep(left)
            done[rows] = ~running
            rows, running, chosen = rows[left], running[left], chosen[left]
        last = chosen
    else:
        done[rows] = ~running
    _check(logprobs)

    def shaped(values: torch.Tensor) -> torch.Tensor:
        return values[:, :used].view(sources, samples, used)

    mask = shaped(mask)
    return Drawn(
        shaped(tokens),
        shaped(logprobs),
        mask,
        done.view(sources, samples),
        entropy.view(sources, samples) / mask.sum(dim=-1).clamp(min=1),
        None if floor is None else shaped(floor),
        None if forced is None else shaped(forced),
    )


def _uniform(length: int, among: Among, samples: int, generator: torch.Generator | None) -> torch.Tensor:
    """float64 [length, sources, samples], the part of the larger batch's numbers that is the sources'."""
    numbers = torch.rand(length, among.count, samples, generator=generator, dtype=torch.float64)
    return numbers[:, list(among.places)]


def _check(logprobs: torch.Tensor) -> None:
    if not logprobs.isfinite().all():
        raise RunError(
            "sampling: the model's probabilities are not numbers any more, so its training has diverged; start again"
            " from an earlier checkpoint with a lower learning_rate"
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


def _inverse_cdf(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample one index per row of [N, V]: the first whose cumulative probability exceeds `uniform`.

    One random number per row; drawing one for each word of the vocabulary, as `torch.multinomial` does, costs several
    times more. The sum is made block by block, and word by word only within the block that is met. A token of
    probability zero can never be the first to exceed.
    """
    vocabulary = probabilities.shape[1]
    whole = vocabulary - vocabulary % _BLOCK
    sums = probabilities[:, :whole].unflatten(1, (-1, _BLOCK)).sum(dim=-1)
    if whole < vocabulary:
        sums = torch.cat([sums, probabilities[:, whole:].sum(dim=-1, keepdim=True)], dim=1)
    cumulative = sums.cumsum(dim=-1)
    threshold = _below(uniform[:, None] * cumulative[:, -1:], cumulative)
    block = torch.searchsorted(cumulative, threshold, right=True)
    before = torch.where(block > 0, cumulative.gather(1, (block - 1).clamp(min=0)), 0.0)
    columns = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
    outside = columns >= vocabulary
    inside = probabilities.gather(1, columns.clamp(max=vocabulary - 1)).masked_fill_(outside, 0.0).cumsum(dim=-1)
    found = block * _BLOCK + torch.searchsorted(inside, _below(threshold - before, inside), right=True)
    return found.squeeze(1).clamp_(max=vocabulary - 1)  # nothing exceeds where probabilities are no numbers


def _below(threshold: torch.Tensor, cumulative: torch.Tensor) -> torch.Tensor:
    """The threshold [N, 1] where something exceeds it: rounding may lift it to the total itself."""
    total = cumulative[:, -1:]
    return torch.minimum(threshold.to(total.dtype), torch.nextafter(total, torch.zeros_like(total)))
