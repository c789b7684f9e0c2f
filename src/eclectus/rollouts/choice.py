"""What the next token of each sample is: drawn from the policy, the likeliest, or given.

Exploration adds to the policy: what is drawn from is (1 - epsilon) * policy + epsilon * uniform over the k likeliest.
Top-k, top-p and a least length take away from it. What is recorded is the probability that a token was drawn with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eclectus.rollouts.base import Sampling, exploring
from eclectus.rollouts.limits import Limits, truncated
from eclectus.rollouts.workspace import Workspace

_BLOCK = 64
"""Words of the vocabulary whose probabilities are summed before one of them is looked for."""


class Choice:
    """Chooses the next token of samples, and keeps what is to be known of it beside its log-probability.

    Args:
        count: samples.
        end: int64 [E], tokens that end a translation.
        given: int64 [count, P], tokens that each sample begins with, -1 after them; None: nothing is given.
        with_entropy: measure the entropy of each distribution met on the way.

    Attributes:
        entropy: [count, T], of the distributions met, in nats.
        floor, forced: [count, T], see `Rollouts`.

    Raises:
        ValueError: tokens are to be cut off that exploration adds, or that are given.
    """

    def __init__(
        self,
        sampling: Sampling,
        count: int,
        end: torch.Tensor,
        given: torch.Tensor | None = None,
        *,
        with_entropy: bool = False,
    ) -> None:
        self.sampling, self._end, self._given, self._with_entropy = sampling, end, given, with_entropy
        shape, device = (count, sampling.max_length), end.device
        greedy = sampling.temperature == 0
        self._cuts = not greedy and (sampling.top_k > 0 or sampling.top_p < 1)
        self.entropy = torch.zeros(shape, device=device)
        self.floor = torch.zeros(shape, device=device) if sampling.epsilon and not greedy else None
        self.forced = None if given is None else torch.zeros(shape, dtype=torch.bool, device=device)
        self._plain = given is None and not with_entropy
        if self._cuts and not (self._plain and self.floor is None):
            raise ValueError("top_k and top_p go neither with epsilon nor with prefixes, whose tokens may be cut off")
        self._left: torch.Tensor | None = None
        self._converted, self._normalised = Workspace(), Workspace()

    def __call__(
        self, logits: torch.Tensor, going: torch.Tensor, row: torch.Tensor, position: int, drawn: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of n samples, int64 [n], and its log-probability, float32 [n].

        Args:
            logits: [N, V], overwritten.
            going: int64 [n], the samples' numbers; row: int64 [n], whose logits are theirs.
            position: of the token, from 0.
            drawn: float64 [n], uniform numbers; None: the likeliest token.
        """
        logits = _single(logits, self._converted)
        if position + 1 < self.sampling.min_length:
            logits[:, self._end] = float("-inf")
        if drawn is None or not self._plain:
            return self._by_scores(logits, going, row, position, drawn)
        if self._cuts:
            return self._among_the_likeliest(logits, going, row, position, drawn)
        probabilities = self._probabilities(logits)
        if self.floor is not None:
            added = exploration(logits, self.sampling)
            probabilities.mul_(1 - self.sampling.epsilon).add_(added)
        chosen = inverse_cdf(probabilities, row, drawn)
        if self.floor is not None:
            self.floor[going, position] = added[row, chosen]
        return chosen, probabilities[row, chosen].log()

    def forget_behind(self, mask: torch.Tensor) -> None:
        """Forget what was met after the end of a sample; mask: bool [count, T]."""
        self.entropy.masked_fill_(~mask, 0.0)
        if self.floor is not None:
            self.floor.masked_fill_(~mask, 0.0)
        if self.forced is not None:
            self.forced &= mask
        if self._left is not None:
            self._left.masked_fill_(~mask[..., None], -1)

    @property
    def limits(self) -> Limits | None:
        """What each token could be; ids [count, T, K]."""
        if self._left is not None:
            return Limits(self._left, only=True)
        if self.sampling.min_length <= 1 or self.sampling.temperature == 0:
            return None
        early = torch.arange(self.sampling.max_length, device=self._end.device) + 1 < self.sampling.min_length
        barred = torch.where(early[:, None], self._end, -1).to(torch.int32)
        return Limits(barred.expand(len(self.entropy), *barred.shape), only=False)

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The policy's, [N, V], good until the next token; the logits are divided in place."""
        temperature = self.sampling.temperature
        scaled = logits if temperature == 1 else logits.div_(temperature)
        return torch.softmax(scaled, dim=-1, out=self._normalised.take(logits.shape, logits))

    def _among_the_likeliest(
        self, logits: torch.Tensor, going: torch.Tensor, row: torch.Tensor, position: int, drawn: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, scores = truncated(self._probabilities(logits), self.sampling.top_k, self.sampling.top_p)
        if self._left is None:
            shape = len(self.entropy), self.sampling.max_length, tokens.shape[1]
            self._left = torch.full(shape, -1, dtype=torch.int32, device=tokens.device)
        self._left[going, position] = tokens.masked_fill(scores.isneginf(), -1).to(torch.int32)[row]
        place = inverse_cdf(scores.exp(), row, drawn)
        return tokens[row, place], scores[row, place]

    def _by_scores(
        self, logits: torch.Tensor, going: torch.Tensor, row: torch.Tensor, position: int, drawn: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sampling = self.sampling
        scores = policy = torch.log_softmax(logits if drawn is None else logits / sampling.temperature, dim=-1)
        added = None
        if self.floor is not None:
            added = exploration(policy, sampling)
            scores = exploring(policy, added, sampling.epsilon)
        chosen = scores.argmax(dim=-1)[row] if drawn is None else inverse_cdf(scores.exp(), row, drawn)
        if self._given is not None and self.forced is not None and position < self._given.shape[1]:
            wanted = self._given[going, position]
            following = (wanted >= 0) & (self.forced[going, position - 1] if position else True)
            following &= policy[row, wanted.clamp(min=0)].isfinite()
            chosen = torch.where(following, wanted, chosen)
            self.forced[going, position] = following
        if self.floor is not None and added is not None:
            self.floor[going, position] = added[row, chosen]
        if self._with_entropy:
            self.entropy[going, position] = -(policy.exp() * policy.clamp(min=-1e4)).sum(dim=-1)[row]
        return chosen, scores[row, chosen]


def given_tokens(
    prefixes: Sequence[Sequence[int]] | None, samples: int, device: torch.device | str
) -> torch.Tensor | None:
    """What each of `samples` samples of each source begins with, int64 [B * G, P], -1 after the end of each prefix."""
    if prefixes is None:
        return None
    width = max((len(prefix) for prefix in prefixes), default=0)
    rows = [[*prefix, *([-1] * (width - len(prefix)))] for prefix in prefixes]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(rows), width).repeat_interleave(samples, dim=0)


def _single(logits: torch.Tensor, workspace: Workspace) -> torch.Tensor:
    """The logits in single precision, in `workspace` where they had another."""
    if logits.dtype == torch.float32:
        return logits
    return workspace.take(logits.shape, torch.empty(0, device=logits.device)).copy_(logits)


def exploration(scores: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Probability [N, V] that exploration adds: epsilon / k on each of the k likeliest tokens that can be said.

    Args:
        scores: [N, V], logits or log-probabilities, minus infinity for what cannot be said.
    """
    if not 0 < sampling.explore_k < scores.shape[-1]:
        possible = scores.isfinite()
        return possible * (sampling.epsilon / possible.sum(dim=-1, keepdim=True))
    values, places = scores.topk(sampling.explore_k, dim=-1)
    possible = values.isfinite()
    share = sampling.epsilon * possible / possible.sum(dim=-1, keepdim=True)
    return torch.zeros_like(scores).scatter_(1, places, share)


def inverse_cdf(probabilities: torch.Tensor, row: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
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
