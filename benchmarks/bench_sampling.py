"""Sampling with the native engine against transformers' `generate`: same model, sources, samples and tokens.

Both run to a fixed length without end-of-sequence, so that both make exactly the same number of tokens. The goal in
bfloat16 is meant for processors with matrix units; scoring such samples again, to correct them, is not counted. Where
there is a GPU, it is measured too, as it is and with CUDA graphs.
"""

from __future__ import annotations

from functools import cached_property

import models
import torch
from timing import compare, heading

from eclectus.engines.cuda_graphs import CudaGraphs
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Sampling
from eclectus.rollouts.native import draw
from eclectus.rollouts.padding import pad_rows

SOURCES, SAMPLES, TOKENS = 32, 8, 40


class Case:
    """A policy and its sources, and the ways to draw from them."""

    def __init__(self, policy: PretrainedPolicy, runs: int, device: str = "cpu") -> None:
        policy.model.to(device)
        self.policy, self.runs = policy, runs
        self.sources = policy.tokenize_sources(models.segments(SOURCES))
        inputs, mask = pad_rows([source.ids for source in self.sources], policy.pad_id, policy.device)
        self.inputs, self.mask = inputs.squeeze(1), mask.squeeze(1).long()
        self.generator = torch.Generator().manual_seed(1)

    def ours(self) -> None:
        self._draw(self.policy)

    def rounded(self) -> None:
        """In bfloat16, the rounding of the weights included, as the engine `bfloat16` does it."""
        self._draw(self.policy.rounded(torch.bfloat16).packed())

    def replayed(self) -> None:
        """With CUDA graphs, the copy of the weights included."""
        self._draw(self.graphs.drawer())

    @cached_property
    def graphs(self) -> CudaGraphs:
        return CudaGraphs(self.policy)

    def _draw(self, policy: PretrainedPolicy) -> None:
        with torch.inference_mode():
            stepper = policy.stepper(self.sources, 1 if policy.branches else SAMPLES, TOKENS)
            # No token is called the end, so every row runs to the full length.
            drawn = draw(
                stepper, SOURCES, SAMPLES, Sampling(1.0, TOKENS), merged=policy.branches, stride=policy.stride,
                start=[s.start[-1] for s in self.sources], ends=[-1], pad=self.policy.pad_id, generator=self.generator,
                device=policy.device,
            )  # fmt: skip
        assert drawn.tokens.cpu().shape == (SOURCES, SAMPLES, TOKENS)  # waits for a device

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
        assert made.cpu().shape == (SOURCES * SAMPLES, TOKENS + 1)


def main() -> None:
    cases = {"shipped base": Case(models.shipped(), 5), "Marian-base size": Case(models.marian_base(), 3)}
    heading("generate")
    for name, case in cases.items():
        work = f"sample {SOURCES} x {SAMPLES} x {TOKENS}, {name}"
        compare(work, case.ours, case.generate, case.runs, goal=2.5)
        compare(f"{work}, bfloat16", case.rounded, case.generate, case.runs, goal=8.0)
    if torch.cuda.is_available():
        cases = {
            "shipped base": Case(models.shipped(), 9, "cuda"),
            "Marian-base size": Case(models.marian_base(), 9, "cuda"),
        }
        for name, case in cases.items():
            work = f"sample {SOURCES} x {SAMPLES} x {TOKENS}, {name}, GPU"
            for _ in range(2):  # the first batch prepares, the second is recorded
                case.replayed()
            compare(work, case.ours, case.generate, case.runs)
            compare(f"{work}, CUDA graphs", case.replayed, case.generate, case.runs, goal=8.0)


if __name__ == "__main__":
    main()
