"""The vocabulary head in pieces against plain `log_softmax`, at NLLB's size: 256,000 tokens, width 1024.

A loss step forward and backward: memory above that of the states and the head's weight, the gradients of both
included (that of the weight alone is 1,000 MB), with 2,048 tokens, each side in a process of its own; and time with
1,024 tokens, in turn in one process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import torch
from timing import added_memory, compare, heading, in_new_process, near, report, same
from torch.nn.functional import cross_entropy, linear

from eclectus.policies.head import Asked, block_scores, smoothed_cross_entropy

TOKENS, VOCABULARY, WIDTH, SMOOTHING = 1024, 256_000, 1024, 0.1
TOKENS_OF_MEMORY = 2048
RUNS = 3


class Case:
    """States, weight and labels of a step, and both ways to its loss; each returns the loss and leaves gradients."""

    def __init__(self, tokens: int) -> None:
        torch.manual_seed(1)
        self.hidden = torch.empty(tokens, WIDTH).normal_().requires_grad_()
        self.head = torch.empty(VOCABULARY, WIDTH).normal_(std=0.02).requires_grad_()
        self.bias = torch.zeros(VOCABULARY)
        self.labels = torch.randint(VOCABULARY, (tokens,))
        # What each log-probability counts: advantages of either sign.
        self.weights = torch.randn(tokens) / tokens

    def policy_gradient_ours(self) -> float:
        logprobs, *_ = block_scores(self.hidden, self.head, self.bias, self.labels, Asked(1.0, None))
        return self._backward(logprobs @ self.weights)

    def policy_gradient_plain(self) -> float:
        logprobs = torch.log_softmax(linear(self.hidden, self.head, self.bias), dim=-1)
        return self._backward(logprobs.gather(1, self.labels[:, None]).squeeze(1) @ self.weights)

    def supervised_ours(self) -> float:
        loss, _ = smoothed_cross_entropy(self.hidden, self.head, self.bias, self.labels, SMOOTHING)
        return self._backward(loss / len(self.labels))

    def supervised_plain(self) -> float:
        logits = linear(self.hidden, self.head, self.bias)
        return self._backward(cross_entropy(logits, self.labels, label_smoothing=SMOOTHING))

    def _backward(self, loss: torch.Tensor) -> float:
        self.hidden.grad = self.head.grad = None
        loss.backward()
        return float(loss.detach())

    def gradient(self) -> torch.Tensor:
        assert self.hidden.grad is not None
        return self.hidden.grad.clone()


def memory(kind: str) -> None:
    pair = tuple(in_new_process(__file__, f"{kind}_{side}") for side in ("ours", "plain"))
    report(f"{kind.replace('_', ' ')}, 256k x 1024, memory", [pair], goal=3.0, unit="MB")


def time_taken(case: Case, kind: str) -> None:
    ours: Callable[[], float] = getattr(case, f"{kind}_ours")
    plain: Callable[[], float] = getattr(case, f"{kind}_plain")
    near("the loss", ours(), plain(), 1e-4)
    ours()
    found = case.gradient()
    plain()
    same("the gradient", True, torch.allclose(found, case.gradient(), atol=1e-6))
    compare(f"{kind.replace('_', ' ')}, 256k x 1024, time", ours, plain, RUNS, goal=round(1 / 1.15, 2))


def main() -> None:
    heading("plain")
    for kind in ("policy_gradient", "supervised"):
        memory(kind)
    case = Case(TOKENS)
    for kind in ("policy_gradient", "supervised"):
        time_taken(case, kind)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(added_memory(getattr(Case(TOKENS_OF_MEMORY), sys.argv[1]))))
    else:
        main()
