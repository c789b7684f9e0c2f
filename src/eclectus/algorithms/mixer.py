"""Annealing from likelihood to reinforcement."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field

from eclectus.algorithms.advantages import leave_one_out
from eclectus.algorithms.base import AdvantageInputs, Algorithm, SequenceOptions
from eclectus.algorithms.losses import Clip, LossInputs, forced_likelihood, policy_gradient


class Mixer(Algorithm):
    """MIXER: the first tokens are the reference's and learnt by likelihood, the rest is sampled and learnt by reward.

    Loss: 1/N sum_i [-log pi(prefix_i) - A_i * log pi(rest_i | prefix_i)], A the leave-one-out advantage among
    continuations of one prefix. After `likelihood_steps` steps of whole references `release` tokens are
    missing from the end of the prefix, and as many more after every `every` steps, until everything is sampled; from
    then on this is RLOO.
    """

    reference = "Ranzato et al. 2016, Sequence Level Training with Recurrent Neural Networks (arXiv:1511.06732)"
    min_samples = 2
    needs_references = True

    class Options(SequenceOptions):
        """The paper releases two or three tokens at a time; `every` must fit the run: a reference of L tokens is free
        after likelihood_steps + every * (ceil(L / release) - 1) steps."""

        likelihood_steps: int = Field(0, ge=0, description="steps in which whole references are learnt")
        release: int = Field(2, ge=1, description="tokens that the prefix gives up at a time")
        every: int = Field(20, ge=1, description="steps between two shortenings")

    options: Options

    def forced(self, step: int, lengths: Sequence[int]) -> list[int]:
        o = self.options
        if step <= o.likelihood_steps:
            return list(lengths)
        released = o.release * (1 + (step - o.likelihood_steps - 1) // o.every)
        return [max(0, length - released) for length in lengths]

    def advantages(self, inputs: AdvantageInputs) -> torch.Tensor:
        return leave_one_out(inputs.rewards)

    def loss(self, inputs: LossInputs) -> tuple[torch.Tensor, dict[str, float]]:
        o = self.options
        reward, metrics = policy_gradient(inputs, Clip(o.clip, o.clip, o.max_ratio))
        likelihood = forced_likelihood(inputs)
        return reward + likelihood, {**metrics, "prefix_loss": float(likelihood.detach())}
