"""What is remembered: the newest, drawn by seed, the same after a checkpoint."""

import random
from collections import Counter

import torch
from safetensors.torch import load_file, save_file

from eclectus.algorithms.replay import Episode, Replay
from eclectus.policies.source import Source


def episode(number: int) -> Episode:
    """The number is in everything; lengths differ."""
    tokens = tuple(range(number + 1))
    return Episode(
        Source((number, 7) * (number % 3), (number,)), tokens, (0.1 * number,) * len(tokens), number % 2 == 0
    )


def filled(capacity: int, count: int) -> Replay:
    memory = Replay(capacity)
    for number in range(count):
        memory.add(episode(number))
    return memory


def test_only_the_newest_are_kept():
    for count in (5, 6, 10):
        seen = {len(e.tokens) - 1 for e in filled(4, count).sample(200, random.Random(1))}
        assert seen == {count - 4, count - 3, count - 2, count - 1}
    assert len(filled(4, 3)) == 3 and len(filled(4, 10)) == 4


def test_each_is_drawn_alike_and_by_seed():
    memory = filled(4, 10)
    counts = Counter(len(e.tokens) for e in memory.sample(4000, random.Random(1)))
    assert all(900 < count < 1100 for count in counts.values())
    assert memory.sample(20, random.Random(2)) == memory.sample(20, random.Random(2))
    assert memory.sample(20, random.Random(2)) != memory.sample(20, random.Random(3))


def test_nothing_comes_from_an_empty_memory():
    assert Replay(4).sample(3, random.Random(1)) == []


def test_a_checkpoint_brings_back_the_very_same_memory(tmp_path):
    for count in (0, 3, 10):
        whole, again = filled(4, count), Replay(4)
        save_file(whole.tensors(), tmp_path / "memory.safetensors")
        again.load(load_file(tmp_path / "memory.safetensors"))
        assert again.sample(20, random.Random(2)) == whole.sample(20, random.Random(2))
        for memory in (whole, again):  # the oldest goes next
            memory.add(episode(20))
        assert again.sample(20, random.Random(3)) == whole.sample(20, random.Random(3))
        assert all(torch.equal(again.tensors()[name], value) for name, value in whole.tensors().items())
