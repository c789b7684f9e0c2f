"""Values of the next token on top of a frozen model, and the policy that they make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn.functional import linear

from eclectus.errors import ModelError

WEIGHTS, SETTINGS = "guide.safetensors", "guide.json"


@dataclass(frozen=True)
class GuideShape:
    """Sizes of a guide: decoder states of `width`, `hidden` units, `rank` factors, a vocabulary of `tokens`."""

    width: int
    hidden: int
    rank: int
    tokens: int


class Guide(torch.nn.Module):
    """Q(s, a) of every next token a from the decoder's state s, and the policy pi_0(a) * exp(beta * (Q - V)).

        f = GELU(W_1 LayerNorm(s) + b_1),   Q(s, a) = V(s) + A(s, a),   V = w f + b_v,   A = E_a (W_2 f + b_2) + c_a

    with E of low rank, so that a vocabulary of 256,000 tokens costs 17 million parameters at rank 64 and not 600. The
    split into V and A is that of Wang et al. 2016 (arXiv:1511.06581), the policy that of Snell et al. 2023 (ILQL,
    arXiv:2206.11871, section 4.3). A is not centred on its mean over the vocabulary: that would be the mean over tokens
    that were never tried. It begins as 0, so that a token never tried is worth what its state is worth on average, no
    more and no less, and the policy begins as pi_0.

    Args:
        shape: sizes.
        beta: how much values count against the model; 0 is the model itself.
    """

    def __init__(self, shape: GuideShape, beta: float = 0.0) -> None:
        super().__init__()
        self.shape, self.beta = shape, beta
        self.norm = torch.nn.LayerNorm(shape.width)
        self.inner = torch.nn.Linear(shape.width, shape.hidden)
        self.factors = torch.nn.Linear(shape.hidden, shape.rank)
        self.state = torch.nn.Linear(shape.hidden, 1)
        self.tokens = torch.nn.Parameter(torch.zeros(shape.tokens, shape.rank))
        self.token_bias = torch.nn.Parameter(torch.zeros(shape.tokens))
        torch.nn.init.zeros_(self.state.weight)
        torch.nn.init.zeros_(self.state.bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """What is added to the logits after states [n, width]: beta * (Q - V), [n, tokens]."""
        return self.beta * linear(self.factors(self._features(states)), self.tokens, self.token_bias)

    def values(self, states: torch.Tensor) -> torch.Tensor:
        """Q(s, a) of every token, [n, tokens]."""
        features = self._features(states)
        return self.state(features) + linear(self.factors(features), self.tokens, self.token_bias)

    def values_of(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Q(s, a) of one token in each state, [n], without the values of the others."""
        features = self._features(states)
        advantages = (self.factors(features) * self.tokens[tokens]).sum(dim=-1) + self.token_bias[tokens]
        return self.state(features).squeeze(-1) + advantages

    def save(self, folder: Path) -> None:
        """Write weights and settings into a model folder."""
        save_file({k: v.detach().contiguous().cpu() for k, v in self.state_dict().items()}, folder / WEIGHTS)
        settings = {**asdict(self.shape), "beta": self.beta}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, settings: Path, weights: Path | None) -> Guide:
        """Read what `save` wrote.

        Raises:
            ModelError: the files are damaged, incomplete or do not belong together.
        """
        try:
            values = json.loads(settings.read_text(encoding="utf-8"))
            guide = cls(GuideShape(*(int(values[name]) for name in GuideShape.__annotations__)), float(values["beta"]))
            if weights is None:
                raise ValueError(f"{WEIGHTS} is missing")
            guide.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"model: the values in '{settings}' are damaged ({reason}); copy the folder again"
            ) from error
        return guide

    def _features(self, states: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = torch.nn.functional.gelu(self.inner(self.norm(states)))
        return features


@contextmanager
def added_to_output(model: Any, guide: Guide | None) -> Iterator[None]:
    """Have the forward pass of a model of transformers add a guide to its logits, behind bias and soft cap."""
    if guide is None:
        yield
        return
    states: list[torch.Tensor] = []

    def look(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        states[:] = inputs[:1]

    def add(module: Any, inputs: Any, output: Any) -> None:
        output.logits = output.logits + guide(states[0])

    hooks = [model.get_output_embeddings().register_forward_pre_hook(look), model.register_forward_hook(add)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
