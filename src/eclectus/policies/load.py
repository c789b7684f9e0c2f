"""From a name to a policy: the shipped base, a folder, a hub id, or a new model."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import logging as hub_logging
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers import logging as transformers_logging
from transformers.utils import cached_file

from eclectus import parallel
from eclectus.config import NewModelConfig, PromptConfig
from eclectus.corpora.seen import FILE as SEEN_FILE
from eclectus.corpora.seen import SeenText
from eclectus.errors import ModelError, RunError
from eclectus.policies import prompt_file
from eclectus.policies.adapters import adapted_base
from eclectus.policies.causal import MODEL_TYPES as CAUSAL
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import TOKENIZER_SETTINGS, check_tokenizer, freeze_positions
from eclectus.policies.families import families
from eclectus.policies.folder import check_config, check_folder, check_tokenizer_code, model_of_run, read_settings
from eclectus.policies.gguf import check_gguf, float_weights, forget_quantisation, is_gguf
from eclectus.policies.guide import SETTINGS as GUIDE_SETTINGS
from eclectus.policies.guide import WEIGHTS as GUIDE_WEIGHTS
from eclectus.policies.guide import Guide
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.policies.tokenizer import train_tokenizer

BASE = "base"

_LAYER = re.compile(r"\.\d+\.")
"""The number of a layer in the name of a tensor."""


def base_folder() -> Path:
    """Where the shipped base model is."""
    return Path(str(files("eclectus") / "base"))


def load_policy(
    path: str, prompt: PromptConfig | None = None, revision: str | None = None
) -> tuple[PretrainedPolicy, SeenText | None]:
    """Load a model in float32 and, where it carries them, the hashes of the text it was trained on.

    Weights are read from safetensors; where there are none, from pytorch_model.bin, of which torch reads the tensors
    and nothing else (`weights_only`). Code that a model brings is never run.

    Args:
        path: `base`, a folder (also of a run, or of adapters, which names their model), a GGUF file, or a hub id.
        prompt: how a model without language tags is asked; None: as its folder says, or the default.
        revision: branch, tag or commit of a hub id; None: its main branch.

    Raises:
        ModelError: it cannot be loaded.
    """
    path = model_of_run(path)
    if revision is not None and (path == BASE or Path(path).exists()):
        raise ModelError(f"model: '{path}' is not of a hub and has no revision '{revision}'; leave policy.revision out")
    adapted = adapted_base(Path(path))
    if adapted is None:
        name = str(base_folder()) if path == BASE else path
        return _load(path, name, prompt, name, revision), _seen(name, revision)
    base, revision = adapted
    # What belongs to the adapters lies beside them: how the model was asked, and the text it has met.
    name = str(base_folder()) if base == BASE else model_of_run(base)
    policy = _load(base, name, prompt, path, revision)
    policy.load_adapters(Path(path), base)
    return policy, _seen(path, None) or _seen(name, revision)


def _load(path: str, name: str, prompt: PromptConfig | None, beside: str, revision: str | None) -> PretrainedPolicy:
    """The model `name`, called `path` by the user, asked as the folder `beside` says where `prompt` does not."""
    known = {*families(), *CAUSAL}
    options: dict[str, Any] = {"trust_remote_code": False}
    single = is_gguf(Path(name))
    if single:
        check_gguf(Path(name))
        options["gguf_file"] = Path(name).name
        name = str(Path(name).parent)
    elif Path(name).exists():
        check_folder(Path(name), known)
    elif not _may_be_hub_id(name):
        raise ModelError(
            f"model: cannot load '{path}' (no such folder); give 'base', a folder that `eclectus train` wrote, or a hub"
            " id with its owner, as in Helsinki-NLP/opus-mt-en-es"
        )
    else:
        options["revision"] = revision or "main"
    with _one_sentence(path), _quiet():
        config = AutoConfig.from_pretrained(name, **options)
        check_config(path, config.to_dict(), known)
        check_tokenizer(Path(name))
        settings = None if single else _file(name, TOKENIZER_SETTINGS, revision)
        if settings is not None:
            check_tokenizer_code(path, read_settings(settings))
        tokenizer: Any = _tokenizer(path, name, options)
        causal = config.model_type in CAUSAL
        library: Any = AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM
        model, info = library.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, **options, **(float_weights() if single else {})
        )
    freeze_positions(model)
    _check_tensors(path, model, sorted(info["missing_keys"]), sorted(info["unexpected_keys"]))
    if single:
        forget_quantisation(model)
    saved = _file(beside, prompt_file.FILE, revision) if prompt is None else None
    prompt, examples = (prompt, {}) if saved is None else prompt_file.read(saved)
    policy: PretrainedPolicy = (
        CausalPolicy(model, tokenizer, prompt, examples) if causal else Seq2SeqPolicy(model, tokenizer, prompt)
    )
    values = _file(name, GUIDE_SETTINGS, revision)
    if values is not None:
        policy.follow(Guide.load(values, _file(name, GUIDE_WEIGHTS, revision)))
    return policy


def new_policy(config: NewModelConfig, texts: Sequence[str], languages: Sequence[str], seed: int) -> PretrainedPolicy:
    """Train a tokenizer on `texts` and build a model with random weights."""
    return Seq2SeqPolicy.new(config, train_tokenizer(texts, languages, config.vocabulary), seed)


def resolve_device(wanted: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; of several processes on a machine each has a CUDA device of its own.

    Raises:
        RunError: the device is not there.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cuda" and parallel.size() > 1:
        wanted = f"cuda:{parallel.local()}"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"device: '{wanted}' cannot be used here ({reason}); set device: cpu") from error
    return torch.device(wanted)


def _check_tensors(path: str, model: Any, missing: Sequence[str], further: Sequence[str]) -> None:
    """Make sure that the weights are the model's, all of them, and numbers.

    Args:
        missing: tensors of the model that the weights lack.
        further: tensors of the weights that the model lacks.

    Raises:
        ModelError: they are not.
    """
    if missing:
        raise ModelError(
            f"model: the weights in '{path}' lack {len(missing)} of the model's tensors, {missing[0]} first;"
            " they belong to another architecture"
        )
    # What another program kept beside the model is no matter, but one more layer of the model's own kind is.
    kinds = {_LAYER.sub(".#.", name) for name in model.state_dict()}
    layers = [name for name in further if _LAYER.sub(".#.", name) in kinds]
    if layers:
        raise ModelError(
            f"model: the weights in '{path}' have layers that its config.json does not, {layers[0]} first; copy the"
            " whole folder again"
        )
    broken = next((name for name, weights in model.named_parameters() if not weights.isfinite().all()), None)
    if broken is not None:
        raise ModelError(f"model: the weights in '{path}' are damaged: {broken} is not finite; copy the folder again")


def _tokenizer(path: str, name: str, options: dict[str, Any]) -> Any:
    try:
        return AutoTokenizer.from_pretrained(name, **options)
    except TypeError as error:  # what transformers 4 makes of a file that is not there
        raise ModelError(f"model: '{path}' has no tokenizer of its type; copy the whole folder") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised for or after."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _one_sentence(path: str) -> Iterator[None]:
    """Turn what the libraries raise at a model that cannot be loaded into our own error."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # some of their classes are not exported, others derive from nothing narrower
        raise ModelError(f"model: {_told(path, error)}") from error


