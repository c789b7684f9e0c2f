"""A key/value cache that is allocated once and filled in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache


class FilledLayer(DynamicLayer):
    """One layer: [rows, heads, capacity, width], of which the first `filled` positions are in use.

    The dynamic layer of transformers copies everything it holds at each step.
    """

    keys: Any
    values: Any

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.filled = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, width = key_states.shape
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = key_states.new_empty(rows, heads, self.capacity, width)
        self.values = value_states.new_empty(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.filled + key_states.shape[-2]
        self.keys[:, :, self.filled : end] = key_states
        self.values[:, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.filled

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows; only the filled part is copied."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(len(rows), *old.shape[1:])
            new[:, :, : self.filled] = old[:, :, : self.filled].index_select(0, rows)
            setattr(self, name, new)


def shared_source_cache(layers: int, capacity: int) -> EncoderDecoderCache:
    """A cache for `layers` decoder layers: self-attention for each sample, cross-attention once for each source."""
    own = Cache(layers=[FilledLayer(capacity) for _ in range(layers)])
    return EncoderDecoderCache(own, DynamicCache())


def keep_rows(cache: EncoderDecoderCache, rows: torch.Tensor, sources: torch.Tensor | None) -> None:
    """Drop all but these rows and sources, int64 indices; None: all sources.

    Where each row has its own copy of its source's keys and values, these go by rows as well.
    """
    own: Any = cache.self_attention_cache.layers
    cross: Any = cache.cross_attention_cache.layers
    for layer, other in zip(own, cross, strict=True):
        kept = rows if len(other.keys) == len(layer.keys) else sources
        layer.select(rows)
        if kept is not None:
            other.keys, other.values = other.keys[kept], other.values[kept]


class RepeatableLayer(DynamicLayer):
    """One layer of a pass with gradient, whose every update gives the same: what was given at first, and the new.

    Layers that are made again in the backward pass update their cache a second time.
    """

    keys: Any
    values: Any

    def __init__(self, keys: torch.Tensor | None = None, values: torch.Tensor | None = None) -> None:
        super().__init__()
        self._before = None if keys is None or values is None else (keys, values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        new = (key_states, value_states)
        if self._before is not None:
            new = (torch.cat([self._before[0], new[0]], dim=-2), torch.cat([self._before[1], new[1]], dim=-2))
        if not self.is_initialized:
            self.keys, self.values = new
            self.is_initialized = True
        return new


def prefixed(cache: Cache, times: int) -> Cache:
    """A cache for one pass behind each row of `cache` standing `times` times in a row; gradient flows back to it."""
    held: list[Any] = list(cache.layers)
    rows = [
        (layer.keys.repeat_interleave(times, dim=0), layer.values.repeat_interleave(times, dim=0)) for layer in held
    ]
    return Cache(layers=[RepeatableLayer(*pair) for pair in rows])


def repeated(cache: Cache, times: int, layer: Callable[[], DynamicLayer]) -> Cache:
    """A cache of new layers in which each row of `cache` stands `times` times in a row."""
    layers: list[Any] = []
    for old in cache.layers:
        held: Any = old
        new = layer()
        new.update(held.keys.repeat_interleave(times, dim=0), held.values.repeat_interleave(times, dim=0))
        layers.append(new)
    return Cache(layers=layers)
