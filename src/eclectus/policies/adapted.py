"""A policy whose model may have adapters or be split: what is trained, what is routed by language, how it is copied."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch

from eclectus.config import LoraConfig
from eclectus.errors import ModelError
from eclectus.policies.adapters import Adapters, RoutedStepper, Routing, frozen_tensors, merged
from eclectus.policies.base import Policy
from eclectus.policies.sharded import Shards
from eclectus.rollouts.base import Stepper

P = TypeVar("P", bound="AdaptedPolicy")


class AdaptedPolicy(Policy):
    """A policy around a model with adapters or without any.

    Args:
        model: of transformers; what requires a gradient in it is what is trained.
    """

    adapters: Adapters | None = None
    _shards: Shards | None = None

    def __init__(self, model: Any) -> None:
        # Any: the library's own annotations do not describe a generating model.
        self.model: Any = model
        self.model.eval()
        self.note_trainable()

    def note_trainable(self) -> None:
        """Keep in mind what is trained now, for copies to be trained."""
        self._trainable = [parameter.requires_grad for parameter in self.model.parameters()]

    def adapt(
        self, config: LoraConfig, base: str, languages: Sequence[str], seed: int, revision: str | None = None
    ) -> None:
        """Freeze the model and train adapters instead.

        Args:
            base: where the model comes from.
            languages: that the model is to translate into.
            revision: of the base, where it comes from a hub.

        Raises:
            ModelError: see `Adapters.new`; or it has adapters already.
        """
        if self.adapters is not None:
            raise ModelError(
                f"policy.lora: '{base}' holds adapters, which are trained on as they are; drop policy.lora"
            )
        self._take(Adapters.new(self.model, config, base, languages, seed, revision))

    def load_adapters(self, folder: Path, base: str) -> None:
        """Take adapters that were saved apart from their model; raises as `Adapters.load`."""
        self._take(Adapters.load(self.model, folder, base))

    def _take(self, adapters: Adapters) -> None:
        self.adapters = adapters
        self.model.eval()
        self.note_trainable()

    @property
    def has_routed_adapters(self) -> bool:
        """Whether each target language has an adapter of its own."""
        return self._routing is not None

    def plain_model(self) -> Any:
        """The model without adapters beside it: one for all languages is added to the weights."""
        return self.model if self.adapters is None else merged(self.model)

    @property
    def _routing(self) -> Routing | None:
        return None if self.adapters is None else self.adapters.routing

    def _by_adapter(self, routing: Routing, languages: Sequence[str]) -> list[str]:
        """Each language as its adapter calls it: by the same tag, else by one that is the same language to the model.

        One without an adapter stays as it is.
        """
        marks: dict[str | None, str] = {self.language_mark(known): known for known in reversed(routing.languages)}
        marks.pop(None, None)  # told in words, each tag is a language of its own
        return [tag if tag in routing.languages else marks.get(self.language_mark(tag), tag) for tag in languages]

    def check_trained(self, languages: Sequence[str]) -> None:
        """Refuse at the door to train translations into a language that has no adapter: nothing would learn it.

        Raises:
            ModelError: each language has an adapter of its own, and one of these has none.
        """
        routing = self._routing
        if routing is None:
            return
        called = self._by_adapter(routing, languages)
        missing = [tag for tag, name in zip(languages, called, strict=True) if name not in routing.languages]
        if missing:
            raise ModelError(
                f"model: it has adapters for {', '.join(routing.languages)}, and none for {', '.join(missing)}, which"
                " the run trains translations into; take those directions out of training, or start from the model"
                " without adapters, with policy.lora"
            )

    def routed(self, languages: Sequence[str], owners: torch.Tensor | None = None) -> AbstractContextManager[None]:
        """Within it, the model runs on sources with these target languages, in this order.

        Args:
            owners: the source of each of the decoder's rows; None: each source has as many.
        """
        routing = self._routing
        if routing is None:
            return nullcontext()
        return routing(self._by_adapter(routing, languages), None if owners is None else owners.tolist())

    def routed_again(self) -> AbstractContextManager[None]:
        """What `routed` says now, for a layer that runs again later."""
        again: AbstractContextManager[None] = nullcontext() if self._routing is None else self._routing.again()
        return again

    def routed_stepper(self, stepper: Stepper, languages: Sequence[str], samples: int) -> Stepper:
        """A decoder whose rows, `samples` for each source, go through the adapters of the sources' target languages."""
        routing = self._routing
        if routing is None:
            return stepper
        return RoutedStepper(stepper, routing, self._by_adapter(routing, languages), samples)

    def shard(self) -> None:
        """Split the layers over the processes that train together; see `Shards`. Collective.

        Raises:
            ModelError: an adapter for each language, of which a process may meet none.
        """
        if self.has_routed_adapters:
            raise ModelError(
                "model: it has an adapter for each language, whose layers cannot be split; do not split: policy.fsdp:"
                " false, accelerate's ddp"
            )
        self._shards = Shards(self.model, self.device)

    @property
    def sharded(self) -> bool:
        return self._shards is not None

    def whole(self) -> AbstractContextManager[None]:
        return nullcontext() if self._shards is None else self._shards.whole()

    @property
    def is_whole(self) -> bool:
        return self._shards is None or self._shards.open

    def unsplit(self: P) -> P:
        """This policy where its layers are whole, or a copy on the CPU of which that is true. Collective."""
        if self._shards is None:
            return self
        twin = copy.copy(self)
        twin.model, twin._shards = self._shards.unsplit(self.model, torch.device("cpu")), None
        twin.model.eval()
        return twin

    def copy(self: P, trainable: bool = False) -> P:
        twin = copy.copy(self)
        if self._shards is None:
            shared = {} if self.adapters is None else frozen_tensors(self.model)
            twin.model, twin.adapters = copy.deepcopy((self.model, self.adapters), shared)
        else:
            twin.model, twin.adapters = self._shards.unsplit(self.model, self.device), copy.copy(self.adapters)
        twin.model.eval()
        if twin.adapters is not None:
            twin.adapters.switch(twin.model, on=trainable or not twin.adapters.untouched(twin.model))
        if trainable:
            for own, other in zip(twin.model.parameters(), self._trainable, strict=True):
                own.requires_grad_(other)
        else:
            twin.model.requires_grad_(False)
        if self._shards is not None:
            twin.shard()
        return twin
