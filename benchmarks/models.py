"""Models, text and runs that several benchmarks work with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, MarianConfig, MarianMTModel

from eclectus import recipes
from eclectus.algorithms.grpo import Grpo
from eclectus.algorithms.rloo import Rloo
from eclectus.config import PromptConfig, ReinforceConfig, TaskConfig, parse
from eclectus.corpora.dataset import prepare
from eclectus.policies.base import Policy
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment
from eclectus.training.reinforce import Reinforcer
from eclectus.training.tasks import Task
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet

_SOURCE = "Enter a valid date and the number of days between two pages of this site, please."
_TARGET = "Introduzca una fecha válida y el número de días entre dos páginas de este sitio, por favor."
STILL = 1e-9
"""A learning rate at which the whole update is made, but the models of both sides stay what they are."""

_SCRATCH: list[tempfile.TemporaryDirectory[str]] = []


def segments(count: int) -> list[Segment]:
    """English sources of 6 to 15 words, each another, with Spanish references."""
    sources, targets = _SOURCE.split(), _TARGET.split()
    return [
        Segment(" ".join([*sources[: 6 + i % 10], str(i)]), "en", "es", " ".join([*targets[: 6 + i % 10], str(i)]))
        for i in range(count)
    ]


def messages(source: str, target: str, count: int) -> list[Segment]:
    """Real text with references: the quickstart's dev segments of a direction, interface messages and phrases."""
    data = parse(recipes.read("quickstart"), []).data
    return prepare(data, data.split_seed).pairs("dev", source, target)[:count]


def shipped() -> PretrainedPolicy:
    """The model that comes with the package: 2.7 million parameters, 4,000 tokens."""
    return _pretrained(load_policy("base")[0])


def marian_base() -> PretrainedPolicy:
    """A model of Marian's base size, 60 million random weights, and the shipped model's tokenizer with more tokens."""
    torch.manual_seed(1)
    tokenizer = shipped().tokenizer
    tokenizer.add_tokens([f"<{number}>" for number in range(len(tokenizer), 32_000)])
    config = MarianConfig(
        vocab_size=32_000, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, dropout=0.0,
        activation_function="swish", max_position_embeddings=512, scale_embedding=True, pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=None,
    )  # fmt: skip
    return Seq2SeqPolicy(MarianMTModel(config), tokenizer)


def llama() -> PretrainedPolicy:
    """A Llama with random weights: width 256, 4 layers, 4,000 tokens."""
    torch.manual_seed(1)
    tokenizer = shipped().tokenizer
    # A prompt goes on; the shipped model's tokenizer would end it.
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A")
    tokenizer.padding_side = "left"
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=256, pad_token_id=0, bos_token_id=None, eos_token_id=1, tie_word_embeddings=True,
    )  # fmt: skip
    return CausalPolicy(LlamaForCausalLM(config), tokenizer, PromptConfig(template="{source}", chat="off", stop=[]))


def never_end(policy: PretrainedPolicy) -> None:
    """Forbid the end of a translation, so that every sample has the greatest length and work can be counted."""
    policy._bias[policy.end_ids] = float("-inf")


def parameters(policy: PretrainedPolicy) -> int:
    """Number of weights, shared ones counted once."""
    return sum(p.numel() for p in policy.model.parameters())


def scratch() -> Path:
    """An empty folder for what a trainer writes, gone when the process ends."""
    _SCRATCH.append(tempfile.TemporaryDirectory(prefix="eclectus-bench-"))
    return Path(_SCRATCH[-1].name)


def reinforcer(
    policy: PretrainedPolicy,
    rows: list[Segment],
    *,
    algorithm: str = "rloo",
    samples: int = 8,
    tokens: int = 32,
    temperature: float = 1.0,
    learning_rate: float = STILL,
    engine: dict[str, Any] | None = None,
    reward: dict[str, Any] | None = None,
    overlap: int = 1,
) -> Reinforcer:
    """The training loop as a run has it; None: its own sampler, chrF++ against the references as its reward."""
    folder = scratch()
    languages = [rows[0].source_lang, rows[0].target_lang]
    direction = "-".join(languages)
    task = TaskConfig.model_validate(
        {
            "name": "bench", "directions": [direction], "references": True, "kl": 0.0,
            "reward": {"terms": [reward or {"type": "chrf", "words": 2}], "normalise": "none", "unfinished": None},
        }
    )  # fmt: skip
    settings = ReinforceConfig.model_validate(
        {
            "tasks": [task], "steps": 10**6, "segments": len(rows), "samples": samples, "max_length": tokens,
            "temperature": temperature, "learning_rate": learning_rate, "warmup": 0, "decay": False,
            "samples_every": 10**6, "engine": engine or {"type": "native"}, "overlap": overlap,
        }
    )  # fmt: skip
    judge = CompositeReward(task.reward, RewardContext(languages))
    return Reinforcer(
        policy, policy.copy(), {"rloo": Rloo, "grpo": Grpo}[algorithm](), settings,
        [Task(task, {direction: rows}, judge)], DevSet({direction: rows[:1]}, languages), languages=languages,
        seed=1, folder=folder / "checkpoints", tracker=Tracker(folder),
    )  # fmt: skip


def one_step(trainer: Reinforcer) -> None:
    """A step of the loop, KL not measured."""
    # Steps 1, 11, 21, … measure KL, which the peers do not.
    trainer.step = trainer.step + 1 if trainer.step % 10 else trainer.step + 2
    trainer._advance()


def _pretrained(policy: Policy) -> PretrainedPolicy:
    assert isinstance(policy, PretrainedPolicy)
    return policy
