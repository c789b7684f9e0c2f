"""`Policy`: what training, rewards and evaluation know of a translation model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from eclectus import parallel
from eclectus.errors import ModelError, nearest
from eclectus.languages import Direction
from eclectus.policies.source import Source
from eclectus.rollouts.base import Among, Rollouts, Sampling, Stepper, Stopped
from eclectus.rollouts.limits import Limits
from eclectus.rollouts.native import Drawn, draw
from eclectus.segment import Segment

P = TypeVar("P", bound="Policy")

_STRIDE = 8
"""Tokens between two waits for a device while sampling; on it, rows that have ended cost next to nothing."""

_BATCH = 128
"""Sources that are translated at once."""

_LONGEST_LIST = 200
"""Characters of the longest list of languages that an error still spells out."""


@dataclass(frozen=True)
class TokenScores:
    """What a policy thinks of given tokens; float32 [B, G, T], 0 where the mask is false.

    Args:
        logprobs: log-probability of each token.
        entropy: of the distribution at each position, in nats; None where it was not asked for.
        divergence: KL of that distribution from the anchor's, in nats; None where it was not asked for.
        states: [B, G, T, d], the decoder's last hidden state that each token is predicted from: what it made of the
            source and the tokens before; 0 where the mask is false; None where it was not asked for.
        ranks: of each token among all tokens, 1 is the likeliest; without gradient; None where it was not asked for.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor | None = None
    divergence: torch.Tensor | None = None
    states: torch.Tensor | None = None
    ranks: torch.Tensor | None = None


