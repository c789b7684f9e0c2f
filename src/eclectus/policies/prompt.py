"""Prompts for decoder-only models: a chat template or plain text, with or without examples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.languages import name
from eclectus.policies.examples import Example
from eclectus.segment import Segment

PLAIN = "{source_language}: {source}\n{target_language}:"
CHAT = "Translate this text from {source_language} to {target_language}. Answer with the translation alone.\n\n{source}"

TODAY = datetime(2024, 7, 26)
"""What chat templates are told that ask for the date, the one that Llama's take where they have no clock: with the real
one a run resumed tomorrow, or its model, would be asked otherwise than it was trained."""

_PARTS = {f"%{letter}": TODAY.strftime(f"%{letter}") for letter in "aAbBdjmyYHIMSp"}
_PARTS |= {"%-d": "26", "%e": "26", "%-m": "7"}  # which not every system knows

_DATED = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('{part}', '{value}')" for part, value in _PARTS.items())
    + " }}{% endmacro %}\n"
)
"""Begins a template that asks for the date: defined there, it goes before the library's function, which cannot be
replaced from outside (transformers 5.24 hands templates no functions)."""

_MARK = "translation"

_SOURCE = "pangolin"
"""A source that no template says by itself."""


class Prompt:
    """Turns a segment and examples into the text that a model continues with the translation.

    Plain: `English: Good morning\\nSpanish:`, examples before it in the same form, followed by a space and their
    translation, blank lines between. Chat: each example is a turn of the user and one of the assistant. What reasoning
    models write before they answer is switched off where their template can do that (`enable_thinking`).

    Args:
        config: the run's.
        tokenizer: the model's, for its chat template.

    Raises:
        ModelError: a chat template is asked for but there is none, or it does not work.
    """

    def __init__(self, config: PromptConfig, tokenizer: Any) -> None:
        self.config, self._tokenizer = config, tokenizer
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if config.chat == "on" and not has_template:
            raise ModelError(
                "model: its tokenizer has no chat template; set policy.prompt.chat: off, or use the instruction-tuned"
                " model"
            )
        self.chat = has_template and config.chat != "off"
        self._dated = self._with_date() if self.chat else None
        self._template = config.template or (CHAT if self.chat else PLAIN)
        self.stop = config.stop if config.stop is not None else ([] if self.chat else ["\n"])
        self.probe = self.text(Segment("text", "en", "es"), ())
        """A prompt after which targets are tokenised, as they will stand after every other one."""
        if self.chat and _SOURCE not in self.text(Segment(_SOURCE, "en", "es"), ()):
            raise ModelError(
                "model: the chat template of its tokenizer leaves out what it is to translate; set policy.prompt.chat:"
                " off"
            )
        self.gap, self.tail = self._around_the_answer() if self.chat else (" ", "")
        """What stands before and after a translation."""

    def text(self, segment: Segment, examples: Sequence[Example]) -> str:
        """Return the whole prompt."""
        if self.chat:
            turns = []
            for source, target in examples:
                turns += [self._turn("user", self._ask(segment, source)), self._turn("assistant", target)]
            return self._render([*turns, self._turn("user", self._ask(segment, segment.source))], asking=True)
        shown = [f"{self._ask(segment, source)} {target}" for source, target in examples]
        return "\n\n".join([*shown, self._ask(segment, segment.source)])

    def cut(self, text: str) -> str:
        """Return the text before the first stop text."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text

    def _ask(self, segment: Segment, source: str) -> str:
        return self._template.format(
            source=source, source_language=name(segment.source_lang), target_language=name(segment.target_lang)
        )

    def _around_the_answer(self) -> tuple[str, str]:
        user = self._turn("user", self._ask(Segment("text", "en", "es"), "text"))
        full = self._render([user, self._turn("assistant", _MARK)], asking=False)
        # A template that writes a finished turn otherwise than an open one says nothing about the gap.
        before, _, after = full.rpartition(_MARK)
        return (before[len(self.probe) :] if before.startswith(self.probe) else ""), after

    @staticmethod
    def _turn(role: str, content: str) -> dict[str, str]:
        return {"role": role, "content": content}

    def _with_date(self) -> str | None:
        """The tokenizer's template with the date, where it asks for one; None: as it is."""
        template = self._tokenizer.chat_template
        if not isinstance(template, str):
            template = template.get("default", "")
        return _DATED + template if "strftime_now" in template else None

    def _render(self, messages: list[dict[str, str]], *, asking: bool) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=asking,
                enable_thinking=False,
                chat_template=self._dated,
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise ModelError(
                f"model: the chat template of its tokenizer fails ({error}); set policy.prompt.chat: off"
            ) from error
