"""The native sampler against CTranslate2: drawing alone, a whole step with it as the engine, and greedy evaluation.

Drawing alone gives CTranslate2 a model that is converted and loaded, and asks it for nothing but tokens and the score
of each translation; the native sampler also records every token's log-probability. A whole step has what an engine
costs: conversion, loading, the callback for each token, and scoring the samples again in torch. All run to a fixed
length without end-of-sequence, so that both make the same number of tokens, and both must give the same probabilities.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import models
import torch
from timing import compare, heading, near, same

from eclectus.config import Component
from eclectus.engines.base import engine_of
from eclectus.engines.ctranslate2 import CTranslate2
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.rollouts.base import Sampling

SOURCES, SAMPLES, TOKENS, SENTENCES = 32, 8, 40, 256
GOAL = 0.8


def engine(policy: PretrainedPolicy, compute_type: str) -> CTranslate2:
    """The policy by CTranslate2."""
    made = engine_of(Component(type="ctranslate2", compute_type=compute_type), policy, "bench")
    assert isinstance(made, CTranslate2)
    return made


def types(policy: PretrainedPolicy) -> list[str]:
    """What is compared here: float32, and int8 where CTranslate2 has it on this device."""
    import ctranslate2

    return [kind for kind in ("float32", "int8") if kind in ctranslate2.get_supported_compute_types(policy.device.type)]


def check(policy: PretrainedPolicy) -> None:
    """Refuse to compare two models that are not the same."""
    rows, generator = models.segments(4), torch.Generator().manual_seed(1)
    drawn = engine(policy, "float32").sample(rows, 2, Sampling(1.0, TOKENS), generator)
    with torch.no_grad():
        own = policy.token_logprobs(policy.tokenize_sources(rows), drawn.tokens, drawn.mask)
    near("log-probability of samples", float(own.sum()), float(drawn.logprobs.sum()), 1e-4)


def drawing(name: str, policy: PretrainedPolicy, runs: int) -> None:
    """Samples of a model that both have ready."""
    rows, generator = models.segments(SOURCES), torch.Generator().manual_seed(1)
    sources, sampling = policy.tokenize_sources(rows), Sampling(1.0, TOKENS)
    for kind in types(policy):
        program = engine(policy, kind)
        with program._translator() as translator:

            def ours() -> int:
                return int(policy._draw(sources, SAMPLES, sampling, generator).mask.sum())

            def peer(ready: Any = translator, program: CTranslate2 = program) -> int:
                made = ready.translate_batch(
                    *program._inputs(sources), beam_size=1, num_hypotheses=SAMPLES, sampling_topk=0,
                    return_scores=True, **program._limits(sources, TOKENS),
                )  # fmt: skip
                begin = len(sources[0].start) - 1
                return sum(len(tokens) - begin for row in made for tokens in row.hypotheses)

            label = f"sample {SOURCES} x {SAMPLES} x {TOKENS}, {name}, against CTranslate2 {kind}"
            goal = GOAL if kind == "float32" else None
            for made, expected in compare(label, ours, peer, runs, goal=goal):
                same("number of tokens", made, expected)


def steps(name: str, policy: PretrainedPolicy, runs: int) -> None:
    """A whole step, drawn by the native sampler or by the engine."""
    rows = models.segments(SOURCES)
    native = models.reinforcer(policy, rows, samples=SAMPLES, tokens=TOKENS)
    for kind in types(policy):
        other = models.reinforcer(
            policy, rows, samples=SAMPLES, tokens=TOKENS, engine={"type": "ctranslate2", "compute_type": kind}
        )
        label = f"whole step, {name}, against the same by CTranslate2 {kind}"
        compare(label, lambda: models.one_step(native), lambda other=other: models.one_step(other), runs)  # type: ignore[misc]


def evaluation(name: str, policy: PretrainedPolicy, runs: int) -> None:
    """Greedy translations of a test set, conversion included."""
    rows = models.segments(SENTENCES)
    for kind in types(policy):
        program = engine(policy, kind)
        label = f"translate {SENTENCES} sentences, {name}, against CTranslate2 {kind}"
        for made, expected in compare(
            label, lambda: policy.translate(rows, TOKENS), lambda p=program: p.translate(rows, TOKENS), runs
        ):
            same("number of translations", len(made), len(expected))
            if kind == "float32":
                # Where two tokens are equally likely, rounding decides.
                agreed = sum(a == b for a, b in zip(made, expected, strict=True))
                near("number of equal translations", agreed, len(made), 0.02)


def main() -> None:
    if find_spec("ctranslate2") is None:
        print("against CTranslate2: left out, ctranslate2 is not installed")
        return
    heading("CTranslate2")
    for name, make, runs in (("shipped base", models.shipped, 5), ("Marian-base size", models.marian_base, 3)):
        evaluation(name, make(), runs)
        policy = make()
        models.never_end(policy)
        check(policy)
        drawing(name, policy, runs)
        steps(name, policy, runs)


if __name__ == "__main__":
    main()
