"""Encoder-decoder policies as CTranslate2 models, which translate several times faster and take int8 weights.

The weights are laid out by CTranslate2's own loaders. What we decide ourselves is the rest: the vocabulary is that of
the policy, row by row; the decoder starts as the family does; and tokens that the policy never generates (padding,
tags, unused rows) have a bias that rules them out, so that greedy search gives the policy's own translations.

Source: CTranslate2, https://github.com/OpenNMT/CTranslate2.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from eclectus import atomic
from eclectus.errors import ModelError, RunError
from eclectus.policies.base import Policy
from eclectus.policies.compat import save_tokenizer
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.segment import Segment

_NORMS = {
    "marian": {"normalize_before": False, "normalize_embedding": False},
    "m2m_100": {"normalize_before": True, "normalize_embedding": False},
    "mbart": {"normalize_before": True, "normalize_embedding": True},
    "bart": {"normalize_before": False, "normalize_embedding": True},
}
"""Where the layers of each architecture normalise, which CTranslate2 reads from the configuration."""

_RULED_OUT = torch.finfo(torch.float16).min
"""Bias of a token that is never generated; the lowest that half precision holds too."""


def export(policy: Policy, folder: Path, quantization: str | None = None) -> None:
    """Write a policy as a CTranslate2 model, with its tokenizer beside it.

    Args:
        folder: new.
        quantization: of the weights, by CTranslate2's names: int8, int8_float16, float16, ...; None: float32.

    Raises:
        RunError: CTranslate2 is not installed, or the folder exists or cannot be written.
        ModelError: see `refusal`.
    """
    reason = refusal(policy)
    if reason is not None or not isinstance(policy, Seq2SeqPolicy):
        raise ModelError(f"export: {reason}; use the folder of the model as it is")
    if folder.exists():
        raise RunError(f"export: '{folder}' exists; choose a new folder")
    try:
        from ctranslate2.converters.converter import Converter
    except ImportError as error:
        raise RunError(
            "export: CTranslate2 is not installed; install it with `pip install 'eclectus[ctranslate2]'`"
        ) from error

    # A copy: quantising works in place.
    twin = policy.copy()

    class PolicyConverter(Converter):
        def _load(self) -> Any:
            return specification(twin)

    try:
        with atomic.folder(folder) as made:
            PolicyConverter().convert(str(made), quantization=quantization, force=True)
            save_tokenizer(policy.tokenizer, made)
    except OSError as error:
        raise RunError(f"export: cannot write to '{folder}' ({error}); choose another folder") from error


def refusal(policy: Policy) -> str | None:
    """Why CTranslate2 cannot run a policy, as the beginning of a sentence; None where it can."""
    if not isinstance(policy, Seq2SeqPolicy):
        kind = getattr(policy.model.config, "model_type", type(policy).__name__)
        return f"models of type '{kind}' are decoder-only, and only encoder-decoder models are made for CTranslate2"
    if policy.guide is not None:
        return "the model follows values (guide.json), which CTranslate2 has no place for"
    if policy.has_routed_adapters:
        return "the model has an adapter for each language, and CTranslate2 takes one set of weights"
    return None


def specification(policy: Seq2SeqPolicy, temperature: float = 1.0) -> Any:
    """CTranslate2's description of a policy that it does not refuse, weights included; on the CPU it shares them.

    Args:
        temperature: that the logits are divided by. CTranslate2's own is no part of the scores that it returns.
    """
    from ctranslate2.converters import transformers as loaders
    from ctranslate2.specs.model_spec import OPTIONAL

    if policy.device.type != "cpu":
        policy = policy.copy()
        policy.model.cpu()
    model, family = policy.plain_model(), policy.family
    kind = model.config.model_type
    # CTranslate2's loader of Marian would cut off the last row as padding, and of T5 scale by whether weights are tied.
    loader: Any = {"m2m_100": loaders.M2M100Loader, "t5": loaders.T5Loader, "mt5": loaders.MT5Loader}.get(
        kind, loaders.BartLoader
    )
    # What is added to the configuration, by us and by the loaders, must not be saved with the policy.
    own, model.config = model.config, copy.deepcopy(model.config)
    try:
        for name, value in _NORMS.get(kind, {}).items():
            setattr(model.config, name, value)
        with torch.no_grad():
            spec = loader().get_model_spec(model)
            # The logits of a state of zeros are the bias.
            state = torch.zeros(1, policy.width)
            bias = (policy.next_logits(state)[0] / temperature).clamp(min=_RULED_OUT)
    finally:
        model.config = own
    spec.decoder.projection.bias = bias
    scale = policy.hidden_scale / temperature
    spec.decoder.scale_outputs = OPTIONAL if scale == 1 else scale
    tokens = vocabulary(policy)
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    for part in ("bos", "eos", "unk"):
        setattr(spec.config, f"{part}_token", getattr(policy.tokenizer, f"{part}_token") or policy.tokenizer.eos_token)
    tag = next(iter(policy.languages), "en")
    start = family.start(Segment("", tag, tag))
    spec.config.decoder_start_token = None if len(target_prefix(policy, start)) == len(start) else tokens[start[0]]
    return spec


def target_prefix(policy: Seq2SeqPolicy, start: tuple[int, ...]) -> tuple[int, ...]:
    """What CTranslate2 is told that a translation begins with, from the start that the policy's decoder is given."""
    # mBART-25 starts with the language itself, which CTranslate2 cannot know.
    return start if start[0] in policy.family.tokens.values() else start[1:]


def vocabulary(policy: Seq2SeqPolicy) -> list[str]:
    """The text of each row of the vocabulary; a row that no token belongs to gets a name of its own."""
    known = {i: token for token, i in (policy.tokenizer.get_vocab() | policy.family.special_tokens()).items()}
    return [known.get(i, f"<unused {i}>") for i in range(policy.vocabulary)]
