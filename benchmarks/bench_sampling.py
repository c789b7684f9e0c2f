"""Sampling with the native engine against transformers' `generate`: same model, sources, samples and tokens.

Both run to a fixed length without end-of-sequence, so that both make exactly the same number of tokens.
"""

from __future__ import annotations

import torch
from timing import compare, heading

from eclectus.policies.load import load_policy
from eclectus.policies.padding import pad_rows
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.native import draw
from eclectus.segment import Segment

SOURCES, SAMPLES, TOKENS = 32, 8, 40

policy, _ = load_policy("base")
text = "Enter a valid date and the number of days between two pages of this site, please."
segments = [Segment(" ".join(text.split()[: 6 + i % 10]), "en", "es") for i in range(SOURCES)]
sources = policy.tokenize_sources(segments)
inputs, mask = pad_rows([source.ids for source in sources], policy.pad_id, policy.device)
generator = torch.Generator().manual_seed(1)


def ours() -> torch.Tensor:
    with torch.inference_mode():
        stepper = policy.stepper(sources, SAMPLES, TOKENS)
        # No token is called the end, so every row runs to the full length.
        drawn = draw(
            stepper, SOURCES, SAMPLES, Sampling(1.0, TOKENS), start=[source.start[-1] for source in sources], ends=[-1],
            pad=policy.pad_id, generator=generator,
        )  # fmt: skip
    assert drawn.tokens.shape == (SOURCES, SAMPLES, TOKENS)
    return drawn.tokens


def peer() -> torch.Tensor:
    policy.model.set_attn_implementation("sdpa")
    try:
        made = policy.model.generate(
            input_ids=inputs.squeeze(1), attention_mask=mask.squeeze(1), do_sample=True, num_beams=1, top_k=0,
            decoder_start_token_id=sources[0].start[0], num_return_sequences=SAMPLES,
            min_new_tokens=TOKENS, max_new_tokens=TOKENS,
        )  # fmt: skip
    finally:
        policy.model.set_attn_implementation("eclectus")
    assert made.shape == (SOURCES * SAMPLES, TOKENS + 1)
    return made


heading("generate")
compare(f"sample {SOURCES} x {SAMPLES} x {TOKENS} tokens, shipped base", ours, peer)
