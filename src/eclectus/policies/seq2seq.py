"""Encoder-decoder policies through transformers: the Marian family with `>>xx<<` language tags.

The encoder runs once for each source, however many translations of it are sampled or scored.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import linear
from transformers import GenerationConfig, MarianConfig, MarianMTModel, PreTrainedTokenizerFast
from transformers import logging as transformers_logging

from eclectus.config import NewModelConfig
from eclectus.errors import ModelError
from eclectus.policies.attention import NAME as ATTENTION
from eclectus.policies.base import Policy, TokenScores
from eclectus.policies.cache import keep_sources, shared_source_cache
from eclectus.policies.head import Predicted, divergences, entropies, smoothed_cross_entropy, token_logprobs
from eclectus.policies.padding import pad_rows
from eclectus.segment import Segment

_TAG = re.compile(r">>(.+)<<")

# Its bars and advice would run through our own progress display.
transformers_logging.disable_progress_bar()


class Seq2SeqPolicy(Policy):
    """A Marian encoder-decoder: the source opens with the tag of the target language.

    Padding, unknown and tag tokens are never part of a translation, so their probability is zero here, in sampling
    and in training alike; `save` writes the same rule into the generation config.
    """

    def __init__(self, model: MarianMTModel, tokenizer: PreTrainedTokenizerFast) -> None:
        # Any: the library's own annotations do not describe a generating encoder-decoder.
        self.model: Any = model
        self.model.set_attn_implementation(ATTENTION)
        self.model.eval()
        self._trainable = [parameter.requires_grad for parameter in model.parameters()]
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        self._tags = {m.group(1): i for token, i in sorted(vocabulary.items()) if (m := _TAG.fullmatch(token))}
        if not self._tags:
            raise ModelError(
                "model: its tokenizer has no '>>xx<<' language tags, so it cannot be told what to translate into;"
                " use a multilingual Marian model, or train one with policy.new"
            )
        self.languages = list(self._tags)
        special: Any = model.config
        self.start_id = int(special.decoder_start_token_id)
        self.end_id = int(special.eos_token_id)
        self.pad_id = int(special.pad_token_id)
        self.max_length = int(special.max_position_embeddings)
        if len(tokenizer) > model.config.vocab_size:
            raise ModelError(
                f"model: the tokenizer has {len(tokenizer)} tokens but the weights only {model.config.vocab_size};"
                " the folder mixes files of two models"
            )
        never = {self.pad_id, self.start_id, *self._tags.values()} - {self.end_id}
        if tokenizer.unk_token_id is not None:
            never.add(tokenizer.unk_token_id)
        self._never = sorted(never)
        bias = torch.zeros(model.config.vocab_size, device=model.device)
        bias[self._never] = float("-inf")
        self._bias = bias

    @classmethod
    def new(cls, config: NewModelConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> Seq2SeqPolicy:
        """A Marian model with random weights that derive from `seed`."""
        torch.manual_seed(seed)
        marian = MarianConfig(
            vocab_size=len(tokenizer),
            d_model=config.d_model,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            encoder_attention_heads=config.heads,
            decoder_attention_heads=config.heads,
            encoder_ffn_dim=config.ffn,
            decoder_ffn_dim=config.ffn,
            dropout=config.dropout,
            attention_dropout=0.0,
            activation_function="relu",
            max_position_embeddings=config.max_positions,
            scale_embedding=True,
            share_encoder_decoder_embeddings=True,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
            forced_eos_token_id=None,
        )
        return cls(MarianMTModel(marian), tokenizer)

    @classmethod
    def load(cls, path: str | Path) -> Seq2SeqPolicy:
        """Read a model folder (or hub id) in float32.

        Raises:
            ModelError: no such folder, no weights, another architecture, or damaged files.
        """
        folder = Path(path)
        if folder.exists():
            _check_folder(folder)
        try:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(str(path))
            model = MarianMTModel.from_pretrained(str(path), dtype=torch.float32)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"model: cannot load '{path}' ({reason}); give a folder that `eclectus train` wrote"
            ) from error
        except Exception as error:  # safetensors raises its own class, which it does not export
            if "safetensor" not in type(error).__name__.lower():
                raise
            raise ModelError(f"model: the weights in '{path}' are damaged ({error}); copy the folder again") from error
        return cls(model, tokenizer)

    @property
    def _head_bias(self) -> torch.Tensor:
        return (self.model.final_logits_bias.squeeze(0) + self._bias.to(self.device)).detach()

    def tokenize_sources(self, segments: Sequence[Segment]) -> list[list[int]]:
        ids = self._encode([segment.source for segment in segments])
        return [[self._tags[s.target_lang], *tokens] for s, tokens in zip(segments, ids, strict=True)]

    def tokenize_targets(self, texts: Sequence[str]) -> list[list[int]]:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        limit = self.model.config.max_position_embeddings - 1
        encoded = self.tokenizer.backend_tokenizer.encode_batch(list(texts))
        return [e.ids if len(e.ids) <= limit else [*e.ids[: limit - 1], self.end_id] for e in encoded]

    def detokenize(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        return [
            text.strip()
            for text in self.tokenizer.backend_tokenizer.decode_batch(
                [list(t) for t in tokens], skip_special_tokens=True
            )
        ]

    def stepper(self, sources: Sequence[Sequence[int]], samples: int, max_length: int) -> _Stepper:
        return _Stepper(self, sources, samples, max_length)

    def token_scores(
        self,
        sources: Sequence[Sequence[int]],
        tokens: torch.Tensor,
        mask: torch.Tensor,
        temperature: float = 1.0,
        *,
        entropy: bool = False,
        anchor: Seq2SeqPolicy | None = None,
    ) -> TokenScores:
        wanted = mask.flatten(0, 1)
        labels = tokens.flatten(0, 1)[wanted]

        def spread(values: torch.Tensor) -> torch.Tensor:
            result = torch.zeros(wanted.shape, device=self.device).masked_scatter(wanted, values)
            return result.view(mask.shape)

        own = Predicted(self._decode(sources, tokens)[wanted], self._head, self._head_bias)
        logprobs = token_logprobs(own.hidden, own.head, own.bias, labels, temperature)
        divergence = None
        if anchor is not None:
            with torch.no_grad():
                other = Predicted(anchor._decode(sources, tokens)[wanted], anchor._head, anchor._head_bias)
            divergence = spread(divergences(own, other, temperature))
        return TokenScores(spread(logprobs), spread(entropies(own, temperature)) if entropy else None, divergence)

    def smoothed_loss(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, mask = pad_rows(targets, self.pad_id, self.device)
        hidden = self._decode(sources, tokens)
        wanted = mask.flatten(0, 1)
        labels = tokens.flatten(0, 1)[wanted]
        states = hidden[wanted]
        # Under autocast the states come in its type; the head follows, so that its products are as fast.
        head, bias = self._head.to(states.dtype), self.model.final_logits_bias.squeeze(0)
        return smoothed_cross_entropy(states, head, bias, labels, label_smoothing)

    def copy(self, trainable: bool = False) -> Seq2SeqPolicy:
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model).eval()
        if trainable:
            for own, other in zip(twin.model.parameters(), self._trainable, strict=True):
                own.requires_grad_(other)
        else:
            twin.model.requires_grad_(False)
        return twin

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        ids = self.tokenize_sources(segments)
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        found: dict[int, str] = {}
        # The library's search builds its own masks, which only its own attention understands.
        self.model.set_attn_implementation("sdpa")
        try:
            for first in range(0, len(order), 32):
                rows = order[first : first + 32]
                inputs, mask = pad_rows([ids[i] for i in rows], self.pad_id, self.device)
                tokens = self.model.generate(
                    input_ids=inputs.squeeze(1),
                    attention_mask=mask.squeeze(1),
                    num_beams=beams,
                    do_sample=False,
                    # One more than ours: the library counts the start token.
                    max_length=min(max_length, self.max_length - 1) + 1,
                    suppress_tokens=self._never,
                    decoder_start_token_id=self.start_id,
                    eos_token_id=self.end_id,
                    pad_token_id=self.pad_id,
                )
                found.update(zip(rows, self.detokenize(tokens.tolist()), strict=True))
        finally:
            self.model.set_attn_implementation(ATTENTION)
        return [found[i] for i in range(len(ids))]

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.model.generation_config = GenerationConfig(
            max_length=self.model.config.max_position_embeddings,
            num_beams=1,
            do_sample=False,
            pad_token_id=self.pad_id,
            eos_token_id=self.end_id,
            decoder_start_token_id=self.start_id,
            suppress_tokens=self._never,
        )
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    @property
    def _head(self) -> torch.Tensor:
        return self.model.lm_head.weight

    def _source_batch(self, sources: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded ids [B, S] and the boolean key mask [B, 1, 1, S]."""
        ids, mask = pad_rows(sources, self.pad_id, self.device)
        return ids.squeeze(1), mask[:, :, None, :]

    def encode(self, sources: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states [B, S, d] and the key mask [B, 1, 1, S]."""
        ids, mask = self._source_batch(sources)
        states = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        return states, mask

    def _decode(self, sources: Sequence[Sequence[int]], tokens: torch.Tensor) -> torch.Tensor:
        """Decoder states [B * G, T, d] that predict `tokens` [B, G, T]."""
        states, mask = self.encode(sources)
        targets = tokens.flatten(0, 1)
        begin = torch.full_like(targets[:, :1], self.start_id)
        output = self.model.get_decoder()(
            input_ids=torch.cat([begin, targets[:, :-1]], dim=1),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        return output.last_hidden_state


class _Stepper:
    """Incremental decoding of a `Seq2SeqPolicy`; see `rollouts.base.Stepper`."""

    def __init__(self, policy: Seq2SeqPolicy, sources: Sequence[Sequence[int]], samples: int, max_length: int) -> None:
        model: Any = policy.model
        self._states, self._mask = policy.encode(sources)
        self._decoder = model.get_decoder()
        self._head, self._bias = policy._head, policy._head_bias
        self._samples = samples
        self._cache = shared_source_cache(model.config.decoder_layers, max_length)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        output = self._decoder(
            input_ids=tokens[:, None],
            encoder_hidden_states=self._states,
            encoder_attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
        )
        return linear(output.last_hidden_state[:, -1], self._head) + self._bias

    def keep(self, sources: torch.Tensor) -> None:
        self._states, self._mask = self._states[sources], self._mask[sources]
        keep_sources(self._cache, sources, self._samples)


def _check_folder(folder: Path) -> None:
    """Say in one sentence why a folder is no model, before transformers says it in forty lines."""
    if not folder.is_dir():
        raise ModelError(f"model: '{folder}' is a file; give the folder that holds config.json")
    config = folder / "config.json"
    if not config.exists():
        raise ModelError(f"model: '{folder}' has no config.json; give a folder that `eclectus train` wrote")
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"model: '{config}' is not valid JSON ({error}); copy the folder again") from error
    if kind != "marian":
        raise ModelError(f"model: '{folder}' is of type '{kind}'; this version trains Marian models (type 'marian')")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"model: '{folder}' has no .safetensors weights; copy the whole folder")
    if not (folder / "tokenizer.json").exists():
        raise ModelError(f"model: '{folder}' has no tokenizer.json; copy the whole folder")
