"""A key/value cache that is allocated once and filled in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer, EncoderDecoderCache

from eclectus.rollouts.padding import rows_each


class FilledLayer(DynamicLayer):
    """One layer: [rows, heads, capacity, width], of which the first `filled` positions are in use.

    The dynamic layer of transformers copies everything it holds at each step. There may be room for more rows than are
    in work, which are the first.
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
        rows, end = len(key_states), self.filled + key_states.shape[-2]
        self.keys[:rows, :, self.filled : end] = key_states
        self.values[:rows, :, self.filled : end] = value_states
        self.filled = end
        return self.keys[:rows, :, :end], self.values[:rows, :, :end]

    def get_seq_length(self) -> int:
        return self.filled

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows; only the filled part is copied."""
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_empty(len(rows), *old.shape[1:])
            new[:, :, : self.filled] = old[:, :, : self.filled].index_select(0, rows)
            setattr(self, name, new)

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        """Copy the filled part of `rows` to `places`, int64 indices each; room is made for places that are new."""
        needed = int(places.max()) + 1
        for name in ("keys", "values"):
            held = getattr(self, name)
            if needed > len(held):
                old, held = held, held.new_empty(max(needed, 3 * len(held) // 2), *held.shape[1:])
                held[: len(old), :, : self.filled] = old[:, :, : self.filled]
                setattr(self, name, held)
            filled = held[:, :, : self.filled]
            filled[places] = filled.index_select(0, rows)


def shared_source_cache(layers: int, capacity: int) -> EncoderDecoderCache:
    """A cache for `layers` decoder layers: self-attention for each sample, cross-attention once for each source."""
    own = Cache(layers=[FilledLayer(capacity) for _ in range(layers)])
    # Written once; a dynamic layer would copy what it is given behind an empty tensor.
    return EncoderDecoderCache(own, Cache(layers=[RepeatableLayer() for _ in range(layers)]))


def select_sources(cache: EncoderDecoderCache, sources: torch.Tensor) -> None:
    """Go on with the cross-attention of these sources, int64 indices."""
    cross: Any = cache.cross_attention_cache.layers
    for layer in cross:
        layer.keys, layer.values = layer.keys[sources], layer.values[sources]


class RepeatableLayer(DynamicLayer):
    """One layer whose every update gives the same: what was given at first, and the new.

    It serves what is written once, and passes with gradient, in whose backward pass layers that are made again update
    their cache a second time.
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


def prefixed(cache: Cache, owners: torch.Tensor) -> Cache:
    """A cache for one pass behind these rows of `cache`, int64 [n]; gradient flows back to it."""
    held: list[Any] = list(cache.layers)
    times = rows_each(owners, len(held[0].keys))

    def rows(values: torch.Tensor) -> torch.Tensor:
        # The gradient of `repeat_interleave` is a plain sum, exact and repeatable on every device.
        return values[owners] if times is None else values.repeat_interleave(times, dim=0)

    return Cache(layers=[RepeatableLayer(rows(layer.keys), rows(layer.values)) for layer in held])


def repeated(cache: Cache, times: int, layer: Callable[[], DynamicLayer]) -> Cache:
    """A cache of new layers in which each row of `cache` stands `times` times in a row."""
    layers: list[Any] = []
    for old in cache.layers:
        held: Any = old
        new = layer()
        new.update(held.keys.repeat_interleave(times, dim=0), held.values.repeat_interleave(times, dim=0))
        layers.append(new)
    return Cache(layers=layers)
