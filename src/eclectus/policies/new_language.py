"""Teach a model a language that it has no tag for: a new tag that starts as a copy of a related language's.

The tag's rows in the embeddings of encoder and decoder, in the vocabulary head and in its bias are those of the related
language, so before any training the model translates into the new language as it does into the related one; training
then pulls them apart.

The tokenizer's pieces stay as they are. mBART-50 was made from mBART-25 in this way, with random rows for the new tags:
Tang et al. 2020, https://arxiv.org/abs/2008.00401, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import AddedToken

from eclectus import languages
from eclectus.errors import ModelError
from eclectus.policies.base import Policy
from eclectus.policies.seq2seq import Seq2SeqPolicy


def add_languages(policy: Policy, related: Mapping[str, str]) -> Seq2SeqPolicy:
    """Give a model new languages; its weights and tokenizer are changed in place.

    Args:
        policy: not trained yet: an optimizer would still hold the old embeddings.
        related: new language -> language of the model to start from, both BCP-47.

    Returns:
        A policy around the same model that knows the new languages; plain transformers loads what it saves.

    Raises:
        ConfigError: an unknown tag, or one spelled otherwise.
        ModelError: the model marks no languages, has the new one already or lacks the related one, or its family has
            no way to write the new one.
    """
    languages.check(list(related))
    if not isinstance(policy, Seq2SeqPolicy) or not policy.family.tokens:
        raise ModelError(
            "policy.add_languages: the model has no language tags to add one to; drop the setting (a model that is"
            " asked in words may be asked for any language)"
        )
    family = policy.family
    for language, like in related.items():
        if family.codes.find(language) is not None:
            raise ModelError(f"policy.add_languages: the model has the language '{language}' already; take it out")
        if family.codes.find(like) is None:
            raise ModelError(
                f"policy.add_languages: the model has no language '{like}' to start '{language}' from"
                f"{policy.nearest_language(like)}"
            )
    model, tokenizer = policy.model, policy.tokenizer
    old = [family.token(like) for like in related.values()]
    new = _add_tokens(tokenizer, [family.new_token(language) for language in related], old, _rows(model))
    if max(new) >= _rows(model):
        model.resize_token_embeddings(max(new) + 1, mean_resizing=False)
    with torch.no_grad():
        for matrix in _matrices(model):
            matrix[new] = matrix[old]
    extended = Seq2SeqPolicy(model, tokenizer, family.prompt)
    for language, token in zip(related, new, strict=True):
        if extended.family.codes.find(language) is None or extended.family.token(language) != token:
            raise ModelError(
                f"policy.add_languages: the model's kind of language tag cannot tell '{language}' from its other"
                " languages; use a tag without script and region"
            )
    return extended


def _add_tokens(tokenizer: Any, tokens: list[str], like: list[int], rows: int) -> list[int]:
    """Add tokens that are cut out of a text just as those numbered `like` are; returns their numbers."""
    known = tokenizer.added_tokens_decoder
    added = []
    for token, other in zip(tokens, like, strict=True):
        flags = known.get(other, AddedToken("", special=True, normalized=False))
        added.append(
            AddedToken(
                token,
                single_word=flags.single_word,
                lstrip=flags.lstrip,
                rstrip=flags.rstrip,
                normalized=flags.normalized,
                special=flags.special,
            )
        )
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        # M2M100's own count leaves its language tokens out, so a token added the usual way would share a row with one.
        tokenizer.added_tokens_decoder = {rows + i: token for i, token in enumerate(added)}
    else:
        tokenizer.add_tokens(added)
    return [int(i) for i in tokenizer.convert_tokens_to_ids(tokens)]


def _rows(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _matrices(model: Any) -> Iterator[torch.Tensor]:
    """Everything with one row for each token, once where it is shared."""
    parts = (model.get_encoder(), model.get_decoder(), model)
    tensors = [*(part.get_input_embeddings().weight for part in parts), model.get_output_embeddings().weight]
    yield from {tensor.data_ptr(): tensor for tensor in tensors}.values()
    bias = getattr(model, "final_logits_bias", None)
    if bias is not None:
        yield bias[0]
