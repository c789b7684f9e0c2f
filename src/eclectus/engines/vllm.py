"""vLLM as a rollout and evaluation engine for decoder-only models on a GPU.

vLLM holds a copy of the model in its own layout, in this process. It is loaded when it is first used, and before each
call the policy's weights are put into it. Its log-probabilities are asked for after temperature and bias
(`logprobs_mode="processed_logprobs"`), so that they are those of what was drawn from.

Written to vLLM's documentation, and to how TRL 1.16 puts weights into it; not run by us with vLLM itself.

Source: vLLM, https://github.com/vllm-project/vllm.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field

from eclectus import parallel, registry
from eclectus.engines.base import Engine, from_rows, is_greedy
from eclectus.errors import ConfigError, RunError
from eclectus.policies.base import Policy
from eclectus.policies.causal import CausalPolicy
from eclectus.rollouts.base import Rollouts, Sampling
from eclectus.segment import Segment

_NEVER = -100.0
"""The lowest bias that vLLM takes: e^-100 is no probability that a sample would meet."""

_SEEDS = 2**31


class VLLM(Engine):
    """Decoder-only models (Llama, Mistral, Qwen, Gemma) by vLLM. Beam search is the policy's own."""

    class Options(registry.Options):
        """The copy's type, its share of the device's memory, its longest row, and whether its graphs are left out."""

        dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
            "auto", description="of the copy; auto: that of policy.autocast, else the policy's own, float32"
        )
        memory: float = Field(0.3, gt=0, lt=1, description="share of the device's memory for the copy and its cache")
        max_length: int = Field(
            4096,
            ge=16,
            description="tokens of the longest prompt and translation together; vLLM reserves memory for one such row",
        )
        eager: bool = Field(False, description="no CUDA graphs: slower, starts sooner and takes less memory")

    options: Options
    policy: CausalPolicy

    _copies: ClassVar[WeakKeyDictionary[Policy, dict[str, Any]]] = WeakKeyDictionary()
    """Of each policy, by the options that they were made with: sampling and evaluation may share one."""

    def __init__(self, policy: Policy, options: registry.Options | None = None, where: str = "engine") -> None:
        super().__init__(policy, options, where)
        reason = None
        if not isinstance(policy, CausalPolicy):
            reason = "vLLM serves decoder-only models alone"
        elif policy.guide is not None or policy.has_routed_adapters:
            reason = "vLLM has no place for values (guide.json) or for an adapter for each language"
        if reason is not None:
            raise ConfigError(f"config: '{where}': {reason}; set it to {{type: native}}")
        # Its engine would else be in another process, where weights cannot be put.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            import vllm
        except ImportError as error:
            raise RunError(
                f"config: '{where}': vLLM is not installed; install it with `pip install vllm` (it brings a torch of"
                " its own choice), or set it to {type: native}"
            ) from error
        self._library: Any = vllm

    def sample(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, generator: torch.Generator | None
    ) -> Rollouts:
        greedy = is_greedy(samples, sampling, generator)
        seeds = (
            [None] * len(segments) if greedy else torch.randint(_SEEDS, (len(segments),), generator=generator).tolist()
        )
        outputs = self._generate(segments, samples, sampling, seeds)
        drawn = [one for output in outputs for one in output.outputs]
        tokens = [list(one.token_ids) for one in drawn]
        logprobs = [
            [found[token].logprob for found, token in zip(one.logprobs, one.token_ids, strict=True)] for one in drawn
        ]
        return from_rows(self.policy, tokens, logprobs, [one.finish_reason == "stop" for one in drawn], samples)

    def translate(self, segments: Sequence[Segment], max_length: int) -> list[str]:
        if not segments:
            return []
        outputs = self._generate(segments, 1, Sampling(0.0, max_length), [None] * len(segments))
        return self.policy.detokenize([list(output.outputs[0].token_ids) for output in outputs])

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        if beams == 1:
            return self.translate(segments, max_length)
        return self.policy.beam_search(segments, beams, max_length)

    def _generate(
        self, segments: Sequence[Segment], samples: int, sampling: Sampling, seeds: Sequence[int | None]
    ) -> list[Any]:
        policy = self.policy
        sources = policy.tokenize_sources(segments)
        room, most = self._room, min(sampling.max_length, policy.max_length)
        longest = max(len(source.ids) + len(source.start) for source in sources)
        if longest + most > room:
            raise RunError(
                f"config: '{self.where}': a prompt of {longest} tokens and {most} of translation are"
                f" more than the {room} that vLLM has room for; raise its max_length, or translate to fewer tokens"
            )
        common = {
            "n": samples,
            "temperature": sampling.temperature,
            "max_tokens": most,
            "logprobs": 0,  # of the drawn token alone
            "stop_token_ids": list(policy.end_ids),
            "stop": list(policy.stop_texts) or None,
            "logit_bias": dict.fromkeys(policy.never_said, _NEVER) or None,
        }
        outputs: list[Any] = self._synchronised().generate(
            [{"prompt_token_ids": [*source.ids, *source.start]} for source in sources],
            [self._library.SamplingParams(**common, seed=seed) for seed in seeds],
            use_tqdm=False,
        )
        return outputs

    def _synchronised(self) -> Any:
        """VLLM's copy with the policy's weights of now."""
        copies = self._copies.setdefault(self.policy, {})
        key = self.options.model_dump_json()
        if key not in copies:
            copies[key] = self._load()
        copy = copies[key]
        weights = self.policy.plain_model().state_dict().items()
        copy.llm_engine.model_executor.driver_worker.model_runner.model.load_weights(weights)
        copy.reset_prefix_cache()  # what is cached belongs to the weights before
        return copy

    @property
    def _room(self) -> int:
        return min(self.options.max_length, int(self.policy.model.config.max_position_embeddings))

    @property
    def _dtype(self) -> str:
        """The copy's type by name; for what is saved in float32 vLLM's own auto would take 16 bits."""
        if self.options.dtype != "auto":
            return self.options.dtype
        return str(self.policy.autocast or next(self.policy.model.parameters()).dtype).removeprefix("torch.")

    def _load(self) -> Any:
        several = {"distributed_executor_backend": "external_launcher"} if parallel.size() > 1 else {}
        with tempfile.TemporaryDirectory(prefix="eclectus-") as folder:
            self.policy.save(Path(folder))
            try:
                return self._library.LLM(
                    model=folder,
                    dtype=self._dtype,
                    max_model_len=self._room,
                    gpu_memory_utilization=self.options.memory,
                    enforce_eager=self.options.eager,
                    logprobs_mode="processed_logprobs",
                    **several,
                )
            except (RuntimeError, ValueError) as error:
                raise RunError(
                    f"config: '{self.where}': vLLM cannot load the model ({str(error).splitlines()[0]}); set it to"
                    " {type: native}"
                ) from error
