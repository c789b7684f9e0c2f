"""Every reward's docstring: it has what the house asks for, and its example runs."""

import doctest
import importlib
import inspect

import pytest

from eclectus.registry import find, names
from eclectus.rewards.base import Reward

REWARDS = names("rewards")


def test_the_room_is_complete():
    assert set(REWARDS) >= {
        "bleu", "chrf", "constant", "copy", "exact", "fluency", "language", "length", "nonempty", "pivot",
        "placeholders", "repetition", "round_trip",
    }  # fmt: skip


@pytest.mark.parametrize("kind", REWARDS)
def test_example_runs(kind):
    module = importlib.import_module(f"eclectus.rewards.{kind}")
    results = doctest.testmod(module)
    assert results.attempted > 1
    assert results.failed == 0


@pytest.mark.parametrize("kind", REWARDS)
def test_docstring_has_formula_range_and_cheats(kind):
    text = inspect.getdoc(find("rewards", kind, Reward))
    for wanted in ("$$", "Range", "Source:", "Example:", "How it is cheated:"):
        assert wanted in text, wanted


@pytest.mark.parametrize("kind", REWARDS)
def test_no_torch(kind):
    source = inspect.getsource(importlib.import_module(f"eclectus.rewards.{kind}"))
    assert "import torch" not in source
