"""The policy's own sampler with the steps of its decoder as CUDA graphs: a GPU is told a whole step at once.

A small batch of a small model leaves a GPU waiting for Python, which launches some hundred kernels for each token. A
graph is one launch. It takes memory for each shape of a batch, so sources are padded to a multiple of `_GRID`, and
rows that have ended go on for nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import torch

from eclectus import registry
from eclectus.engines.base import Engine, check_rounded
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy
from eclectus.policies.compat import OLD
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.rollouts.recorded import Recorder, Recordings
from eclectus.segment import Segment

_GRID = 16
"""Sources are padded to a multiple of so many tokens: a few shapes, each recorded once."""


class CudaGraphs(Engine):
    """Draws from a copy of the policy's weights, in the type of its autocast; greedy and beam search stay as they are.

    The copy stays where it is in memory, because graphs know addresses; each call fills it anew.
    """

    policy: PretrainedPolicy

    def __init__(self, policy: Policy, options: registry.Options | None = None, where: str = "engine") -> None:
        super().__init__(policy, options, where)
        self._twin: PretrainedPolicy | None = None
        _check_machine(policy.device, where)
        check_rounded(self.policy, where)

    def sample(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, generator: torch.Generator | None
    ) -> Rollouts:
        return self.drawer().sample(segments, samples, sampling, generator)

    def translate(self, segments: Sequence[Segment], max_length: int) -> list[str]:
        return self.policy.translate(segments, max_length)

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        return self.policy.beam_search(segments, beams, max_length)

    def drawer(self) -> PretrainedPolicy:
        """The copy, with the weights that the policy has now."""
        fresh = self.policy.rounded(self.policy.autocast or next(self.policy.model.parameters()).dtype)
        if self._twin is None:
            # In the policy's own type nothing is rounded, and the weights are those of the policy themselves.
            fresh.model = copy.deepcopy(fresh.model)
            fresh.recordings = Recordings(_graphs, _GRID)
            self._twin = fresh
            return fresh
        with torch.no_grad():
            for own, new in zip(_tensors(self._twin), _tensors(fresh), strict=True):
                own.copy_(new)
        return self._twin


def _check_machine(device: torch.device, where: str) -> None:
    """Raise `ConfigError` where no step can be recorded."""
    if OLD:
        raise ConfigError(
            f"config: '{where}': CUDA graphs need transformers 5, whose models take nothing from the host at a token;"
            " pip install -U transformers, or set it to {type: native}"
        )
    if device.type != "cuda":
        raise ConfigError(
            f"config: '{where}': CUDA graphs need a CUDA device and the model is on '{device}'; set it to {{type:"
            " native}"
        )


def _tensors(policy: PretrainedPolicy) -> Iterator[torch.Tensor]:
    return chain(policy.model.parameters(), policy.model.buffers())


def _graphs() -> Recorder:
    """Records on the current CUDA device, into one pool of memory, which graphs share that are replayed in order."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # Rewards may use the device in other threads meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            work()
        replay: Callable[[], None] = graph.replay
        return replay

    return record
