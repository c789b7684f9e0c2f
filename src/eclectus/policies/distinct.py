"""The samples of a step without repetitions: a policy that is sure of itself says the same several times.

Log-probabilities, and all else that a policy says of a translation, are the same for equal samples of a source. They
are computed once and handed to each, and the gradients of all go back through the one: nothing changes but the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Distinct:
    """The n different ones among G samples of each of B sources, in the order of the sources.

    Args:
        tokens: int64 [n, T]; mask: bool [n, T].
        owners: int64 [n], the source of each.
        places: int64 [B * G], which of them each sample is; None: each is one of its own.
        first: int64 [n], the first sample that each of them is; None where `places` is.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    owners: torch.Tensor
    places: torch.Tensor | None
    first: torch.Tensor | None = None

    @classmethod
    def of(cls, tokens: torch.Tensor, mask: torch.Tensor, *, merge: bool) -> Distinct:
        """The different ones of `tokens` [B, G, T], as far as `mask` reaches; all of them without `merge`."""
        sources, samples, _ = tokens.shape
        rows, kept = tokens.flatten(0, 1), mask.flatten(0, 1)
        owners = torch.arange(sources, device=tokens.device).repeat_interleave(samples)
        if not merge or samples == 1:
            return cls(rows, kept, owners, None)
        known: dict[tuple[int, ...], int] = {}
        first: list[int] = []
        places: list[int] = []
        for number, row in enumerate(rows.masked_fill(~kept, -1).tolist()):
            place = known.setdefault((number // samples, *row), len(first))
            if place == len(first):
                first.append(number)
            places.append(place)
        index = torch.tensor(first, device=tokens.device)
        return cls(rows[index], kept[index], owners[index], torch.tensor(places, device=tokens.device), index)

    def chosen(self, values: torch.Tensor) -> torch.Tensor:
        """Of [B, G, ...] what belongs to the different ones, [n, ...]."""
        every = values.flatten(0, 1)
        return every if self.first is None else every[self.first]

    def spread(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Give each sample, [B, G, ...], what [n, ...] says of the one that it is.

        Args:
            shape: [B, G, T] of the samples.
        """
        # Not `index_select`, whose gradient comes in another order each time on a GPU.
        every = values if self.places is None else values[self.places]
        return every.view(*shape[:2], *values.shape[1:])
