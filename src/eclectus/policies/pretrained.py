"""What encoder-decoder and decoder-only models of transformers have in common: tokenizer, vocabulary head, copies."""

from __future__ import annotations

import copy
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import logging as transformers_logging

from eclectus.errors import ModelError
from eclectus.policies.adapted import AdaptedPolicy
from eclectus.policies.attention import NAME as ATTENTION
from eclectus.policies.base import TokenScores
from eclectus.policies.compat import OLD, save_model, save_tokenizer, set_attention
from eclectus.policies.distinct import Distinct
from eclectus.policies.guide import Guide, added_to_output
from eclectus.policies.head import smoothed_cross_entropy
from eclectus.policies.packed import GRID, PackedLinear, pack_layers, packs
from eclectus.policies.precision import computing_in, rounded_copy
from eclectus.policies.predicted import Predicted, label_ranks, scores
from eclectus.policies.recompute import recomputed
from eclectus.policies.source import Source
from eclectus.policies.texts import Texts, check_sizes
from eclectus.rollouts.base import Stepper
from eclectus.rollouts.limits import Limits
from eclectus.rollouts.native import Drawn
from eclectus.rollouts.padding import pad_rows
from eclectus.rollouts.recorded import Recordable, Recordings
from eclectus.rollouts.workspace import Workspace

# Its bars and advice would run through our own progress display.
transformers_logging.disable_progress_bar()

P = TypeVar("P", bound="PretrainedPolicy")

_GUIDE = "guide"
"""Name of the guide among the model's parts."""


