"""Sampling with the native engine against transformers' `generate`, and against CTranslate2 where it is installed.

Same model, sources, samples and tokens: all run to a fixed length without end-of-sequence, all in float32.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import models
import torch
from timing import compare, heading

from eclectus.policies.padding import pad_rows
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.native import draw

SOURCES, SAMPLES, TOKENS = 32, 8, 40


class Case:
    """A policy and its sources, and each engine's way to draw from them."""

    def __init__(self, policy: PretrainedPolicy, runs: int) -> None:
        self.policy, self.runs = policy, runs
        self.sources = policy.tokenize_sources(models.segments(SOURCES))
        inputs, mask = pad_rows([source.ids for source in self.sources], policy.pad_id, policy.device)
        self.inputs, self.mask = inputs.squeeze(1), mask.squeeze(1).long()
        self.generator = torch.Generator().manual_seed(1)

    def ours(self) -> None:
        with torch.inference_mode():
            stepper = self.policy.stepper(self.sources, SAMPLES, TOKENS)
            # No token is called the end, so every row runs to the full length.
            drawn = draw(
                stepper, SOURCES, SAMPLES, Sampling(1.0, TOKENS), start=[s.start[-1] for s in self.sources],
                ends=[-1], pad=self.policy.pad_id, generator=self.generator,
            )  # fmt: skip
        assert drawn.tokens.shape == (SOURCES, SAMPLES, TOKENS)

    def generate(self) -> None:
        model = self.policy.model
        model.set_attn_implementation("sdpa")
        try:
            made = model.generate(
                input_ids=self.inputs, attention_mask=self.mask, do_sample=True, num_beams=1, top_k=0,
                decoder_start_token_id=self.sources[0].start[0], num_return_sequences=SAMPLES,
                min_new_tokens=TOKENS, max_new_tokens=TOKENS,
            )  # fmt: skip
        finally:
            model.set_attn_implementation("eclectus")
        assert made.shape == (SOURCES * SAMPLES, TOKENS + 1)


class CTranslate2:
    """The same weights in CTranslate2."""

    def __init__(self, case: Case) -> None:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter

        folder = Path(tempfile.mkdtemp(prefix="eclectus-bench-"))
        case.policy.save(folder / "model")
        TransformersConverter(str(folder / "model")).convert(str(folder / "converted"))
        threads = torch.get_num_threads()
        self._engine = ctranslate2.Translator(
            str(folder / "converted"), compute_type="float32", intra_threads=threads, inter_threads=1
        )
        self._sources = [case.policy.tokenizer.convert_ids_to_tokens(list(source.ids)) for source in case.sources]

    def __call__(self) -> None:
        made = self._engine.translate_batch(
            self._sources, beam_size=1, num_hypotheses=SAMPLES, sampling_topk=0, sampling_temperature=1.0,
            min_decoding_length=TOKENS, max_decoding_length=TOKENS, return_scores=True,
        )  # fmt: skip
        lengths = {len(tokens) for result in made for tokens in result.hypotheses}
        assert len(made) == SOURCES and lengths == {TOKENS}, f"not the same work: {lengths}"


def main() -> None:
    cases = {"shipped base": Case(models.shipped(), 5), "Marian-base size": Case(models.marian_base(), 3)}
    heading("generate")
    for name, case in cases.items():
        compare(f"sample {SOURCES} x {SAMPLES} x {TOKENS}, {name}", case.ours, case.generate, case.runs, goal=2.5)
    if find_spec("ctranslate2") is None:
        print("sampling against CTranslate2: left out, ctranslate2 is not installed")
        return
    heading("CTranslate2")
    for name, case in cases.items():
        engine = CTranslate2(case)
        compare(f"sample {SOURCES} x {SAMPLES} x {TOKENS}, {name}, CTranslate2", case.ours, engine, case.runs, goal=0.8)


if __name__ == "__main__":
    main()
