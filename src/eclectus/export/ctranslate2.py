"""Encoder-decoder policies as CTranslate2 models, which translate several times faster and take int8 weights.

The weights are laid out by CTranslate2's own loaders. What we decide ourselves is the rest: the vocabulary is that of
the policy, row by row; the decoder starts as the family does; and tokens that the policy never generates (padding,
tags, unused rows) have a bias that rules them out, so that greedy search gives the policy's own translations.

Source: CTranslate2, https://github.com/OpenNMT/CTranslate2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

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
        ModelError: the policy is decoder-only.
    """
    if not isinstance(policy, Seq2SeqPolicy):
        kind = getattr(policy.model.config, "model_type", type(policy).__name__)
        raise ModelError(
            f"export: models of type '{kind}' are decoder-only, and only encoder-decoder models are exported to"
            " CTranslate2; use the model with transformers or vLLM, which read its folder as it is"
        )
    if folder.exists():
        raise RunError(f"export: '{folder}' exists; choose a new folder")
    try:
        from ctranslate2.converters.converter import Converter
    except ImportError as error:
        raise RunError(
            "export: CTranslate2 is not installed; install it with `pip install 'eclectus[ctranslate2]'`"
        ) from error

    # A copy: quantising works in place.
    copy = policy.copy()

    class PolicyConverter(Converter):
        def _load(self) -> Any:
            return _spec(copy)

    try:
        PolicyConverter().convert(str(folder), quantization=quantization)
        save_tokenizer(policy.tokenizer, folder)
    except OSError as error:
        raise RunError(f"export: cannot write to '{folder}' ({error}); choose another folder") from error


def _spec(policy: Seq2SeqPolicy) -> Any:
    """CTranslate2's description of the model, weights included."""
    from ctranslate2.converters import transformers as loaders
    from ctranslate2.specs.model_spec import OPTIONAL

    model, family = policy.model.float(), policy.family
    kind = model.config.model_type
    for name, value in _NORMS.get(kind, {}).items():
        setattr(model.config, name, value)
    # CTranslate2's loader of Marian would cut off the last row as padding, and of T5 scale by whether weights are tied.
    loader: Any = {"m2m_100": loaders.M2M100Loader, "t5": loaders.T5Loader, "mt5": loaders.MT5Loader}.get(
        kind, loaders.BartLoader
    )
    with torch.no_grad():
        spec = loader().get_model_spec(model)
        # The logits of a state of zeros are the bias.
        state = torch.zeros(1, model.get_output_embeddings().weight.shape[1], device=policy.device)
        bias = policy.next_logits(state)[0].clamp(min=_RULED_OUT).cpu()
    spec.decoder.projection.bias = bias
    spec.decoder.scale_outputs = OPTIONAL if policy.hidden_scale == 1 else policy.hidden_scale
    tokens = _vocabulary(policy, len(bias))
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    tag = next(iter(policy.languages), "en")
    first = family.start(Segment("", tag, tag))[0]
    for part in ("bos", "eos", "unk"):
        setattr(spec.config, f"{part}_token", getattr(policy.tokenizer, f"{part}_token") or policy.tokenizer.eos_token)
    # mBART-25 starts with the language itself, which then is the target prefix.
    spec.config.decoder_start_token = None if first in family.tokens.values() else tokens[first]
    return spec


def _vocabulary(policy: Seq2SeqPolicy, rows: int) -> list[str]:
    """The text of each row; a row that no token belongs to gets a name of its own."""
    known = {i: token for token, i in (policy.tokenizer.get_vocab() | policy.family.special_tokens()).items()}
    return [known.get(i, f"<unused {i}>") for i in range(rows)]
