"""Low-rank adapters (LoRA, Hu et al. 2022) through peft, put into a model in place: its class and its interface stay.

The frozen weights are held once. Copies of the policy (the KL reference, the controls, renewed translators) share them
and own nothing but their adapters; the copy of a policy that has not been trained yet has its adapters switched off.

With an adapter for each target language, the rows of a batch are routed: a row goes through the adapter of its own
language, in peft's own batches of mixed adapters. A language that has no adapter is translated by the model as it is.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eclectus.config import LoraConfig
from eclectus.errors import ModelError, nearest
from eclectus.policies.compat import save_model
from eclectus.rollouts.base import Stepper
from eclectus.rollouts.padding import placed

CONFIG_FILE = "adapter_config.json"
_WEIGHTS_FILE = "adapter_model.safetensors"
_ONE = "default"
_LANGUAGE = "to-"
"""Before a language in an adapter's name: torch takes no module named `to` (Tongan), nor one like any other method."""

_NO_ADAPTER = "__base__"
_PREFIX = "base_model.model."
"""What peft puts before the names of weights in a file."""


class Routing:
    """Which adapter each row of a batch goes through; hangs on every adapted layer as a hook."""

    def __init__(self, known: Sequence[str]) -> None:
        self.languages = [name.removeprefix(_LANGUAGE) for name in known]
        self._known = frozenset(known)
        self._rows: list[str] | None = None
        self._owners: list[int] | None = None

    @contextmanager
    def __call__(self, languages: Sequence[str], owners: list[int] | None = None) -> Iterator[None]:
        """Within it, a batch has the rows of these languages: one of each, or as `owners` say, or as many of each."""
        names = [_LANGUAGE + language for language in languages]
        with self._set([name if name in self._known else _NO_ADAPTER for name in names], owners):
            yield

    def again(self) -> Any:
        """What holds now, for a layer that runs again later."""
        return self._set(self._rows, self._owners)

    def hook(
        self, layer: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Tell an adapted layer the adapter of each of its input's rows."""
        if self._rows is None:
            raise RuntimeError("a model with an adapter per language was run without the languages of its rows")
        batch = len(args[0])
        if self._owners is not None and batch == len(self._owners):
            names = [self._rows[owner] for owner in self._owners]
        else:
            names = [name for name in self._rows for _ in range(batch // len(self._rows))]
        return args, {**kwargs, "adapter_names": names}

    @contextmanager
    def _set(self, rows: list[str] | None, owners: list[int] | None) -> Iterator[None]:
        before = self._rows, self._owners
        self._rows, self._owners = rows, owners
        try:
            yield
        finally:
            self._rows, self._owners = before


class Adapters:
    """The adapters of one model.

    Args:
        model: gets the adapters; everything else of it is frozen.
        base: where the model comes from, for those who load the adapters again.
        merge: save a plain model.
        routing: None where one adapter serves all languages.
    """

    def __init__(self, model: Any, base: str, merge: bool, routing: Routing | None) -> None:
        self.base, self.merge, self.routing = base, merge, routing
        for name, parameter in model.named_parameters():
            # peft lets one adapter learn at a time.
            parameter.requires_grad_("lora_" in name)
        if routing is not None:
            for layer in _layers(model).values():
                layer.register_forward_pre_hook(routing.hook, with_kwargs=True)

    @classmethod
    def new(
        cls,
        model: Any,
        config: LoraConfig,
        base: str,
        languages: Sequence[str],
        seed: int,
        revision: str | None = None,
    ) -> Adapters:
        """Adapters that change nothing yet (B = 0), their A drawn from `seed`.

        Args:
            revision: of the base, where it comes from a hub; saved with them.

        Raises:
            ModelError: peft is missing, or a target that the model does not have.
        """
        peft = _peft()
        linear = linear_layers(model)
        for target in config.targets or ():
            if target not in linear:
                raise ModelError(
                    f"policy.lora.targets: the model has no linear layer '{target}'{nearest(target, linear)}"
                )
        names = [_LANGUAGE + language for language in languages] if config.per_language else [_ONE]
        kind = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"
        torch.manual_seed(seed)
        for name in names:
            settings = peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                lora_dropout=config.dropout,
                target_modules=sorted(config.targets or linear),
                task_type=kind,
                revision=revision,
            )
            _inject(model, settings, name)
        merge = not config.per_language if config.merge is None else config.merge
        return cls(model, base, merge, Routing(names) if config.per_language else None)

    @classmethod
    def load(cls, model: Any, folder: Path, base: str) -> Adapters:
        """Adapters that `save` wrote, or peft; they can be trained on and are saved as adapters again.

        Raises:
            ModelError: peft is missing, a file is damaged or belongs to another model, or see `_check_kind`.
        """
        peft = _peft()
        folders = adapter_folders(folder)
        alone = list(folders) == [_ONE]
        for name, path in folders.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of kinds that are refused below
                    settings = peft.PeftConfig.from_pretrained(str(path))
                values = load_file(path / _WEIGHTS_FILE)
                _inject(model, settings, name)
                weights = {key.removeprefix(_PREFIX): value for key, value in values.items()}
                found = peft.set_peft_model_state_dict(model, weights, adapter_name=name)
            except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise ModelError(f"model: the adapter in '{path}' does not fit '{base}' ({reason})") from error
            missing = [key for key in found.missing_keys if "lora_" in key and f".{name}." in key]
            if missing or found.unexpected_keys or not isinstance(settings, peft.LoraConfig):
                raise ModelError(f"model: the adapter in '{path}' does not fit '{base}'; it was made for another model")
            _check_kind(model, settings, name, path, alone)
        return cls(model, base, False, None if alone else Routing(list(folders)))

    def untouched(self, model: Any) -> bool:
        """Whether no adapter changes anything: every B is 0."""
        return not any(weight.detach().any() for name, weight in model.named_parameters() if "lora_B" in name)

    def switch(self, model: Any, *, on: bool) -> None:
        """Let the adapters work, or the model as it is without them."""
        for layer in _layers(model).values():
            layer.enable_adapters(on)

    def save(self, model: Any, folder: Path) -> None:
        """Write a plain model if `merge`, else the adapters as peft writes them, one folder for each language."""
        if self.merge:
            save_model(merged(model), folder)
            return
        peft = _peft()
        for name, settings in model.peft_config.items():
            path = folder if name == _ONE else folder / name
            path.mkdir(parents=True, exist_ok=True)
            written = copy.copy(settings)
            written.base_model_name_or_path, written.inference_mode = self.base, True
            written.save_pretrained(str(path))
            weights = peft.get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
            tensors = {_PREFIX + key: value.contiguous().cpu() for key, value in weights.items()}
            save_file(tensors, path / _WEIGHTS_FILE, metadata={"format": "pt"})


def frozen_tensors(model: torch.nn.Module) -> dict[int, torch.Tensor]:
    """What copies of an adapted model share with it, as `copy.deepcopy` takes it: all but the adapters' weights."""
    own = [tensor for name, tensor in model.named_parameters() if "lora_" not in name]
    return {id(tensor): tensor for tensor in [*own, *model.buffers()]}


def linear_layers(model: Any) -> set[str]:
    """Last names of the linear layers that can have an adapter: all but the vocabulary's."""
    head = model.get_output_embeddings()
    linear = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head]
    return {name.rpartition(".")[2] for name in linear}


def merged(model: Any) -> Any:
    """A plain model, W + (alpha / rank) * B A; `model` stays as it is and shares with it what has no adapter.

    peft adds, so that DoRA and biases of adapters count too.

    Raises:
        ModelError: the sum is not finite.
    """
    plain = copy.deepcopy(model, {id(t): t for t in [*model.parameters(), *model.buffers()]})
    for name, layer in _layers(plain).items():
        base = layer.get_base_layer()
        for key, value in list(base.named_parameters(recurse=False)):
            # peft puts the sum into the parameter that it finds, which is that of `model`.
            setattr(base, key, torch.nn.Parameter(value.detach(), requires_grad=False))
        try:
            with torch.no_grad():
                layer.merge(safe_merge=True, adapter_names=[_ONE])
        except ValueError as error:
            raise ModelError(
                f"model: the adapter of '{name}' makes weights that are not finite; train it again with a lower"
                " learning rate"
            ) from error
        parent, _, own = name.rpartition(".")
        setattr(plain.get_submodule(parent), own, base)
    del plain.peft_config
    return plain


def adapter_folders(folder: Path) -> dict[str, Path]:
    """The adapters that lie in a folder, by name; none where it is not a folder of adapters."""
    if (folder / CONFIG_FILE).exists():
        return {_ONE: folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"{_LANGUAGE}*/{CONFIG_FILE}"))}


