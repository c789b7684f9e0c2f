"""What the processes of `test_parallel` train, and keep of its state: `torchrun ... keeping.py FOLDER`."""

import sys
from itertools import pairwise
from pathlib import Path

import torch

from eclectus import parallel
from eclectus.training import checkpoint as ckpt
from eclectus.training.averaged import Averaged
from eclectus.training.optimizer import SharedOptimizer, add_module, build_optimizer, update

MODEL, CRITIC, STEPS = (7, 40, 60, 5), (7, 1), 4


def module(sizes):
    torch.manual_seed(len(sizes))
    return torch.nn.Sequential(*[torch.nn.Linear(a, b) for a, b in pairwise(sizes)])


def learn(model, critic, step):
    """The same gradients in every process, in the third step none for one tensor."""
    inputs = torch.arange(21.0).reshape(3, 7) / (step + 10)
    (model(inputs).square().mean() + critic(inputs).square().mean()).backward()
    if step == 2:
        model[1].weight.grad = None


if __name__ == "__main__":
    torch.set_num_threads(1)
    parallel.begin()
    model, critic = module(MODEL), module(CRITIC)
    optimizer = build_optimizer("adamw", model, 1e-2)
    add_module(optimizer, critic, 2.0)
    means = Averaged(model, "model", "mean", "best")
    for step in range(STEPS):
        learn(model, critic, step)
        update(optimizer, 1e-2, 1.0)
        means.update(0.5)
    means.keep()
    assert isinstance(optimizer, SharedOptimizer)
    kept = sum(v.numel() for state in optimizer.moves.state.values() for v in state.values() if v.ndim)
    before = ckpt.weights(model)
    mean = means.whole_mean()
    found = {
        "kept": parallel.gather(kept),
        "means": parallel.gather(sum(value.numel() for value in means._mean.values())),
        "same": all(torch.equal(value, before[name]) for name, value in ckpt.weights(model).items()),
        "mean": mean,
        "tensors": means.tensors(),
        "model": ckpt.optimizer_tensors(model, optimizer),
        "critic": ckpt.optimizer_tensors(critic, optimizer),
        "weights": [*before.values(), *ckpt.weights(critic).values()],
    }
    if parallel.leads():
        torch.save(found, Path(sys.argv[1]) / "found.pt")