class Policy(ABC):
    """A translation model that can be sampled from and differentiated.

    Encoder-decoder and decoder-only models differ behind this line only. Sources are tokenised first
    (`tokenize_sources`) so that nothing is tokenised twice in a step.
    """

    model: torch.nn.Module
    languages: Sequence[str]
    """BCP-47 tags; empty where the model marks no languages and any may be tried."""
    end_id: int
    """Ends the targets of training."""
    end_ids: Sequence[int]
    """Any of these ends a translation that is drawn; `end_id` is one of them."""
    pad_id: int
    max_length: int
    """Most tokens of a translation that the model has positions for."""
    autocast: torch.dtype | None = None
    """Type of the layers' products in sampling, scoring and training; None: that of the weights."""
    merging: bool = True
    """Whether equal samples of a source are scored and learnt from as one; the result is that of each by itself."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Size d of the decoder's hidden states."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.model.parameters()).device

    @property
    def sharded(self) -> bool:
        """Whether the layers are split over the processes, which then make passes with gradient together."""
        return False

    def whole(self) -> AbstractContextManager[None]:
        """All layers are whole inside; where they are split, no process can draw or translate outside. Collective."""
        return nullcontext()

    @property
    def is_whole(self) -> bool:
        """Whether this process may make a pass that the others do not make."""
        return True

    @property
    def branches(self) -> bool:
        """Whether samples of a source are drawn as one for as long as they agree; see `native.draw`."""
        return self.merging

    def check_languages(self, languages: Sequence[str]) -> None:
        """Raise `ModelError` for a language the model lacks, and for two that it cannot tell apart."""
        marks: dict[str, str] = {}
        for language in languages:
            if self.languages and not self.has_language(language):
                raise ModelError(
                    f"model: it has no language '{language}'{self.nearest_language(language)}"
                    " (policy.add_languages adds one, or train a model of your own with policy.new)"
                )
            mark = self.language_mark(language)
            if mark is not None and mark in marks:
                raise ModelError(
                    f"model: '{marks[mark]}' and '{language}' are one language to it, called '{mark}', so they would be"
                    " asked for alike; keep one of the two, or train a model of your own with policy.new"
                )
            if mark is not None:
                marks[mark] = language

    def nearest_language(self, language: str) -> str:
        """The end of a sentence that says which language may have been meant; see `errors.nearest`."""
        hint = nearest(language, self.languages)
        return hint if len(hint) <= _LONGEST_LIST else f" among its {len(self.languages)}"

    def has_language(self, language: str) -> bool:
        """Whether the model marks this language (BCP-47)."""
        return language in self.languages

    def language_mark(self, language: str) -> str | None:
        """The model's own code of a language (BCP-47); None where it is told in words, or not at all."""
        return None

    def check_directions(self, directions: Sequence[Direction]) -> None:
        """Raise `ModelError` for a direction that the model cannot be asked for though it has both languages."""
        return

    def check_supervised(self) -> None:
        """Raise `ModelError` for a model that likelihood alone does not train."""
        return

    def use_examples(self, pairs: Mapping[str, Sequence[Segment]]) -> None:
        """Take translations, by direction, that a prompt may show; models without a prompt have no use for them."""
        return

    @abstractmethod
    def tokenize_sources(self, segments: Sequence[Segment]) -> list[Source]:
        """Token ids of each source with its language tags, and the start of its translation."""

    @abstractmethod
    def too_long(self, segments: Sequence[Segment]) -> list[bool]:
        """Whether the end of each source is cut off, for want of positions."""

    @property
    @abstractmethod
    def target_room(self) -> int:
        """Most tokens of a target text, its end not counted, that there are positions for."""

    @abstractmethod
    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of target texts, whole and without end-of-sequence."""

    def tokenize_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of target texts, cut to what there is room for, end-of-sequence included."""
        return [[*ids[: self.target_room], self.end_id] for ids in self.encode_targets(texts)]

    def holds(self, source: Source, target: Sequence[int]) -> bool:
        """Whether there is room for a source and, before its end-of-sequence, a target, as `encode_targets` gives it.

        What is cut is not shown as a translation: it would teach the policy to stop in the middle.
        """
        return not source.cut and len(target) <= self.target_room

    @abstractmethod
    def detokenize(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of token ids; special tokens are left out."""

    @abstractmethod
    def stepper(self, sources: Sequence[Source], samples: int, max_length: int) -> Stepper:
        """A decoder for `samples` rows of each source, each source encoded once; call under inference mode.

        It has taken in all but the last token of each source's start.
        """

    @abstractmethod
    def token_scores(
        self: P,
        sources: Sequence[Source],
        tokens: torch.Tensor,
        mask: torch.Tensor,
        temperature: float = 1.0,
        *,
        entropy: bool = False,
        anchor: P | None = None,
        states: bool = False,
        ranks: bool = False,
        limits: Limits | None = None,
    ) -> TokenScores:
        """What the policy thinks of each token given its source and prefix, with gradient.

        Args:
            sources: B sources.
            tokens, mask: [B, G, T]; only masked-in positions are projected onto the vocabulary.
            temperature: as in sampling.
            entropy: also the entropy of each distribution.
            anchor: also the divergence of each distribution from that of this policy, which gets no gradient.
            states: also the hidden state that each token is predicted from, with gradient.
            ranks: also each token's rank among all.
            limits: what each token was drawn from; log-probabilities, entropy and divergence are then of
                distributions over that alone.
        """

    def token_logprobs(
        self,
        sources: Sequence[Source],
        tokens: torch.Tensor,
        mask: torch.Tensor,
        temperature: float = 1.0,
        limits: Limits | None = None,
    ) -> torch.Tensor:
        """Log-probability of each token, float32 [B, G, T], 0 where the mask is false; see `token_scores`."""
        return self.token_scores(sources, tokens, mask, temperature, limits=limits).logprobs

    @abstractmethod
    def hidden_states(self, sources: Sequence[Source], tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """State [B, G, T, d] that each token is predicted from, as in `token_scores`, which also scores the tokens."""

    @abstractmethod
    def smoothed_loss(
        self, sources: Sequence[Source], targets: Sequence[Sequence[int]], label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Supervised loss of a batch.

        Returns:
            (sum over tokens of label-smoothed cross-entropy with gradient, sum of plain negative log-likelihood).
        """

    @abstractmethod
    def copy(self: P, trainable: bool = False) -> P:
        """A copy in evaluation mode; frozen unless `trainable`."""

    @abstractmethod
    def beam_search(self, segments: Sequence[Segment], beams: int, max_length: int) -> list[str]:
        """Translations by beam search, one for each segment."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write weights, configuration and tokenizer as a folder that plain transformers loads."""

    def sample(
        self,
        segments: Sequence[Segment],
        samples: int,
        sampling: Sampling,
        generator: torch.Generator | None,
        prefixes: Sequence[Sequence[int]] | None = None,
        among: Among | None = None,
    ) -> Rollouts:
        """Draw `samples` translations of each segment; see `Rollouts` for shapes. Within `whole` where it is sharded.

        Args:
            generator: None where `sampling` is greedy.
            prefixes: token ids that the translations of each segment begin with.
            among: the segments are some of a larger batch; each gets the samples that it would get there.
        """
        sources = self.tokenize_sources(segments)
        drawn = self._draw(sources, samples, sampling, generator, prefixes=prefixes, among=among)
        texts = self._texts(drawn)
        grouped = [texts[i : i + samples] for i in range(0, len(texts), samples)]
        # Cloned out of inference mode: the trainer uses these tensors beside tensors that carry gradient.
        return Rollouts(
            drawn.tokens.clone(),
            drawn.logprobs.clone(),
            drawn.mask.clone(),
            drawn.finished.clone(),
            grouped,
            None if drawn.floor is None else drawn.floor.clone(),
            None if drawn.forced is None else drawn.forced.clone(),
            None if drawn.limits is None else Limits(drawn.limits.ids.clone(), drawn.limits.only),
        )

    def translate(self, segments: Sequence[Segment], max_length: int = 96) -> list[str]:
        """Greedy translations, one for each segment, equal sources translated once."""
        return [text for text, _ in self._greedy(segments, max_length, with_entropy=False)]

    def translate_with_entropy(
        self, segments: Sequence[Segment], max_length: int = 96
    ) -> tuple[list[str], list[float]]:
        """Greedy translations and, for each, the mean entropy (nats) of the distributions it was chosen from."""
        pairs = self._greedy(segments, max_length, with_entropy=True)
        return [text for text, _ in pairs], [entropy for _, entropy in pairs]

    def _greedy(self, segments: Sequence[Segment], max_length: int, *, with_entropy: bool) -> list[tuple[str, float]]:
        keys = [(s.source, s.source_lang, s.target_lang) for s in segments]
        todo = list(dict(zip(keys, segments, strict=True)).values())
        ids = self.tokenize_sources(todo)
        # Sources of like length together, so that little is padded and a batch ends together.
        order = sorted(range(len(todo)), key=lambda i: (len(ids[i]), i))
        own: list[tuple[str, float]] = []
        sampling = Sampling(temperature=0.0, max_length=max_length)
        mine = parallel.share(order)
        with self.whole():
            for first in range(0, len(mine), _BATCH):
                rows = mine[first : first + _BATCH]
                drawn = self._draw([ids[i] for i in rows], 1, sampling, None, with_entropy=with_entropy)
                own += zip(self._texts(drawn), drawn.entropy.flatten().tolist(), strict=True)
        sorted_keys = [(todo[i].source, todo[i].source_lang, todo[i].target_lang) for i in order]
        found = dict(zip(sorted_keys, parallel.joined(own), strict=True))
        return [found[key] for key in keys]

    def _draw(
        self,
        sources: list[Source],
        samples: int,
        sampling: Sampling,
        generator: torch.Generator | None,
        *,
        prefixes: Sequence[Sequence[int]] | None = None,
        among: Among | None = None,
        with_entropy: bool = False,
    ) -> Drawn:
        if not self.is_whole:
            raise RuntimeError("a policy whose layers are split draws within `whole` only")
        sampling = replace(sampling, max_length=min(sampling.max_length, self.max_length))
        # Dropout is off in every log-probability.
        self.model.eval()
        merged = samples > 1 and self.branches
        with torch.inference_mode():
            return draw(
                self.stepper(sources, 1 if merged else samples, sampling.max_length),
                len(sources),
                samples,
                sampling,
                merged=merged,
                grid=self.grid,
                stride=self.stride,
                start=[source.start[-1] for source in sources],
                ends=self.end_ids,
                pad=self.pad_id,
                stopped=self.stopped,
                generator=generator,
                prefixes=prefixes,
                among=among,
                with_entropy=with_entropy,
                device=self.device,
            )

    @property
    def grid(self) -> int:
        """Of what number the rows of the decoder are best a multiple; see `rollouts.native.draw`."""
        return 1

    @property
    def stride(self) -> int:
        """Tokens between two looks at which samples have ended; see `rollouts.native.draw`."""
        return 1 if self.device.type == "cpu" else _STRIDE

    @property
    def stopped(self) -> Stopped | None:
        """Finds texts that end a translation; None: only tokens end one."""
        return None

    def _texts(self, drawn: Drawn) -> list[str]:
        rows = drawn.tokens.flatten(0, 1).tolist()
        lengths = drawn.mask.sum(dim=-1).flatten().tolist()
        return self.detokenize([row[:n] for row, n in zip(rows, lengths, strict=True)])
