"""Copies of the policy in training that rewards translate with, each renewed after every n-th step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from eclectus import parallel
from eclectus.policies.base import Policy
from eclectus.rewards.base import Translate
from eclectus.segment import Segment
from eclectus.training import checkpoint as ckpt

Weights = Mapping[str, torch.Tensor]
_GROUP = "renewed-"


class RenewedPolicies:
    """What stands behind `RewardContext.refreshed`: a frozen copy of the policy for each interval that is asked for.

    A copy holds the mean weights as they were after the last step that its interval divides. The checkpoint keeps them,
    because a resumed run cannot make the weights of an earlier step again.

    Args:
        start: gives the frozen starting policy; asked when the first copy is made.
        max_length: tokens of a translation.
    """

    def __init__(self, start: Callable[[], Policy], max_length: int) -> None:
        self._start = start
        self.model: Policy | None = None
        """The policy in training, of which copies are made; None: of the start."""
        self._max_length = max_length
        self._copies: dict[int, Policy | None] = {}
        self._trained: set[str] = set()

    def lend(self, every: int) -> Translate:
        """Return greedy translation by the copy that is renewed after every `every`-th step."""
        self._copies.setdefault(every, None)

        def translate(segments: Sequence[Segment]) -> list[str]:
            policy = self._copies[every]
            return (self._start() if policy is None else policy).translate(segments, self._max_length)

        return translate

    def renew(self, step: int, weights: Callable[[], Weights]) -> None:
        """Take over the weights in the copies that are due after `step`."""
        for every in self._copies:
            if step % every == 0:
                self._put(every, weights())

    def tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        """Return the weights of the copies that are no longer the start, as groups of a checkpoint."""
        return {
            f"{_GROUP}{every}": {
                k: parallel.whole(v) if parallel.is_split(v) else v
                for k, v in policy.model.named_parameters()
                if k in self._trained
            }
            for every, policy in self._copies.items()
            if policy is not None
        }

    def load(self, tensors: Mapping[str, Weights]) -> None:
        """Take over what `tensors` returned; other groups of the checkpoint are passed over."""
        for every in self._copies:
            if f"{_GROUP}{every}" in tensors:
                self._put(every, tensors[f"{_GROUP}{every}"])

    def _put(self, every: int, weights: Weights) -> None:
        # Trainable: the frozen copy of an untrained policy has its adapters off.
        policy = self._copies[every] or (self.model or self._start()).copy(trainable=True)
        ckpt.load_weights(policy.model, dict(weights))
        self._copies[every] = policy
        self._trained = set(weights)
