"""`Seq2SeqFamily`: what one family of encoder-decoder models does differently from another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.languages import Codes, Direction
from eclectus.segment import Segment


class Seq2SeqFamily(ABC):
    """How a model is told its languages: tags in the source, tokens at the start of the translation, or words.

    Args:
        config: the model's configuration.
        tokenizer: the model's tokenizer.
        prompt: the run's; only families that are told in words read it.

    Raises:
        ModelError: the tokenizer lacks what the family needs.
    """

    model_types: ClassVar[tuple[str, ...]]
    """The `model_type`s in config.json that this family serves."""

    hidden_scale = 1.0
    """Factor between the decoder's states and the vocabulary head."""

    def __init__(self, config: Any, tokenizer: Any, prompt: PromptConfig) -> None:
        self.config, self.tokenizer, self.prompt = config, tokenizer, prompt
        # Sorted: a tokenizer's own order is not the same after every loading.
        self.tokens = dict(sorted(self.language_tokens().items()))
        self.codes = Codes(self.tokens)

    @abstractmethod
    def language_tokens(self) -> dict[str, int]:
        """Token id of each language by the model's own code, without the marks around it; {}: no such tokens."""

    @abstractmethod
    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        """Token ids before and after those of `text(segment)`."""

    @abstractmethod
    def start(self, segment: Segment) -> tuple[int, ...]:
        """Decoder input before the translation: equally many tokens for every segment."""

    def new_token(self, language: str) -> str:
        """The language token that a language (BCP-47) would have, had the model been made with it.

        Raises:
            ModelError: the family marks no languages.
        """
        raise ModelError(f"model: its kind has no language tokens, so it cannot have one for '{language}'")

    def never(self) -> set[int]:
        """Tokens beside the special ones that are no part of a translation."""
        return set(self.tokens.values())

    def text(self, segment: Segment) -> str:
        """The text to encode."""
        return segment.source

    @property
    def languages(self) -> list[str]:
        """BCP-47 tags; empty where the model marks no languages."""
        return self.codes.tags

    def has_language(self, language: str) -> bool:
        """Whether the model can read or write a language (BCP-47)."""
        return self.codes.find(language) is not None

    def language_mark(self, language: str) -> str | None:
        """The model's own code of a language (BCP-47); None where it has none."""
        return self.codes.find(language)

    def check_directions(self, directions: Sequence[Direction]) -> None:
        """Raise `ModelError` for a direction that cannot be asked for though the model has both languages."""
        return

    @property
    def decoder_start(self) -> int | None:
        """The token that the decoder starts from, as the configuration names it; mBART's may name none."""
        number = getattr(self.config, "decoder_start_token_id", None)
        return None if number is None else int(number)

    @property
    def needed_start(self) -> int:
        """`decoder_start`, for families that cannot do without.

        Raises:
            ModelError: the configuration names none.
        """
        if self.decoder_start is None:
            raise ModelError(
                "model: its config.json has no decoder_start_token_id, the token that translations start from; write"
                " it there, or copy the original config.json again"
            )
        return self.decoder_start

    @property
    def decoder_layers(self) -> int:
        """Layers of the decoder."""
        return int(self.config.decoder_layers)

    @property
    def max_positions(self) -> int:
        """Most tokens that encoder and decoder take."""
        return int(self.config.max_position_embeddings)

    def token(self, language: str) -> int:
        """Token id of a language (BCP-47)."""
        code = self.codes.find(language)
        if code is None:
            raise ModelError(f"model: it has no language '{language}'; take it out of data.languages")
        return self.tokens[code]

    def special_tokens(self) -> dict[str, int]:
        """Special and added tokens of the tokenizer, among which language tokens are."""
        tokens = [*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()]
        # M2M100's tokenizer keeps its language tokens to itself.
        tokens += getattr(self.tokenizer, "lang_token_to_id", {})
        return dict(zip(tokens, self.tokenizer.convert_tokens_to_ids(tokens), strict=True))

    @property
    def end(self) -> int:
        """End-of-sequence."""
        return int(self.tokenizer.eos_token_id)


def check_words(prompt: PromptConfig, template: str, directions: Sequence[Direction]) -> None:
    """Refuse several target languages where nothing in the source says which one is wanted.

    Raises:
        ModelError: the template names no target language and there is more than one.
    """
    targets = sorted({target for _, target in directions})
    if len(targets) > 1 and "{target_language}" not in template:
        raise ModelError(
            f"model: nothing tells it which of {', '.join(targets)} to translate into;"
            " set policy.prompt.template to a text with {target_language} and {source}, or train one target language"
        )
