"""Decoder-only policies through transformers: Llama, Mistral, Qwen and Gemma families, asked by a prompt.

A prompt is run through the model once for each source; its keys and values are then repeated for the G samples. In
training the gradient flows back through them into the one pass over the prompt.

A translation ends with an end token (end-of-sequence, the end of the assistant's turn), or with the token that
completes a stop text. That token is masked in: it is drawn, scored and given gradient like any other. The stop text and
what follows it are not part of the text that rewards see. Targets of supervised training end with the end token.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.cache_utils import Cache

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.policies import prompt_file
from eclectus.policies.cache import FilledLayer, RepeatableLayer, prefixed, repeated
from eclectus.policies.compat import CACHE
from eclectus.policies.examples import Example, Examples
from eclectus.policies.pretrained import PretrainedPolicy
from eclectus.policies.prompt import Prompt
from eclectus.policies.source import Source
from eclectus.rollouts.base import Stopped
from eclectus.rollouts.padding import pad_left, placed
from eclectus.rollouts.workspace import Workspace
from eclectus.segment import Segment

MODEL_TYPES = {
    "llama": False,
    "mistral": False,
    "gemma": False,
    "qwen2": True,
    "qwen3": True,
    "gemma2": True,
    "gemma3_text": True,
}
"""Served `model_type`s, and whether the model takes a mask for each kind of layer."""


class CausalPolicy(PretrainedPolicy):
    """A decoder-only model that continues a prompt; prompts are padded on the left and never scored.

    The prompt belongs to the model: `save` writes it, with the examples it shows, as `prompt.json`.

    Args:
        examples: pairs by direction that the prompt may show.

    Raises:
        ModelError: see `Prompt`; or the tokenizer has no end-of-sequence.
    """

    languages = ()

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompt: PromptConfig | None = None,
        examples: Mapping[str, Sequence[Example]] | None = None,
    ) -> None:
        self._prompt = Prompt(prompt or PromptConfig(), tokenizer)
        self._examples = Examples(self._prompt.config.few_shot, examples)
        eos = tokenizer.eos_token_id
        if eos is None:
            raise ModelError(
                "model: its tokenizer has no end-of-sequence token; set eos_token in tokenizer_config.json"
            )
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        tail = tokenizer(self._prompt.tail, add_special_tokens=False).input_ids
        end = next((i for i in tail if i in special), eos)
        ends = {*_ids(model.config.eos_token_id), *_ids(model.generation_config.eos_token_id)}
        bos, own = tokenizer.bos_token_id, model.config.bos_token_id
        # A chat model's tokenizer may end otherwise than its config says, but then it begins as it says, and what the
        # config says is no word of it.
        begins_otherwise = None not in (bos, own) and bos != own
        if ends and eos not in ends and (begins_otherwise or not ends & special):
            raise ModelError(
                f"model: tokens bos and eos are numbers {bos} and {eos} of the tokenizer but {own} and"
                f" {', '.join(map(str, sorted(ends)))} of the model; the folder mixes files of two models, or"
                " config.json names them wrongly"
            )
        pad = tokenizer.pad_token_id
        if pad is None or pad >= len(model.get_output_embeddings().weight):
            # Added without a row of its own in the model. No token attends to padding, so any will do.
            pad = eos
        super().__init__(model, tokenizer, pad, end, {eos, *ends}, special)
        self._check_tokens(self._encode_prompts([self._prompt_of(Segment("a", "en", "de"), ())])[0])
        positions = int(model.config.max_position_embeddings)
        self._prompt_limit = positions // 2
        self.max_length = positions - self._prompt_limit
        # Models without one ignore the key.
        windowed = model.config.model_type == "mistral" or MODEL_TYPES[model.config.model_type]
        self._window: int | None = getattr(model.config, "sliding_window", None) if windowed else None
        model.generation_config = GenerationConfig(pad_token_id=self.pad_id, eos_token_id=self.end_ids)

    def use_examples(self, pairs: Mapping[str, Sequence[Segment]]) -> None:
        self._examples = Examples.of(self._prompt.config.few_shot, pairs)

    def tokenize_sources(self, segments: Sequence[Segment]) -> list[Source]:
        shown = [self._examples.choose(segment) for segment in segments]
        texts = [self._prompt_of(segment, examples) for segment, examples in zip(segments, shown, strict=True)]
        sources = []
        for segment, examples, ids in zip(segments, shown, self._encode_prompts(texts), strict=True):
            cut = False
            if len(ids) > self._prompt_limit:
                ids, cut = self._shortened(segment, len(examples))
            sources.append(Source(tuple(ids[:-1]), (ids[-1],), segment.target_lang, cut=cut))
        return sources

    def too_long(self, segments: Sequence[Segment]) -> list[bool]:
        # Examples go before anything of the source does.
        rows = self._encode_prompts([self._prompt_of(segment, ()) for segment in segments])
        return [len(ids) > self._prompt_limit for ids in rows]

    def _prompt_of(self, segment: Segment, examples: Sequence[Example]) -> str:
        plain = self.texts.plain
        shown = [(plain(source), plain(target)) for source, target in examples]
        return self._prompt.text(replace(segment, source=plain(segment.source)), shown)

    def _encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        if self._prompt.chat or not texts:
            return self.texts.encode(texts)  # the template has written every special token itself
        rows = self.tokenizer(list(texts), verbose=False).input_ids
        # Tokenizers that end every text would end the prompt.
        return [ids[:-1] if ids[-1] == self.tokenizer.eos_token_id else ids for ids in rows]

    def _shortened(self, segment: Segment, count: int) -> tuple[list[int], bool]:
        """The prompt with as many examples, nearest last, and then as much of the source as there is room for.

        Returns:
            (its token ids, whether some of the source had to go).
        """
        examples, source = self._examples.choose(segment)[:count], segment.source
        while True:
            cut = Segment(source, segment.source_lang, segment.target_lang)
            ids = self._encode_prompts([self._prompt_of(cut, examples)])[0]
            if len(ids) <= self._prompt_limit:
                return ids, source != segment.source
            if examples:
                examples = examples[1:]
            elif source:
                source = source[: min(len(source) - 1, len(source) * self._prompt_limit // len(ids))]
            else:
                raise ModelError(
                    f"model: the prompt alone takes {len(ids)} tokens of the {self._prompt_limit} there is room for;"
                    " shorten policy.prompt.template"
                )

    @property
    def target_room(self) -> int:
        return self.max_length - 1

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        before = self.texts.encode([self._prompt.probe])[0]
        answers = [self._prompt.gap + self.texts.plain(text) for text in texts]
        joint = self.texts.encode([self._prompt.probe + answer for answer in answers])
        alone = self.texts.encode(answers)
        # After a prompt, as the model will meet it; alone only where a token would reach across the border.
        return [j[len(before) :] if j[: len(before)] == before else a for j, a in zip(joint, alone, strict=True)]

    def detokenize(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        # The tokenizer need not know of an end token that the model names that it is special.
        said = [[token for token in row if token not in self.end_ids] for row in tokens]
        return [self._prompt.cut(text).strip() for text in self.texts.decode(said)]

    @property
    def stopped(self) -> Stopped | None:
        stops = self._prompt.stop
        if not stops:
            return None
        # None was complete before, so the end of the row is enough; a character is four bytes at most.
        window = 4 * max(map(len, stops)) + 4

        def complete(parts: Sequence[Sequence[int]]) -> list[bool]:
            return [any(stop in text for stop in stops) for text in self.texts.decode(parts)]

        def found(rows: Sequence[Sequence[int]], since: int) -> list[int | None]:
            ends: list[int | None] = [None] * len(rows)
            begun = max(0, since + 1 - window)
            for number in itertools.compress(itertools.count(), complete([row[begun:] for row in rows])):
                row = rows[number]
                upto = complete([row[begun : end + 1] for end in range(since, len(row))])
                ends[number] = since + upto.index(True)
            return ends

        return found

    @property
    def stop_texts(self) -> Sequence[str]:
        """Texts that end a translation."""
        return self._prompt.stop

    def open_stepper(self, sources: Sequence[Source], samples: int, max_length: int) -> _Stepper:
        return _Stepper(self, sources, samples, max_length)

    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        sources = self.tokenize_sources(segments)
        rows = [(*source.ids, *source.start) for source in sources]
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        found: dict[int, str] = {}
        # The library's search builds its own masks; its fused attention has no soft cap.
        capped = getattr(self.model.config, "attn_logit_softcapping", None) is not None
        with self.library_search("eager" if capped else "sdpa"):
            for first in range(0, len(order), 32):
                part = order[first : first + 32]
                inputs, mask = pad_left([rows[i] for i in part], self.pad_id, self.device)
                with self.routed([sources[i].language for i in part]):
                    tokens = self.model.generate(
                        input_ids=inputs,
                        attention_mask=mask.long(),
                        num_beams=beams,
                        do_sample=False,
                        max_new_tokens=min(max_length, self.max_length),
                        suppress_tokens=self._never,
                        stop_strings=self._prompt.stop or None,
                        tokenizer=self.tokenizer,
                    )
                found.update(zip(part, self.detokenize(tokens[:, inputs.shape[1] :].tolist()), strict=True))
        return [found[i] for i in range(len(rows))]

    def save(self, path: Path) -> None:
        self.save_parts(path)
        GenerationConfig(
            num_beams=1,
            do_sample=False,
            pad_token_id=self.pad_id,
            eos_token_id=self.end_ids,
            suppress_tokens=self._never,
        ).save_pretrained(path)
        prompt_file.write(path, self._prompt.config, self._examples.pairs)

    def forward_states(self, sources: Sequence[Source], tokens: torch.Tensor, owners: torch.Tensor) -> torch.Tensor:
        cache, seen = self.prefill(sources)
        if self._shards is not None:
            layers: Any = cache.layers
            self._shards.gather_for([(layer.keys, layer.values) for layer in layers])
        start = torch.tensor([source.start for source in sources], dtype=torch.int64, device=self.device)
        inputs = torch.cat([start[owners], tokens[:, :-1]], dim=1)
        seen = torch.cat([seen[owners], torch.ones_like(inputs, dtype=torch.bool)], dim=1)
        return self.run(inputs, seen, prefixed(cache, owners))

    def prefill(self, sources: Sequence[Source]) -> tuple[Cache, torch.Tensor]:
        """Keys and values of each prompt but for its last token, and which places are no padding, bool [B, S]."""
        ids, seen = pad_left([source.ids for source in sources], self.pad_id, self.device, self.source_grid)
        cache = Cache(layer_class_to_replicate=RepeatableLayer)
        self.run(ids, seen, cache)
        return cache, seen

    def run(self, inputs: torch.Tensor, seen: torch.Tensor, cache: Cache) -> torch.Tensor:
        """States [n, T, d] of `inputs` [n, T], which go to the end of what the cache holds.

        Args:
            seen: bool [n, S + T], true where cache and inputs are no padding.
        """
        length, width = inputs.shape[1], seen.shape[1]
        positions = (seen.long().cumsum(dim=1) - 1).clamp(min=0)[:, width - length :]
        output = self.model.get_decoder()(
            input_ids=inputs,
            attention_mask=self._masks(seen, length),
            position_ids=positions,
            use_cache=True,
            **{CACHE: cache},
        )
        return output.last_hidden_state

    def _masks(self, seen: torch.Tensor, length: int) -> torch.Tensor | dict[str, torch.Tensor]:
        """What the last `length` places may look at: what is before them and no padding, within the window if any."""
        places = torch.arange(seen.shape[1], device=seen.device)
        distance = places[-length:, None] - places[None, :]
        # Padding looks at itself: a row that sees nothing would come out as not-a-number and spread.
        full = ((distance >= 0) & seen[:, None, None, :]) | (distance == 0)
        near = full if self._window is None else full & (distance < self._window)
        if MODEL_TYPES[self.model.config.model_type]:
            return {"full_attention": full, "sliding_attention": near}
        return near


class _Stepper:
    """Incremental decoding of a `CausalPolicy`; see `rollouts.base.Stepper`."""

    def __init__(self, policy: CausalPolicy, sources: Sequence[Source], samples: int, max_length: int) -> None:
        self._policy, self._logits = policy, Workspace()
        cache, seen = policy.prefill(sources)
        capacity = seen.shape[1] + max_length
        self._cache = repeated(cache, samples, lambda: FilledLayer(capacity))
        self._seen = seen.repeat_interleave(samples, dim=0)

    def held(self) -> list[torch.Tensor]:
        layers: Any = self._cache.layers
        filled = self._seen.shape[1]
        return [self._seen, *(part[:, :, :filled] for layer in layers for part in (layer.keys, layer.values))]

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self._seen = torch.cat([self._seen, torch.ones_like(self._seen[:, :1])], dim=1)
        return self._policy.next_logits(self._policy.run(tokens[:, None], self._seen, self._cache)[:, -1], self._logits)

    def keep(self, rows: torch.Tensor) -> None:
        self._seen = self._seen[rows]
        layers: Any = self._cache.layers
        for layer in layers:
            layer.select(rows)

    def branch(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        self._seen = placed(self._seen, rows, places)
        layers: Any = self._cache.layers
        for layer in layers:
            layer.branch(rows, places)


def _ids(value: int | Sequence[int] | None) -> list[int]:
    """Token ids that a configuration gives as one, several or none."""
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)
