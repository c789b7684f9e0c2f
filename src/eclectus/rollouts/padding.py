"""Lists of token ids as one padded tensor, and rows of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def pad_rows(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device, grid: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad lists of ids on the right, to a multiple of `grid`: ids int64 [B, 1, T] and mask bool [B, 1, T]."""
    width = multiple(max(len(row) for row in rows), grid)
    ids = torch.tensor([[*row, *([pad] * (width - len(row)))] for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(width)[None] < lengths[:, None]
    return ids[:, None].to(device), mask[:, None].to(device)


def pad_left(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device, grid: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad lists of ids on the left, to a multiple of `grid`, not 0: ids int64 [B, S] and mask bool [B, S]."""
    width = multiple(max(1, *(len(row) for row in rows)), grid)
    ids = torch.tensor([[*([pad] * (width - len(row))), *row] for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(width)[None] >= width - lengths[:, None]
    return ids.to(device), mask.to(device)


def multiple(count: int, grid: int) -> int:
    """The least multiple of `grid` that is not below `count`."""
    return -(-count // grid) * grid


def like_lengths(lengths: Sequence[int], padding: int) -> list[list[int]]:
    """Batches of indices of like length, shortest first: a batch ends before it has more than `padding` padding."""
    batches: list[list[int]] = []
    held = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if not batches or len(batches[-1]) * lengths[i] - held > padding:
            batches.append([])
            held = 0
        batches[-1].append(i)
        held += lengths[i]
    return batches


def rows_each(owners: torch.Tensor, sources: int) -> int | None:
    """How many rows each source has, where `owners`, int64 [n], gives as many to each, in order; None elsewhere."""
    times = max(1, len(owners) // sources)
    regular = torch.arange(sources, device=owners.device).repeat_interleave(times)
    return times if torch.equal(owners, regular) else None


def placed(values: torch.Tensor, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """`values` [n, ...] with copies of `rows` at `places`, int64 indices each; places from n on add rows at the end."""
    grown = torch.cat([values, values.new_empty(max(0, int(places.max()) + 1 - len(values)), *values.shape[1:])])
    grown[places] = values[rows]
    return grown


def within_budget(items: Sequence[T], length: Callable[[T], int], budget: int) -> Iterator[list[T]]:
    """Items of like length together, at most `budget` padded tokens at once, but one item at least."""
    part: list[T] = []
    for item in sorted(items, key=length):
        if part and (len(part) + 1) * length(item) > budget:
            yield part
            part = []
        part.append(item)
    if part:
        yield part
