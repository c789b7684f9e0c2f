"""What another program than the policy's own sampler offers where it draws a policy's translations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from eclectus import registry
from eclectus.config import Component
from eclectus.errors import ConfigError
from eclectus.policies.base import Policy
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.segment import Segment

NATIVE = "native"
"""The type that names no other program: the policy draws by itself."""


class Engine(ABC):
    """A program that translates with a policy's weights; `engines/<type>.py` holds exactly one.

    It keeps no weights: each call takes them as they are then.

    Args:
        policy: whose weights are used.
        where: the setting that asks for the engine, for errors.

    Raises:
        ConfigError: it cannot run this policy, or not in this way.
        RunError: the program is not installed.
    """

    class Options(registry.Options):
        """No options."""

    def __init__(self, policy: Policy, options: registry.Options | None = None, where: str = "engine") -> None:
        self.policy, self.where = policy, where
        self.options: registry.Options = options if options is not None else type(self).Options()

    @abstractmethod
    def sample(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, generator: torch.Generator | None
    ) -> Rollouts:
        """Draw as `Policy.sample` does, without exploration or prefixes.

        The log-probabilities are those of the program, which are not quite the policy's.
        """

    @abstractmethod
    def translate(self, segments: Sequence[Segment], max_length: int) -> list[str]:
        """Greedy translations, one for each segment."""

    @abstractmethod
    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        """Translations by beam search, one for each segment."""


def is_greedy(samples: int, sampling: Sampling, generator: torch.Generator | None) -> bool:
    """Whether nothing is left to chance.

    Raises:
        ValueError: several greedy translations of one source, or a draw without a generator.
    """
    if sampling.temperature == 0:
        if samples > 1:
            raise ValueError("greedy translations of one source are all the same; ask for one")
        return True
    if generator is None:
        raise ValueError("sampling needs a generator; give one seeded from (run seed, step, purpose)")
    return False


def from_rows(
    policy: Policy,
    tokens: Sequence[Sequence[int]],
    logprobs: Sequence[Sequence[float]],
    finished: Sequence[bool],
    samples: int,
) -> Rollouts:
    """Rollouts of what a program drew: rows of tokens, their log-probabilities, and whether they ended by themselves.

    Args:
        tokens: of each sample, end-of-sequence included; the `samples` of a source follow each other.
    """
    width = max(map(len, tokens))
    lengths = torch.tensor([len(row) for row in tokens])

    def shaped(values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(0, (-1, samples)).to(policy.device)

    texts = policy.detokenize(tokens)
    return Rollouts(
        shaped(torch.tensor([[*row, *[policy.pad_id] * (width - len(row))] for row in tokens])),
        shaped(torch.tensor([[*row, *[0.0] * (width - len(row))] for row in logprobs])),
        shaped(torch.arange(width) < lengths[:, None]),
        shaped(torch.tensor(finished)),
        [texts[i : i + samples] for i in range(0, len(texts), samples)],
    )


def check_rounded(policy: PretrainedPolicy, where: str) -> None:
    """Raise `ConfigError` for a policy of which `rounded` leaves a part out."""
    if policy.guide is not None or policy.has_routed_adapters:
        what = "values (guide.json)" if policy.guide is not None else "an adapter for each language"
        raise ConfigError(f"config: '{where}': the model has {what}, which is not rounded; set it to {{type: native}}")


def engine_of(component: Component, policy: Policy, where: str) -> Engine | None:
    """The engine that a setting asks for; None: the policy itself.

    Args:
        where: the setting, such as "reinforce.engine".

    Raises:
        ConfigError: there is none of this type, it cannot run this policy, or a wrong option.
        RunError: it is not installed.
    """
    if component.type == NATIVE:
        registry.parse_options(where, registry.Options, component.options)
        return None
    try:
        kind = registry.find("engines", component.type, Engine)
    except ConfigError as error:
        raise ConfigError(f"config: '{where}.type': {error}; '{NATIVE}' is the policy's own sampler") from error
    return registry.make(where, kind, policy, registry.parse_options(where, kind.Options, component.options), where)
