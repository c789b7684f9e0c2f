"""A recorder for any device, with the manners of a CUDA graph: what is replayed is operations on addresses.

Each operation is kept with the tensors that it read and wrote, and is made again with them. Numbers of Python are
constants of the recording, and what would make a graph fail fails here: a look at values, and tensors made from what
Python holds.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from eclectus.engines import cuda_graphs
from eclectus.policies.compat import OLD

REFUSED = ("_local_scalar_dense", "nonzero", "item", "lift_fresh", "is_nonzero", "equal", "unique")


class Tape(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.__name__.split(".")[0]
        assert not any(name == word or name.startswith(f"{word}_") for word in REFUSED), f"{name} cannot be recorded"
        made = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, made))
        return made

    def replay(self):
        for function, args, kwargs, made in self.operations:
            again = function(*args, **kwargs)
            for old, new in zip(tensors(made), tensors(again), strict=True):
                if address(old) != address(new):  # neither a view nor written in place
                    old.copy_(new)


def tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def address(tensor):
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride()


def tapes(made):
    """Makes recorders as `Recordings` asks for them; every tape that is made goes into the list `made`."""

    def recorder():
        def record(work):
            tape = Tape()
            with tape:
                work()
            made.append(tape)
            return tape.replay

        return record

    return recorder


@pytest.fixture
def recorded(monkeypatch):
    """The tapes that stand in for graphs."""
    if OLD:
        pytest.skip("transformers 4 makes tensors of Python's numbers at each token, which no graph can hold")
    made = []
    monkeypatch.setattr(cuda_graphs, "_graphs", tapes(made))
    monkeypatch.setattr(cuda_graphs, "_check_machine", lambda *_: None)
    return made
