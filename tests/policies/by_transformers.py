"""Translations that transformers makes without us."""

import torch
from transformers import DynamicCache, EncoderDecoderCache

from eclectus.policies.compat import CACHE
from eclectus.rollouts.padding import pad_rows


def generated(model, tokenizer, policy, rows, beams=1):
    """Translations of at most 12 tokens by transformers' own model and `generate`, told the languages as we do."""
    sources = policy.tokenize_sources(rows)
    ids, mask = pad_rows([source.ids for source in sources], policy.pad_id, policy.device)
    start = torch.tensor([source.start for source in sources])
    made = model.generate(
        input_ids=ids.squeeze(1),
        attention_mask=mask.squeeze(1),
        decoder_input_ids=start,
        decoder_start_token_id=start[:, 0],
        max_length=12 + start.shape[1],
        num_beams=beams,
        suppress_tokens=policy._never,
        **{CACHE: EncoderDecoderCache(DynamicCache(), DynamicCache())},
    )
    texts = tokenizer.batch_decode(made[:, start.shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts]
