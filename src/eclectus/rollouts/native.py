"""Our own sampler: exact at plain temperature, log-probabilities captured while sampling.

Each source is encoded once, whatever its number of samples. Samples of a source that agree so far are one row of the
decoder, which branches where they part: a policy that knows what to say needs far fewer rows than it has samples. Rows
whose samples have ended leave the batch, several at a time. All randomness is drawn before the first step, one uniform
number for each (position, source, sample), so a sample does not depend on which others are in the batch.

What the next token of a sample is drawn from is the affair of `choice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from eclectus.errors import RunError
from eclectus.rollouts.base import Among, Sampling, Stepper, Stopped
from eclectus.rollouts.choice import Choice, given_tokens
from eclectus.rollouts.limits import Limits
from eclectus.rollouts.padding import multiple

_LEAVING = 1 / 8
"""Share of the rows that must have ended before they leave: each time, what is cached of the others is copied."""


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
    limits: Limits | None


@torch.inference_mode()
def draw(
    stepper: Stepper,
    sources: int,
    samples: int,
    sampling: Sampling,
    *,
    merged: bool = False,
    grid: int = 1,
    stride: int = 1,
    start: Sequence[int],
    ends: Sequence[int],
    pad: int,
    stopped: Stopped | None = None,
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
        stride: tokens between two looks at which rows have ended, where looking means waiting for a device; until then
            rows that have ended go on for nothing. With `merged` there is a look at every token.
        start: the token before the translation, for each source.
        ends: tokens that end a row; the one that does is recorded.
        pad: token after the end of a row.
        stopped: tells which rows have reached a text that ends a translation. The token that completed it is the last
            one of its row: recorded, masked in, given gradient, like an end token.
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
    length, greedy = sampling.max_length, sampling.temperature == 0
    if not greedy and generator is None:
        raise ValueError("sampling needs a generator; give one seeded from (run seed, step, purpose)")
    # Drawn on the CPU so that a seed means the same samples on every device.
    uniform = None
    if not greedy:
        uniform = _uniform(length, among or Among(range(sources), sources), samples, generator)
        # MPS has no double precision.
        uniform = (uniform.float() if torch.device(device).type == "mps" else uniform).to(device)
    count, stride = sources * samples, 1 if merged else stride
    tokens = torch.full((count, length), pad, dtype=torch.int64, device=device)
    logprobs = torch.zeros(count, length, device=device)
    mask = torch.zeros(count, length, dtype=torch.bool, device=device)
    done = torch.zeros(count, dtype=torch.bool, device=device)
    # The samples in work, which of them have not ended, and the decoder's row that each of them goes on from.
    going = torch.arange(count, device=device)
    alive = torch.ones(count, dtype=torch.bool, device=device)
    row = going // samples if merged else going
    last = torch.tensor(start, dtype=torch.int64, device=device).repeat_interleave(1 if merged else samples)
    end = torch.tensor(ends, dtype=torch.int64, device=device)
    choice = Choice(sampling, count, end, given_tokens(prefixes, samples, device), with_entropy=with_entropy)
    for position in range(length):
        logits = stepper.step(last)
        drawn = None if uniform is None else uniform[position, going]
        chosen, picked = choice(logits, going, row, position, drawn)
        used = position + 1
        tokens[going, position] = chosen.where(alive, pad)
        logprobs[going, position] = picked.where(alive, 0.0)
        mask[going, position] = alive
        alive = alive & (chosen[:, None] != end).all(dim=1)
        if used % stride and used < length:
            last = torch.full_like(last, pad)  # also rows that nobody goes on from, until enough of them may leave
            last[row] = chosen.where(alive, pad)
            continue
        if stopped is not None:
            ended = _ended_by_text(stopped, tokens, logprobs, mask, going, used, position - position % stride, pad)
            alive = alive & ~ended
        done[going] = ~alive
        others = alive.nonzero().squeeze(1)
        if not len(others):
            break
        if used < length:
            going, row, chosen, alive = going[others], row[others], chosen[others], alive[others]
            last, row = _go_on(stepper, len(last), row, chosen, logits.shape[1], pad, merged=merged, grid=grid)
    _check(logprobs)
    choice.forget_behind(mask)
    used = int(mask.any(dim=0).sum())

    def shaped(values: torch.Tensor) -> torch.Tensor:
        return values[:, :used].unflatten(0, (sources, samples))

    mask, limits = shaped(mask), choice.limits
    return Drawn(
        shaped(tokens),
        shaped(logprobs),
        mask,
        done.view(sources, samples),
        choice.entropy.sum(dim=-1).view(sources, samples) / mask.sum(dim=-1).clamp(min=1),
        None if choice.floor is None else shaped(choice.floor),
        None if choice.forced is None else shaped(choice.forced),
        None if limits is None else Limits(shaped(limits.ids), limits.only),
    )


def _ended_by_text(
    stopped: Stopped,
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
    mask: torch.Tensor,
    going: torch.Tensor,
    used: int,
    since: int,
    pad: int,
) -> torch.Tensor:
    """Which of the samples in work a text has ended since a position, bool [n].

    What such a sample said after its end, while nobody looked, is taken out of tokens, log-probabilities and mask.
    """
    own = mask[going, :used]
    said = [row[:length] for row, length in zip(tokens[going, :used].tolist(), own.sum(dim=1).tolist(), strict=True)]
    ends = [used if end is None else end for end in stopped(said, since)]
    if any(end + 1 < len(row) for end, row in zip(ends, said, strict=True)):
        own &= torch.arange(used, device=own.device) <= torch.tensor(ends, device=own.device)[:, None]
        mask[going, :used] = own
        tokens[going, :used] = tokens[going, :used].where(own, pad)
        logprobs[going, :used] = logprobs[going, :used].where(own, 0.0)
    return torch.tensor([end < used for end in ends], device=own.device)


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
            new = multiple(len(more) - len(free), grid)
            places = torch.cat([free, torch.arange(rows, rows + new).to(row)])
            stepper.branch(torch.cat([more, more[-1:].expand(len(places) - len(more))]), places)
            rows += new
            going = before.masked_scatter(parting, places[: len(more)])
        row = going[of]
    last = torch.full((rows,), pad, dtype=torch.int64, device=row.device)
    last[going] = tokens
    wanted = min(rows, multiple(len(going), grid))
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


def _uniform(length: int, among: Among, samples: int, generator: torch.Generator | None) -> torch.Tensor:
    """float64 [length, sources * samples], the part of the larger batch's numbers that is the sources'."""
    numbers = torch.rand(length, among.count, samples, generator=generator, dtype=torch.float64)
    return numbers[:, list(among.places)].flatten(1)


def _check(logprobs: torch.Tensor) -> None:
    if not logprobs.isfinite().all():
        raise RunError(
            "sampling: the model's probabilities are not numbers any more, so its training has diverged; start again"
            " from an earlier checkpoint with a lower learning_rate"
        )
