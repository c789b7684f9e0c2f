"""T5, mT5, and MADLAD-400, which has T5's architecture.

MADLAD-400, source: `<2xx> text </s>`, the tag naming the target language. Models without such tags are told in words:
the default `translate English to German: text </s>` is T5's own. Decoder: starts with padding.

Source of the convention: Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 2.4; Kudugunta et al. 2023,
https://arxiv.org/abs/2309.04662.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eclectus.languages import Direction, name
from eclectus.policies.compat import scales_output
from eclectus.policies.families.base import Seq2SeqFamily, check_words
from eclectus.segment import Segment

_TAG = re.compile(r"<2([A-Za-z]{2,3}(?:[_-][A-Za-z0-9]+)*)>")

DEFAULT_TEMPLATE = "translate {source_language} to {target_language}: {source}"


class T5(Seq2SeqFamily):
    """The source opens with the target language's tag, or says in words what to do."""

    model_types = ("t5", "mt5")

    def language_tokens(self) -> dict[str, int]:
        vocabulary = self.tokenizer.get_vocab().items()
        return {match.group(1): i for token, i in vocabulary if (match := _TAG.fullmatch(token))}

    def new_token(self, language: str) -> str:
        return f"<2{language.replace('-', '_')}>"

    def never(self) -> set[int]:
        # MADLAD-400 has tags for other tasks too, such as <2translit>.
        return {i for token, i in self.tokenizer.get_vocab().items() if re.fullmatch(r"<2[^<>]+>", token)}

    @property
    def hidden_scale(self) -> float:  # type: ignore[override]
        # T5 of 2019 scales; T5 1.1, mT5 and MADLAD-400 do not.
        return self.config.d_model**-0.5 if scales_output(self.config) else 1.0

    def check_directions(self, directions: Sequence[Direction]) -> None:
        if not self.tokens:
            check_words(self.prompt, self._template, directions)

    @property
    def _template(self) -> str:
        return self.prompt.template or DEFAULT_TEMPLATE

    def text(self, segment: Segment) -> str:
        if self.tokens:
            # As one text, the way the model was trained: what stands between tag and text is the tokenizer's affair.
            return f"<2{self.codes.find(segment.target_lang)}> {segment.source}"
        return self._template.format(
            source=segment.source,
            source_language=name(segment.source_lang),
            target_language=name(segment.target_lang),
        )

    def affixes(self, segment: Segment) -> tuple[list[int], list[int]]:
        return [], [self.end]

    def start(self, segment: Segment) -> tuple[int, ...]:
        return (self.needed_start,)

    @property
    def decoder_layers(self) -> int:
        return int(self.config.num_decoder_layers)

    @property
    def max_positions(self) -> int:
        # Positions are relative, so nothing breaks beyond the 512 that the models were trained with.
        return max(512, int(getattr(self.config, "n_positions", 512)))
