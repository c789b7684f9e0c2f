"""Attention over shared keys equals torch's own over keys that are copied for each query."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from eclectus.policies.attention import shared_source_attention

ROWS, HEADS, WIDTH, KEYS, CAPACITY = 6, 4, 8, 5, 9


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) * sum(shape)))


@pytest.mark.parametrize(
    ("shared", "queries", "rounded", "grad"), itertools.product((1, 2, 4), (1, 5), (False, True), (False, True))
)
def test_part_of_a_cache_whose_heads_are_shared(shared, queries, rounded, grad):
    dtype = torch.bfloat16 if rounded else torch.float32
    query = drawn(ROWS, HEADS, queries, WIDTH).to(dtype)
    cache = [drawn(ROWS + i, HEADS // shared, CAPACITY, WIDTH)[:ROWS, :, :KEYS].to(dtype) for i in range(2)]
    seen = torch.ones(ROWS, 1, queries, KEYS, dtype=torch.bool).tril(KEYS - queries)
    seen[1, ..., 1] = False
    with torch.set_grad_enabled(grad):
        found, _ = shared_source_attention(SimpleNamespace(is_causal=False), query, *cache, seen, scaling=0.3)
    keys, values = (part.float().repeat_interleave(shared, dim=1) for part in cache)
    wanted = scaled_dot_product_attention(query.float(), keys, values, attn_mask=seen, scale=0.3).transpose(1, 2)
    assert found.shape == (ROWS, queries, HEADS, WIDTH) and found.dtype == dtype and found.is_contiguous()
    # A number of 1 has 8 bits, the result two or three roundings of such.
    assert torch.allclose(found.float(), wanted, atol=3e-2 if rounded else 1e-6)


@pytest.mark.parametrize("rounded", [False, True])
def test_rows_that_share_a_source(rounded):
    dtype = torch.bfloat16 if rounded else torch.float32
    group, query = 3, drawn(ROWS, HEADS, 1, WIDTH).to(dtype)
    key, value = (drawn(ROWS // group + i, HEADS, KEYS, WIDTH)[: ROWS // group].to(dtype) for i in range(2))
    seen = torch.ones(ROWS // group, 1, 1, KEYS, dtype=torch.bool)
    seen[1, ..., 3:] = False
    with torch.no_grad():
        found, _ = shared_source_attention(SimpleNamespace(is_causal=False), query, key, value, seen)
    keys, values, mask = (part.repeat_interleave(group, dim=0) for part in (key.float(), value.float(), seen))
    wanted = scaled_dot_product_attention(query.float(), keys, values, attn_mask=mask).transpose(1, 2)
    assert torch.allclose(found.float(), wanted, atol=3e-2 if rounded else 1e-6)