def _told(path: str, error: Exception) -> str:
    """What is wrong with a model, as far as the libraries' error tells."""
    said = str(error)
    known = (
        (
            any(isinstance(cause, pickle.UnpicklingError) for cause in _chain(error)),
            f"the weights in '{path}' are damaged, or hold more than tensors, which is not read; use a copy in"
            " safetensors",
        ),
        (
            "ignore_mismatched_sizes" in said or "size mismatch" in said,  # of transformers 5 and 4
            f"the weights in '{path}' have other shapes than its config.json says; copy the whole folder again",
        ),
        (
            "trust_remote_code" in said,
            f"'{path}' brings code of its own (trust_remote_code), which is never run; give a model without",
        ),
        (
            "safetensor" in type(error).__name__.lower(),
            f"the weights in '{path}' are damaged ({error}); copy the folder again",
        ),
        (
            type(error) is Exception,  # of tokenizers
            f"the tokenizer of '{path}' is damaged ({_reason(error)}); copy the folder again",
        ),
        (
            any(word in said.lower() for word in ("sentencepiece", "protobuf")),
            f"the tokenizer of '{path}' needs sentencepiece; install it with `pip install 'eclectus[sentencepiece]'`",
        ),
        (
            isinstance(error, OSError) and "connect" in said,
            f"'{path}' is no folder here, and the model hub cannot be reached to look for it there; connect to the"
            " network, or give a folder that holds the model",
        ),
    )
    other = (
        f"cannot load '{path}' ({_reason(error)}); give a folder that `eclectus train` wrote, a folder of transformers,"
        " or a hub id"
    )
    return next((sentence for holds, sentence in known if holds), other)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice, such as on untied embeddings that are as they should be, off the screen."""
    level, hub_level = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)


def _may_be_hub_id(model: str) -> bool:
    """Tell `owner/name` from a mistyped folder: asking the hub takes a minute where there is no network."""
    owner, slash, name = model.partition("/")
    return bool(owner and slash and name) and "/" not in name and owner[0] not in ".~" and not Path(owner).exists()


def _file(name: str, file: str, revision: str | None) -> Path | None:
    """A file of a model folder or of a hub id, where there is one; a single file has none beside it."""
    folder = Path(name)
    if folder.exists():
        return folder / file if (folder / file).exists() else None
    found = cached_file(
        name,
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _seen(name: str, revision: str | None) -> SeenText | None:
    path = _file(name, SEEN_FILE, revision)
    return None if path is None else SeenText.load(path.parent)


def _reason(error: Exception) -> str:
    """The first sentence of an error; what follows is advice for those who call transformers themselves."""
    lines = str(error).splitlines() or [type(error).__name__]
    # "Validation error for a field:" alone says nothing.
    told = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return told.split(". ")[0]
