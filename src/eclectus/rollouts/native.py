"""Our own sampler: exact at plain temperature, log-probabilities captured while sampling.

Each source is encoded once, whatever its number of samples. Samples of a source that agree so far are one row of the
decoder, which branches where they part: a policy that knows what to say needs far fewer rows than it has samples. Rows
whose samples have ended leave the batch, several at a time. All randomness is drawn before the first step, one uniform
number for each (position, source, sample), so a sample does not depend on which others are in the batch.

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
from eclectus.rollouts.room import Room

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
    merged: bool = False,
    grid: int = 1,
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
        stepper: the policy's decoder, holding `samples` rows of each source, or one where they are merged.
        merged: samples of a source are one row for as long as they agree.
        grid: rows leave and come in such numbers that a multiple of this is in work, where a new number of rows costs
            more than idle ones.
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
    # The samples that have not ended, and the decoder's row that each of them goes on from.
    going = torch.arange(count, device=device)
    row = going // samples if merged else going
    last = torch.tensor(start, dtype=torch.int64, device=device).repeat_interleave(1 if merged else samples)
    end = torch.tensor(ends, dtype=torch.int64, device=device)
    converted, normalised = Room(), Room()
    used = 0
    for position in range(length):
        logits = _single(stepper.step(last), converted)
        drawn = None if uniform is None else uniform[position].view(-1)[going.cpu()].to(device)
        if plain and drawn is not None:
            scaled = logits if sampling.temperature == 1 else logits.div_(sampling.temperature)
            probabilities = torch.softmax(scaled, dim=-1, out=normalised.take(logits.shape, logits))
            chosen = _inverse_cdf(probabilities, row, drawn)
            picked = probabilities[row, chosen].log()
        else:
            scores = policy_scores = torch.log_softmax(logits if greedy else logits / sampling.temperature, dim=-1)
            if floor is not None:
                added = exploration(policy_scores, sampling)
                scores = exploring(policy_scores, added, sampling.epsilon)
            chosen = scores.argmax(dim=-1)[row] if drawn is None else _inverse_cdf(scores.exp(), row, drawn)
            if given is not None and forced is not None and position < given.shape[1]:
                wanted = given[going, position]
                following = (wanted >= 0) & (forced[going, position - 1] if position else True)
                following &= policy_scores[row, wanted.clamp(min=0)].isfinite()
                chosen = torch.where(following, wanted, chosen)
                forced[going, position] = following
            picked = scores[row, chosen]
            if floor is not None:
                floor[going, position] = added[row, chosen]
            if with_entropy:
                surprise = -(policy_scores.exp() * policy_scores.clamp(min=-1e4)).sum(dim=-1)
                entropy[going] += surprise[row]
        used = position + 1
        tokens[going, position] = chosen
        logprobs[going, position] = picked
        mask[going, position] = True
        ended = (chosen[:, None] == end).any(dim=1)
        if stopped is not None:
            ended |= stopped(tokens[going, :used])
        done[going] = ended
        left = (~ended).nonzero().squeeze(1)
        if not len(left):
            break
        if position + 1 < length:
            going, row, chosen = going[left], row[left], chosen[left]
            last, row = _go_on(stepper, len(last), row, chosen, logits.shape[1], pad, merged=merged, grid=grid)
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


def _single(logits: torch.Tensor, room: Room) -> torch.Tensor:
    """The logits in single precision, in `room` where they had another."""
    if logits.dtype == torch.float32:
        return logits
    return room.take(logits.shape, torch.empty(0, device=logits.device)).copy_(logits)


def _go_on(
    stepper: Stepper,
    rows: int,
    row: torch.Tensor,
    chosen: torch.Tensor,
    vocabulary: int,
    pad: int,
    *,
    merged: bool,
    grid: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Have the decoder's rows follow the samples.

    Args:
        rows: of the decoder.
        row, chosen: int64 [n], for each sample that goes on its row and its next token.

    Returns:
        the last token of each of the decoder's rows, and the samples' rows now.
    """
    going, tokens = row, chosen
    if merged:
        pairs, of = torch.unique(row * vocabulary + chosen, return_inverse=True)
        before, tokens = pairs // vocabulary, pairs % vocabulary
        # Of those that part, the first goes on in their row, the others in rows that nobody needs, or new ones.
        parting = torch.zeros_like(before, dtype=torch.bool)
        parting[1:] = before[1:] == before[:-1]
        going = before
        if parting.any():
            more = before[parting]
            free = _idle(rows, before)[: len(more)]
            new = _multiple(len(more) - len(free), grid)
            places = torch.cat([free, torch.arange(rows, rows + new).to(row)])
            stepper.branch(torch.cat([more, more[-1:].expand(len(places) - len(more))]), places)
            rows += new
            going = before.masked_scatter(parting, places[: len(more)])
        row = going[of]
    last = torch.full((rows,), pad, dtype=torch.int64, device=row.device)
    last[going] = tokens
    wanted = min(rows, _multiple(len(going), grid))
    if rows - wanted >= _LEAVING * rows:
        spare = _idle(rows, going)[: wanted - len(going)]
        kept = torch.cat([going, spare]).sort().values
        stepper.keep(kept)
        number = torch.empty_like(last)
        number[kept] = torch.arange(len(kept), device=row.device)
        last, row = last[kept], number[row]
    return last, row


def _idle(rows: int, going: torch.Tensor) -> torch.Tensor:
    """Of so many rows those that nobody goes on from, int64."""
    idle = torch.ones(rows, dtype=torch.bool, device=going.device)
    idle[going] = False
    return idle.nonzero().squeeze(1)


def _multiple(count: int, grid: int) -> int:
    return -(-count // grid) * grid


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


def _inverse_cdf(probabilities: torch.Tensor, row: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Sample one index for each of n samples: the first whose cumulative probability exceeds its `uniform`.

    One random number per sample; drawing one for each word of the vocabulary, as `torch.multinomial` does, costs
    several times more. The sum is made block by block, and word by word only within the block that is met. A token of
    probability zero can never be the first to exceed.

    Args:
        probabilities: [N, V]; row: int64 [n], whose probabilities are the sample's; uniform: float64 [n].
    """
    vocabulary = probabilities.shape[1]
    whole = vocabulary - vocabulary % _BLOCK
    sums = probabilities[:, :whole].unflatten(1, (-1, _BLOCK)).sum(dim=-1)
    if whole < vocabulary:
        sums = torch.cat([sums, probabilities[:, whole:].sum(dim=-1, keepdim=True)], dim=1)
    cumulative = sums.cumsum(dim=-1)[row]
    threshold = _below(uniform[:, None] * cumulative[:, -1:], cumulative)
    block = torch.searchsorted(cumulative, threshold, right=True)
    before = torch.where(block > 0, cumulative.gather(1, (block - 1).clamp(min=0)), 0.0)
    columns = block * _BLOCK + torch.arange(_BLOCK, device=block.device)
    outside = columns >= vocabulary
    inside = probabilities[row[:, None], columns.clamp(max=vocabulary - 1)].masked_fill_(outside, 0.0).cumsum(dim=-1)
    found = block * _BLOCK + torch.searchsorted(inside, _below(threshold - before, inside), right=True)
    return found.squeeze(1).clamp_(max=vocabulary - 1)  # nothing exceeds where probabilities are no numbers


def _below(threshold: torch.Tensor, cumulative: torch.Tensor) -> torch.Tensor:
    """The threshold [N, 1] where something exceeds it: rounding may lift it to the total itself."""
    total = cumulative[:, -1:]
    return torch.minimum(threshold.to(total.dtype), torch.nextafter(total, torch.zeros_like(total)))
