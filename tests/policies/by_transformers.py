"""Translations that transformers makes without us."""

import torch
from transformers import DynamicCache, EncoderDecoderCache

from eclectus.policies.compat import CACHE


def generated(model, tokenizer, policy, rows, beams=1):
    """Translations of at most 12 tokens by transformers' `generate` as the saved folder sets it, told the language."""
    return [one_generated(model, tokenizer, source, beams) for source in policy.tokenize_sources(rows)]


def one_generated(model, tokenizer, source, beams):
    first, *forced = source.start
    made = model.generate(
        input_ids=torch.tensor([source.ids]),
        decoder_start_token_id=first,
        forced_bos_token_id=forced[0] if forced else None,
        max_length=12 + len(source.start),
        num_beams=beams,
        # The library's own has as many layers as the encoder, fewer than some decoders here.
        **{CACHE: EncoderDecoderCache(DynamicCache(), DynamicCache())},
    )
    return tokenizer.batch_decode(made[:, len(source.start) :], skip_special_tokens=True)[0].strip()
