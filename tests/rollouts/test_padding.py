import torch

from eclectus.rollouts.base import Rollouts
from eclectus.rollouts.padding import like_lengths
from eclectus.training.passes import micro_batches


def test_like_lengths_end_before_they_have_too_much_padding():
    lengths = [9, 2, 3, 30, 2, 10]
    assert like_lengths(lengths, 0) == [[1, 4], [2], [0], [5], [3]]
    assert like_lengths(lengths, 2) == [[1, 4, 2], [0, 5], [3]]
    assert like_lengths(lengths, 10**6) == [[1, 4, 2, 0, 5, 3]]


def rollouts(lengths, samples=4):
    """Every sample of a source is as long as the others."""
    mask = torch.arange(max(lengths))[None, None] < torch.tensor(lengths)[:, None, None].expand(-1, samples, 1)
    empty = torch.zeros(mask.shape)
    texts = [[""] * samples for _ in lengths]
    return Rollouts(empty.long(), empty, mask, mask.any(dim=-1), texts)


def test_micro_batches_keep_long_and_short_samples_apart():
    # a row of 10 beside one of 60 costs 4 * 50 = 200 tokens of padding, two of them 400
    assert list(micro_batches(rollouts([60, 10, 60, 10]), range(4), 10**6)) == [[1, 3], [0, 2]]
    assert list(micro_batches(rollouts([60, 10, 60]), range(3), 10**6)) == [[1, 0, 2]]
    assert list(micro_batches(rollouts([60, 10, 60]), range(3), 300)) == [[1], [0], [2]]
    # a batch counts its own padding only
    assert list(micro_batches(rollouts([10, 10, 60, 126]), range(4), 10**6)) == [[0, 1], [2], [3]]
