"""Encoder-decoder policies through transformers; what differs between families is in `families/`.

The encoder runs once for each source, however many translations of it are sampled or scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MarianConfig,
    MarianMTModel,
    PreTrainedTokenizerFast,
)

from eclectus.config import NewModelConfig, PromptConfig
from eclectus.errors import ModelError
from eclectus.languages import Direction
from eclectus.policies import prompt_file
from eclectus.policies.attention import Layout, layout_of
from eclectus.policies.cache import select_sources, shared_source_cache
from eclectus.policies.compat import CACHE, OLD, stack
from eclectus.policies.families import families
from eclectus.policies.families.base import Seq2SeqFamily
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.policies.source import Source
from eclectus.rollouts.padding import like_lengths, pad_rows, placed
from eclectus.rollouts.workspace import Workspace
from eclectus.segment import Segment

_ENCODER_PADDING = 64
"""Padding tokens that cost a processor about as much as one more pass of a small encoder."""


class Seq2SeqPolicy(PretrainedPolicy):
    """An encoder-decoder of one of the families in `families/`.

    Args:
        prompt: how a family without language tags is told its languages.

    Raises:
        ModelError: tokenizer and model do not belong together, or the tokenizer names no languages.
    """

    def __init__(self, model: Any, tokenizer: Any, prompt: PromptConfig | None = None) -> None:
        config = model.config
        self._family = families()[config.model_type](config, tokenizer, prompt or PromptConfig())
        for part in ("eos", "pad"):
            own, theirs = getattr(tokenizer, f"{part}_token_id"), getattr(config, f"{part}_token_id")
            if own is None or (theirs is not None and own != theirs):
                raise ModelError(
                    f"model: token {part} is number {own} of the tokenizer but {theirs} of the model;"
                    " the folder mixes files of two models"
                )
        end = int(tokenizer.eos_token_id)
        never = {self._family.decoder_start or 0, *self._family.never()}
        self.hidden_scale = self._family.hidden_scale
        super().__init__(model, tokenizer, int(tokenizer.pad_token_id), end, [end], never)
        self._check_tokens(self._family.tokens.values())
        self.texts.guard(tokenizer.convert_ids_to_tokens(list(self._family.tokens.values())))
        self.languages = self._family.languages
        start = self._family.start(Segment("", *self._any_direction()))
        if max(start) >= len(self._bias):
            raise ModelError(
                f"model: translations start from token {max(start)}, and the weights have {len(self._bias)} rows;"
                " correct decoder_start_token_id in config.json"
            )
        self._start_length = len(start)
        self.max_length = self._family.max_positions - (self._start_length - 1)
        # The checkpoint's own, such as forced tokens, would come on top of what is asked for here.
        self.model.generation_config = GenerationConfig(pad_token_id=self.pad_id, eos_token_id=self.end_id)

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

    @property
    def family(self) -> Seq2SeqFamily:
        """How the model is told its languages."""
        return self._family

    def has_language(self, language: str) -> bool:
        return self._family.has_language(language)

    def language_mark(self, language: str) -> str | None:
        return self._family.language_mark(language)

    def check_directions(self, directions: Sequence[Direction]) -> None:
        self._family.check_directions(directions)

    def tokenize_sources(self, segments: Sequence[Segment]) -> list[Source]:
        sources = []
        for segment, ids in zip(segments, self._encode_sources(segments), strict=True):
            before, after = self._family.affixes(segment)
            room = self._room(segment)
            whole = (*before, *ids[:room], *after)
            sources.append(Source(whole, self._family.start(segment), segment.target_lang, cut=len(ids) > room))
        return sources

    def too_long(self, segments: Sequence[Segment]) -> list[bool]:
        rows = zip(segments, self._encode_sources(segments), strict=True)
        return [len(ids) > self._room(segment) for segment, ids in rows]

    def _encode_sources(self, segments: Sequence[Segment]) -> list[list[int]]:
        plain = [replace(segment, source=self.texts.plain(segment.source)) for segment in segments]
        return self.texts.encode([self._family.text(segment) for segment in plain])

    def _room(self, segment: Segment) -> int:
        return self._family.max_positions - sum(map(len, self._family.affixes(segment)))

    @property
    def target_room(self) -> int:
        return self.max_length - 2

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        return self.texts.encode([self.texts.plain(text) for text in texts], target=True)

    def open_stepper(self, sources: Sequence[Source], samples: int, max_length: int) -> _Stepper:
        return _Stepper(self, sources, samples, max_length)

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        sources = self.tokenize_sources(segments)
        order = sorted(range(len(sources)), key=lambda i: (len(sources[i]), i))
        found: dict[int, str] = {}
        # The library's search builds its own masks, which only its own attention understands.
        with self.library_search("sdpa"):
            for first in range(0, len(order), 32):
                rows = order[first : first + 32]
                inputs, mask = pad_rows([sources[i].ids for i in rows], self.pad_id, self.device)
                start = self._starts([sources[i] for i in rows])
                with self.routed([sources[i].language for i in rows]):
                    tokens = self.model.generate(
                        input_ids=inputs.squeeze(1),
                        attention_mask=mask.squeeze(1),
                        decoder_input_ids=start[:, :1],
                        decoder_start_token_id=start[:, 0],
                        logits_processor=LogitsProcessorList([_Begun(start, beams)]),
                        num_beams=beams,
                        do_sample=False,
                        suppress_tokens=self._never,
                        # The library counts the start tokens.
                        max_length=min(max_length, self.max_length) + self._start_length,
                        # The library's own cache has as many layers as the encoder, fewer than some decoders.
                        **{CACHE: EncoderDecoderCache(DynamicCache(), DynamicCache())},
                    )
                texts = self.detokenize(tokens[:, self._start_length :].tolist())
                found.update(zip(rows, texts, strict=True))
        return [found[i] for i in range(len(sources))]

    def save(self, path: Path) -> None:
        self.save_parts(path)
        if not self.languages:
            prompt_file.write(path, self._family.prompt, {})
        self._generation_config().save_pretrained(path)

    def encode(self, sources: Sequence[Source]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder states [B, S, d] and the key mask [B, 1, 1, S]."""
        ids, mask = pad_rows([source.ids for source in sources], self.pad_id, self.device, self.source_grid)
        ids, mask = ids.squeeze(1), mask[:, :, None, :]
        lengths = [len(source) for source in sources]
        # Layers that are split run equally often in every process.
        apart = self.device.type == "cpu" and self.is_whole
        batches = like_lengths(lengths, _ENCODER_PADDING) if apart else []
        encoder = stack(self.model.get_encoder())
        if len(batches) <= 1:
            return encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask
        parts = []
        for rows in batches:
            width = max(lengths[row] for row in rows)
            with self.routed([sources[row].language for row in rows]):
                states = encoder(input_ids=ids[rows, :width], attention_mask=mask[rows, ..., :width]).last_hidden_state
            parts.append(pad(states, (0, 0, 0, ids.shape[1] - width)))
        place = torch.tensor([row for rows in batches for row in rows]).argsort()
        return torch.cat(parts)[place], mask

    def forward_states(self, sources: Sequence[Source], tokens: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        states, mask = self.encode(sources)
        output = stack(self.model.get_decoder())(
            input_ids=torch.cat([self._starts(sources)[owners], tokens[:, :-1]], dim=1),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
            layout=layout_of(owners, len(sources)),
        )
        return output.last_hidden_state[:, self._start_length - 1 :]

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return self._family.decoder_layers

    def _starts(self, sources: Sequence[Source]) -> torch.Tensor:
        return torch.tensor([source.start for source in sources], dtype=torch.int64, device=self.device)

    def _any_direction(self) -> Direction:
        """A direction that the family takes, to learn how long its starts are."""
        tags = self._family.codes.tags or ["en"]
        return tags[0], tags[0]

    def _generation_config(self) -> GenerationConfig:
        """Greedy search with the rule on tokens that are never generated.

        A language token that `generate` is to force at the start (`forced_bos_token_id`, which differs by direction)
        must not be suppressed, for the library suppresses last; it forbids `bad_words_ids` before it forces.
        """
        forced = set(self._family.start(Segment("", *self._any_direction()))[1:])
        languages = set(self._family.tokens.values()) if forced else set()
        later = sorted(languages.intersection(self._never))
        return GenerationConfig(
            max_length=self._family.max_positions,
            num_beams=1,
            do_sample=False,
            pad_token_id=self.pad_id,
            eos_token_id=self.end_id,
            decoder_start_token_id=self._family.decoder_start,
            forced_bos_token_id=min(forced) if forced and not languages else None,
            suppress_tokens=[i for i in self._never if i not in languages | forced],
            bad_words_ids=[[i] for i in later] or None,
        )


class _Begun(LogitsProcessor):
    """Begins each row as its family asks, as the library's `forced_bos_token_id` does for one token of all rows.

    Tokens that were given beforehand would not count in the length that beams are compared by, and these do.

    Args:
        start: [B, n] the first tokens of each source's translations.
        beams: rows of a source.
    """

    def __init__(self, start: torch.Tensor, beams: int) -> None:
        self._start = start.repeat_interleave(beams, dim=0)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = input_ids.shape[1]
        if place >= self._start.shape[1]:
            return scores
        return torch.full_like(scores, float("-inf")).scatter_(1, self._start[:, place, None], 0.0)


class _Stepper:
    """Incremental decoding of a `Seq2SeqPolicy`; see `rollouts.base.Stepper`."""

    def __init__(self, policy: Seq2SeqPolicy, sources: Sequence[Source], samples: int, max_length: int) -> None:
        self._policy, self._logits = policy, Workspace()
        self._states, self._mask = policy.encode(sources)
        self._decoder = stack(policy.model.get_decoder())
        self._owners = torch.arange(len(sources), device=policy.device).repeat_interleave(samples)
        self._layout: Layout | None = None
        begin = torch.tensor([source.start[:-1] for source in sources], dtype=torch.int64, device=policy.device)
        self._cache = shared_source_cache(policy.decoder_layers, begin.shape[1] + max_length)
        if begin.shape[1]:
            self._decode(begin.repeat_interleave(samples, dim=0))

    def held(self) -> list[torch.Tensor]:
        cross: Any = self._cache.cross_attention_cache.layers
        filled = [layer for layer in [*self._own, *cross] if layer.is_initialized]
        parts = [part for layer in filled for part in (layer.keys, layer.values)]
        return [self._states, self._mask, *parts]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._policy.next_logits(self._decode(tokens[:, None])[:, -1], self._logits)

    def keep(self, rows: torch.Tensor) -> None:
        if OLD:  # each row has a copy of its source's keys and values
            select_sources(self._cache, rows)
        self._owners = self._owners[rows]
        for layer in self._own:
            layer.select(rows)
        self._arrange()

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        self._owners = placed(self._owners, rows, places)
        for layer in self._own:
            layer.branch(rows, places)
        if len(self._owners) == len(self._states):
            self._arrange()
        else:
            self._layout = layout_of(self._owners, len(self._states))

    @property
    def _own(self) -> list[Any]:
        return list(self._cache.self_attention_cache.layers)

    def _arrange(self) -> None:
        """Let sources go that have no row, and put the others in the order of the rows where each has one."""
        sources, owners = self._owners.unique(return_inverse=True)
        if len(sources) == len(owners):
            sources, owners = self._owners, torch.arange(len(owners), device=owners.device)
        if not torch.equal(sources, torch.arange(len(self._states), device=sources.device)):
            if not OLD:
                select_sources(self._cache, sources)
            self._states, self._mask = self._states[sources], self._mask[sources]
        self._owners, self._layout = owners, layout_of(owners, len(self._states))

    def _decode(self, tokens: torch.Tensor) -> torch.Tensor:
        output = self._decoder(
            input_ids=tokens,
            encoder_hidden_states=self._states,
            encoder_attention_mask=self._mask,
            use_cache=True,
            layout=self._layout,
            **{CACHE: self._cache},
        )
        return output.last_hidden_state
