"""The policy's own sampler in bfloat16, for processors and devices with matrix units of that type."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eclectus import registry
from eclectus.engines.base import Engine, check_rounded
from eclectus.policies.base import Policy
from eclectus.policies.precision import autocast_type
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.segment import Segment


class BFloat16(Engine):
    """Draws from a copy of the policy that is rounded anew for each call, vocabulary head included.

    A weight keeps 8 significant bits, so what is drawn from is a little off the policy; the importance weights of
    `reinforce.correction` make up for that, and `engine_mismatch` tells how far off it is.
    """

    policy: PretrainedPolicy

    def __init__(self, policy: Policy, options: registry.Options | None = None, where: str = "engine") -> None:
        super().__init__(policy, options, where)
        autocast_type("bfloat16", policy.device)
        check_rounded(self.policy, where)

    def sample(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, generator: torch.Generator | None
    ) -> Rollouts:
        return self._drawer().sample(segments, samples, sampling, generator)

    def translate(self, segments: Sequence[Segment], max_length: int) -> list[str]:
        return self._drawer().translate(segments, max_length)

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        return self._drawer().beam_search(segments, beams, max_length)

    def _drawer(self) -> PretrainedPolicy:
        return self.policy.rounded(torch.bfloat16).packed()