class PretrainedPolicy(AdaptedPolicy):
    """A policy around a model and a tokenizer of transformers.

    Padding, unknown, tag and other special tokens are never part of a translation, nor are rows of the vocabulary
    that no token belongs to: their probability is zero here, in sampling and in training alike. `save` writes the same
    rule into the generation config. Supervised loss is that of the model as it is, without this rule.

    Args:
        pad_id: what rows of ids are filled up with.
        end_id, end_ids: see `Policy`.
        never: further tokens that are never generated, such as language tags.

    Raises:
        ModelError: the tokenizer belongs to another model.
    """

    hidden_scale = 1.0
    """Factor between the decoder's states and the vocabulary head."""
    gradient_checkpointing = False
    """Whether the backward pass makes the layers' inner values again; see `recompute`."""
    recordings: Recordings | None = None
    """The recorded steps that it samples with, if any: rows then neither leave nor branch."""
    _packed_head: PackedLinear | None = None

    def __init__(
        self, model: Any, tokenizer: Any, pad_id: int, end_id: int, end_ids: Iterable[int], never: Iterable[int]
    ) -> None:
        # Any: the library's own annotations do not describe a generating model.
        set_attention(model, ATTENTION)
        super().__init__(model)
        self.tokenizer: Any = tokenizer
        self.pad_id, self.end_id = pad_id, end_id
        self.end_ids = sorted({end_id, *end_ids})
        self.softcap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self.texts = Texts(tokenizer)
        rows = len(self._head)
        self._never = sorted(self.texts.textless(rows, {pad_id, *never}) - set(self.end_ids))
        bias = torch.zeros(rows, device=model.device)
        bias[self._never] = float("-inf")
        self._bias = bias
        self._check_tokens(self.end_ids)

    def _check_tokens(self, ids: Iterable[int]) -> None:
        """Make sure that the model has tokens that are needed; a tokenizer may have others that it lacks.

        Raises:
            ModelError: it lacks one.
        """
        check_sizes(max([len(self._bias), *(i + 1 for i in ids)]), len(self._bias))

    @abstractmethod
    def forward_states(self, sources: Sequence[Source], tokens: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        """Decoder states [n, T, d] that predict `tokens` [n, T]; each source is encoded once.

        Args:
            owners: int64 [n], the source of each row: each at least once, in order.
        """

    @abstractmethod
    def open_stepper(self, sources: Sequence[Source], samples: int, max_length: int) -> Recordable:
        """See `Policy.stepper`."""

    def states(
        self, sources: Sequence[Source], tokens: torch.Tensor, owners: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`forward_states` under the policy's adapters, autocast and gradient checkpointing; float32 after autocast.

        Args:
            owners: None: `tokens` are those of the sources, [B, T].
        """
        if owners is None:
            owners = torch.arange(len(sources), device=self.device)
        saving = (
            recomputed(self.model, self.routed_again)
            if self.gradient_checkpointing and torch.is_grad_enabled()
            else None
        )
        languages = [source.language for source in sources]
        with computing_in(self.autocast, self.device), self.routed(languages, owners), saving or nullcontext():
            states = self.forward_states(sources, tokens, owners)
        return states if self.autocast is None else states.float()

    def stepper(self, sources: Sequence[Source], samples: int, max_length: int) -> Stepper:
        languages = [source.language for source in sources]
        with self.routed(languages):
            stepper = self.open_stepper(sources, samples, max_length)
        if self.recordings is not None:
            return self.recordings.of(stepper, samples, max_length)
        return self.routed_stepper(stepper, languages, samples)

    def _draw(self, *args: Any, **kwargs: Any) -> Drawn:
        # Around the whole draw: weights are then rounded once and not at every token.
        with computing_in(self.autocast, self.device):
            return super()._draw(*args, **kwargs)

    @property
    def branches(self) -> bool:
        # With transformers 4 each row has a copy of its source. A GPU takes as long for a few rows as for many.
        return self.merging and not OLD and self.device.type == "cpu" and self.recordings is None

    @property
    def source_grid(self) -> int:
        """Sources to sample from are padded to a multiple of so many tokens."""
        return 1 if self.recordings is None else self.recordings.grid

    @property
    def grid(self) -> int:
        if self.recordings is not None:
            return sys.maxsize
        return GRID if packs(self.autocast or self._head.dtype, self.device) else 1

    def token_scores(
        self: P,
        sources: Sequence[Source],
        tokens: torch.Tensor,
        mask: torch.Tensor,
        temperature: float = 1.0,
        *,
        entropy: bool = False,
        anchor: P | None = None,
        states: bool = False,
        ranks: bool = False,
        limits: Limits | None = None,
    ) -> TokenScores:
        samples = Distinct.of(tokens, mask, merge=self.merging)
        wanted = samples.mask
        labels = samples.tokens[wanted]

        def spread(values: torch.Tensor) -> torch.Tensor:
            result = torch.zeros(wanted.shape, device=self.device).masked_scatter(wanted, values)
            return samples.spread(result, mask.shape)

        limited = None if limits is None else (limits, samples.chosen(limits.ids)[wanted])
        hidden = self.states(sources, samples.tokens, samples.owners)
        own = self.predicted(hidden[wanted], limited)
        other = None
        if anchor is not None:
            with torch.no_grad():
                other = anchor.predicted(anchor.states(sources, samples.tokens, samples.owners)[wanted], limited)
        found = scores(own, labels, temperature, entropy=entropy, anchor=other)
        return TokenScores(
            spread(found.logprobs),
            None if found.entropy is None else spread(found.entropy),
            None if found.divergence is None else spread(found.divergence),
            samples.spread(_within(wanted, hidden), mask.shape) if states else None,
            spread(label_ranks(own, labels)) if ranks else None,
        )

    def hidden_states(self, sources: Sequence[Source], tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        samples = Distinct.of(tokens, mask, merge=self.merging)
        hidden = self.states(sources, samples.tokens, samples.owners)
        return samples.spread(_within(samples.mask, hidden), mask.shape)

    def predicted(self, states: torch.Tensor, limited: tuple[Limits, torch.Tensor] | None = None) -> Predicted:
        """The distribution of the token after each of the states [n, d], not yet made; a guide's part included.

        Args:
            limited: what can be drawn at all, with the ids [n, K] at these states.
        """
        guide = self.guide
        # At 0 nothing is added, so that the model is the very same as without.
        shift = guide if guide is not None and guide.beta else None
        return Predicted(self._scaled(states), self._head, self._head_bias, self.softcap, shift, limited)

    def smoothed_loss(
        self, sources: Sequence[Source], targets: Sequence[Sequence[int]], label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, wanted = (rows.squeeze(1) for rows in pad_rows(targets, self.pad_id, self.device))
        hidden = self.states(sources, tokens)
        labels = tokens[wanted]
        picked = self._scaled(hidden[wanted])
        if torch.is_autocast_enabled(self.device.type):
            # A last norm leaves float32 states even there; head and states go on in its type, as in a linear layer.
            picked = picked.to(torch.get_autocast_dtype(self.device.type))
        head = self._head.to(picked.dtype)
        return smoothed_cross_entropy(picked, head, self._own_bias, labels, label_smoothing, self.softcap)

    def next_logits(self, hidden: torch.Tensor, workspace: Workspace | None = None) -> torch.Tensor:
        """Logits [n, V] of the token after states [n, d]; minus infinity for tokens that are never generated.

        Args:
            workspace: where they are made, if they can be.
        """
        if self._packed_head is not None:
            return self._packed_head(self._scaled(hidden))
        if self.autocast is None:
            predicted = self.predicted(hidden)
            return predicted.logits(predicted.hidden, workspace)
        with torch.autocast(self.device.type, enabled=False):
            predicted = self.predicted(hidden.float())
            return predicted.logits(predicted.hidden, workspace)

    @property
    def never_said(self) -> list[int]:
        """Tokens that are never generated."""
        return self._never

    @property
    def guide(self) -> Guide | None:
        """Values of the next token that the policy follows beside its own probabilities, where it has any."""
        # A part of the model, so that it goes wherever the model goes: to a device, into a copy, into a checkpoint.
        guide: Guide | None = getattr(self.model, _GUIDE, None)
        return guide

    def check_supervised(self) -> None:
        if self.guide is not None:
            raise ModelError(
                "model: it follows values (guide.json), which supervised training would neither change nor fit; take"
                " the 'supervised' part out, or start from the model that they were learnt on"
            )

    def check_follow(self) -> None:
        """Refuse at the door what cannot take a guide.

        Raises:
            ModelError: there is one already, or the model has adapters.
        """
        if self.guide is not None:
            raise ModelError(
                "model: it follows values already (guide.json), and others would replace them; start from the model"
                " that they were learnt on"
            )
        if self.adapters is not None:
            raise ModelError(
                "model: values are learnt beside a frozen model, which leaves adapters untrained; drop policy.lora, or"
                " start from the merged model"
            )

    def follow(self, guide: Guide) -> None:
        """Take a guide; the model itself is frozen, so that the guide's policy stays one around it.

        Raises:
            ModelError: as `check_follow`, or it belongs to another model.
        """
        self.check_follow()
        if (guide.shape.tokens, guide.shape.width) != (self.vocabulary, self.width):
            raise ModelError(
                f"model: its values are for {guide.shape.tokens} tokens and states of {guide.shape.width}, it has"
                f" {self.vocabulary} and {self.width}; the folder mixes files of two models"
            )
        self.model.requires_grad_(False)
        self.model.add_module(_GUIDE, guide.to(self.device))
        self.note_trainable()

    @contextmanager
    def library_search(self, attention: str) -> Iterator[None]:
        """Have the library's own forward pass say what this policy says: its attention by name, and the guide."""
        set_attention(self.model, attention)
        try:
            with added_to_output(self.model, self.guide):
                yield
        finally:
            set_attention(self.model, ATTENTION)

    def save_parts(self, path: Path) -> None:
        """Write the model as plain transformers reads it, or its adapters alone; the tokenizer; the guide, if any."""
        path.mkdir(parents=True, exist_ok=True)
        if self.adapters is None:
            own = {k: v for k, v in self.model.state_dict().items() if not k.startswith(f"{_GUIDE}.")}
            save_model(self.model, path, state_dict=own)
        else:
            self.adapters.save(self.model, path)
        save_tokenizer(self.tokenizer, path)
        if self.guide is not None:
            self.guide.save(path)

    def rounded(self: P, dtype: torch.dtype) -> P:
        """A frozen copy with all weights in another floating type; an adapter for all languages is added to them."""
        twin = copy.copy(self)
        twin.model, twin.adapters, twin.autocast = rounded_copy(self.plain_model(), dtype), None, None
        # The model's own bias of its tokens is rounded with it; in one type, both go into the head's product.
        twin._bias = self._bias.to(dtype)
        twin.model.eval()
        return twin

    def packed(self: P) -> P:
        """This policy, to sample from alone: its weights as the processor reads them fastest, where there is a way."""
        if packs(self._head.dtype, self.device):
            pack_layers(self.model)
            if self.softcap is None:
                self._packed_head = PackedLinear(self._head, self._head_bias)
        return self

    def detokenize(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        return [text.strip() for text in self.texts.decode(tokens)]

    def _scaled(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden if self.hidden_scale == 1 else hidden * self.hidden_scale

    @property
    def width(self) -> int:
        return int(self._head.shape[1])

    @property
    def vocabulary(self) -> int:
        """Tokens that the vocabulary head has rows for."""
        return len(self._head)

    @property
    def _head(self) -> torch.Tensor:
        return self.model.get_output_embeddings().weight

    @property
    def _own_bias(self) -> torch.Tensor:
        """The model's own bias of each token."""
        bias = getattr(self.model, "final_logits_bias", None)
        return torch.zeros_like(self._bias, device=self.device) if bias is None else bias.squeeze(0)

    @property
    def _head_bias(self) -> torch.Tensor:
        if self._bias.device != self.device:
            # Once: at each token it would make the device wait.
            with torch.inference_mode(False):
                self._bias = self._bias.to(self.device)
        return (self._own_bias + self._bias).detach()


def _within(mask: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """States [n, T, d], 0 where masked."""
    # Filled, not multiplied: a state behind the end may be anything.
    return hidden.masked_fill(~mask[..., None], 0.0)
