"""CTranslate2 as a rollout and evaluation engine for encoder-decoder models, also with int8 weights.

Each call converts the policy's weights as they are, through a folder in memory where the system has one, and loads
them. The tokens and their log-probabilities come from the callback that CTranslate2 makes for each token it draws: its
results hold the sum for a translation only, or the logits of the whole vocabulary at each position.

Two of its habits would change what is sampled. By default it forbids an empty translation, and its temperature is no
part of the scores it returns; so the least length is 0 here, and the temperature is put into the weights.

Source: CTranslate2, https://github.com/OpenNMT/CTranslate2.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from eclectus import registry
from eclectus.engines.base import Engine, from_rows, is_greedy
from eclectus.errors import ConfigError, RunError
from eclectus.export.ctranslate2 import refusal, specification, target_prefix, vocabulary
from eclectus.policies.base import Policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.policies.source import Source
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.segment import Segment

_MEMORY = Path("/dev/shm")

_BATCH = 128
"""Sources that are translated at once in evaluation, as many as the policy itself takes."""

_SEEDS = 2**32 - 1
"""CTranslate2 takes seeds below this number; this one means a seed of its own choice."""


class CTranslate2(Engine):
    """Encoder-decoder models (Marian, M2M100 and NLLB, mBART, T5, BART) by CTranslate2, on the CPU or on CUDA."""

    class Options(registry.Options):
        """Defaults: float32, in which nothing is rounded that the policy does not round."""

        compute_type: Literal[
            "auto", "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
        ] = Field("float32", description="of weights and products; auto: the fastest that the device has")

    options: Options
    policy: Seq2SeqPolicy

    def __init__(self, policy: Policy, options: registry.Options | None = None, where: str = "engine") -> None:
        super().__init__(policy, options, where)
        reason = refusal(policy)
        if reason is not None:
            raise ConfigError(f"config: '{where}': {reason}; set it to {{type: native}}")
        try:
            import ctranslate2
        except ImportError as error:
            raise RunError(
                f"config: '{where}': CTranslate2 is not installed; install it with"
                " `pip install 'eclectus[ctranslate2]'`, or set it to {type: native}"
            ) from error
        self._library: Any = ctranslate2
        # Its CPU serves devices that it has not, such as Apple's.
        self._device = "cuda" if policy.device.type == "cuda" else "cpu"
        self._index = policy.device.index or 0
        self._check_type()
        self._tokens = vocabulary(self.policy)
        self._ids = {token: i for i, token in enumerate(self._tokens)}

    def sample(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, generator: torch.Generator | None
    ) -> Rollouts:
        greedy = is_greedy(samples, sampling, generator)
        if not greedy:
            # Taken by the thread that draws, when it first draws: a new one for each translator.
            self._library.set_random_seed(int(torch.randint(_SEEDS, (), generator=generator)))
        sources = self.policy.tokenize_sources(segments)
        before = len(sources[0].start) - 1
        length = min(sampling.max_length, self.policy.max_length)
        found: list[tuple[int, int, int, float]] = []

        def take(drawn: Any) -> bool:
            if drawn.step >= before:
                row = drawn.batch_id * samples + drawn.hypothesis_id
                found.append((row, drawn.step - before, drawn.token_id, drawn.log_prob))
            return False

        with self._translator(1.0 if greedy else sampling.temperature) as translator:
            translator.translate_batch(
                *self._inputs(sources),
                beam_size=1,
                num_hypotheses=samples,
                sampling_topk=1 if greedy else 0,
                return_scores=True,
                callback=take,
                **self._limits(sources, length),
            )
        return self._rollouts(found, len(segments), samples)

    def translate(self, segments: Sequence[Segment], max_length: int) -> list[str]:
        return self.beam_search(segments, 1, max_length)

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        if not segments:
            return []
        sources = self.policy.tokenize_sources(segments)
        with self._translator() as translator:
            results = translator.translate_batch(
                *self._inputs(sources),
                beam_size=beams,
                max_batch_size=_BATCH,
                # Counted in the length that scores are divided by, as transformers does.
                return_end_token=True,
                **self._limits(sources, min(max_length, self.policy.max_length)),
            )
        begin = len(sources[0].start) - 1
        rows = [[self._ids[token] for token in result.hypotheses[0][begin:]] for result in results]
        return self.policy.detokenize(rows)

    def _rollouts(self, found: Sequence[tuple[int, int, int, float]], sources: int, samples: int) -> Rollouts:
        """What the callback was told, (row, position, token, log-probability) of each token, as `Rollouts`."""
        rows: list[list[int]] = [[] for _ in range(sources * samples)]
        logprobs: list[list[float]] = [[] for _ in rows]
        for row, _, token, value in sorted(found):
            rows[row].append(token)
            logprobs[row].append(value)
        return from_rows(self.policy, rows, logprobs, [row[-1] in self.policy.end_ids for row in rows], samples)

    def _inputs(self, sources: Sequence[Source]) -> tuple[list[list[str]], list[list[str]]]:
        """Tokens of the sources, and those that their translations begin with."""
        begins = [target_prefix(self.policy, source.start) for source in sources]
        return [[self._tokens[i] for i in s.ids] for s in sources], [[self._tokens[i] for i in p] for p in begins]

    def _limits(self, sources: Sequence[Source], length: int) -> dict[str, int]:
        """The library counts the start tokens but the first; what it would forbid or cut by itself it may not."""
        total = length + len(sources[0].start) - 1
        return {"max_decoding_length": total, "min_decoding_length": 0, "max_input_length": 0}

    @contextmanager
    def _translator(self, temperature: float = 1.0) -> Iterator[Any]:
        """CTranslate2 with the policy's weights of now, at a sampling temperature."""
        spec = specification(self.policy, temperature)
        spec.validate()
        spec.optimize()
        needed = sum(parameter.nbytes for parameter in self.policy.model.parameters())
        with tempfile.TemporaryDirectory(prefix="eclectus-", dir=_folder(needed)) as folder:
            spec.save(folder)
            yield self._library.Translator(
                folder,
                device=self._device,
                device_index=self._index,
                compute_type=self.options.compute_type,
                inter_threads=1,
                intra_threads=torch.get_num_threads(),
            )

    def _check_type(self) -> None:
        wanted = self.options.compute_type
        try:
            known = self._library.get_supported_compute_types(self._device, self._index)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"config: '{self.where}': CTranslate2 cannot use the device '{self.policy.device}'"
                f" ({str(error).splitlines()[0]}); set it to {{type: native}}"
            ) from error
        if wanted not in {"auto", *known}:
            raise ConfigError(
                f"config: '{self.where}.compute_type': CTranslate2 does not compute in {wanted} on this"
                f" {self._device}; take one of {', '.join(sorted(known))}"
            )


def _folder(needed: int) -> str | None:
    """Where a temporary model of so many bytes goes: into memory; None: there is no room, so where the system says."""
    # Vocabulary and names come on top of the weights.
    room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 1.1 * needed + 2**24
    return str(_MEMORY) if room else None