def adapted_base(folder: Path) -> tuple[str, str | None] | None:
    """The model that the adapters in `folder` belong to, and its revision; None where it is not a folder of adapters.

    Raises:
        ModelError: the adapters do not name one model and one revision of it.
    """
    if (folder / "config.json").exists():
        return None
    files = [path / CONFIG_FILE for path in adapter_folders(folder).values()]
    try:
        settings = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        bases = {(values["base_model_name_or_path"], values.get("revision") or None) for values in settings}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model: the {CONFIG_FILE} in '{folder}' is damaged; copy the folder again") from error
    if not bases:
        return None
    base, revision = bases.pop()
    if bases or not isinstance(base, str) or not base or not isinstance(revision, str | None):
        raise ModelError(
            f"model: the adapters in '{folder}' do not name one base_model_name_or_path and one revision of it; write"
            f" them into each {CONFIG_FILE}"
        )
    return base, revision


class RoutedStepper:
    """A stepper of sources of several languages, each row decoded through the adapter of its language."""

    def __init__(self, stepper: Stepper, routing: Routing, languages: Sequence[str], samples: int) -> None:
        self._stepper, self._routing = stepper, routing
        # The first step also looks at the sources themselves, which have one row each.
        self._languages = list(languages)
        self._rows = [language for language in languages for _ in range(samples)]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        with self._routing(self._languages):
            return self._stepper.step(tokens)

    def keep(self, rows: torch.Tensor) -> None:
        self._stepper.keep(rows)
        self._languages = self._rows = [self._rows[i] for i in rows.tolist()]

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        self._stepper.branch(rows, places)
        numbers = placed(torch.arange(len(self._rows)), rows.cpu(), places.cpu())
        self._languages = self._rows = [self._rows[i] for i in numbers.tolist()]


def _layers(model: Any) -> dict[str, Any]:
    """The adapted layers by name."""
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def _check_kind(model: Any, settings: Any, name: str, path: Path, alone: bool) -> None:
    """Check that sampling, training and the merged model all follow an adapter.

    Args:
        settings: peft's.
        alone: one adapter serves all languages.

    Raises:
        ModelError: it changes the output embeddings, has biases where the model has none, waits for words of the
            prompt, or is DoRA for one language.
    """
    from peft.tuners.lora import LoraLayer

    if isinstance(model.get_output_embeddings(), LoraLayer):
        raise ModelError(
            f"model: the adapter in '{path}' changes the output embeddings, which sampling and training use as they"
            " are; add it to its model with peft's merge_and_unload, and start from what that gives"
        )
    biased = [layer.get_base_layer() for layer in _layers(model).values() if layer.lora_bias.get(name)]
    if any(base.bias is None for base in biased):
        raise ModelError(
            f"model: the adapter in '{path}' has biases (lora_bias) for layers that have none, so it cannot be added"
            " to the weights; train it without lora_bias"
        )
    if getattr(settings, "alora_invocation_tokens", None):
        raise ModelError(
            f"model: the adapter in '{path}' waits for words of the prompt (alora_invocation_tokens), which it is not"
            " told of here; train it without them"
        )
    if settings.use_dora and not alone:
        raise ModelError(
            f"model: the adapter in '{path}' is DoRA (use_dora), which peft does not mix with other adapters in a"
            " batch; train it without use_dora, or use one adapter for all languages"
        )


def _inject(model: Any, settings: Any, name: str) -> None:
    with warnings.catch_warnings():
        # A second adapter on the same model is what is wanted here.
        warnings.simplefilter("ignore")
        _peft().inject_adapter_in_model(settings, model, adapter_name=name)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            "policy.lora: adapters need peft; install it with `pip install 'eclectus[lora]'`, or use a model without"
            " them"
        ) from error
    return peft
