"""Between texts and token ids: a tokenizer of transformers without its special tokens, limits and cleaning."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from eclectus.errors import ModelError

_SIDES = threading.Lock()
"""Held while a tokenizer with two sides is set to one of them: rewards may encode in a thread of their own."""

_WIDE = re.compile("[\uff01-\uff5e\ufe64\ufe65]")
"""Full-width ASCII, and the small forms of `<` and `>`."""


def check_sizes(tokens: int, rows: int) -> None:
    """Make sure that a tokenizer of so many tokens can be that of a model with so many rows.

    Raises:
        ModelError: it has more; or so many fewer that rows for the processor's sake, a few hundred, do not explain it.
    """
    if tokens > rows or rows - tokens > max(1024, rows // 8):
        only = " only" if tokens > rows else ""
        raise ModelError(
            f"model: the tokenizer has {tokens} tokens but the weights{only} {rows};"
            " the folder mixes files of two models"
        )


class Texts:
    """Encodes and decodes plain text, through the tokenizer's fast part where it has one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer: Any = tokenizer
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()
        self._guarded = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.guard(tokenizer.all_special_tokens)

    def guard(self, tokens: Iterable[str]) -> None:
        """Add tokens to those that `plain` takes apart."""
        self._guarded.update(token for token in tokens if len(token) > 1)
        tokens = sorted(self._guarded, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
        # Looks for the first character before it tries hundreds of tags at each place.
        first = "|".join(sorted({_of_any_width(token[0]) for token in tokens}))
        wide = "|".join("".join(map(_of_any_width, token)) for token in tokens)
        self._wide_marks = re.compile(f"(?={first})(?:{wide})" if tokens else "(?!)")

    def plain(self, text: str) -> str:
        """A text of the user's in which nothing is read as a token of the model's own, such as `</s>` or `>>fr<<`.

        Nor are full-width forms, which many a tokenizer turns into ASCII (NFKC) before it looks for its tokens.
        """
        marks = self._wide_marks if _WIDE.search(text) else self._marks
        return marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)

    def encode(self, texts: Sequence[str], *, target: bool = False) -> list[list[int]]:
        """Token ids of texts without any special token; `target` for tokenizers that cut targets differently."""
        if not texts:  # which some tokenizers refuse
            return []
        # Half a surrogate pair, which JSON can hold, is no text that a tokenizer could read.
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        if self._backend is not None:
            return [e.ids for e in self._backend.encode_batch(texts, add_special_tokens=False)]
        # OPUS-MT has a SentencePiece model for each side. Too long a text is cut later, without a warning.
        side = "text_target" if target and hasattr(self._tokenizer, "spm_target") else "text"
        with _SIDES:
            return self._tokenizer(**{side: texts}, add_special_tokens=False, verbose=False).input_ids

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The text of rows of ids as it is, without special tokens."""
        rows = [list(row) for row in tokens]
        if self._backend is not None:
            return self._backend.decode_batch(rows, skip_special_tokens=True)
        return self._tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def textless(self, rows: int, special: Collection[int | None]) -> set[int]:
        """Ids below `rows` that are never part of a text: unknown, `special`, and those that no token belongs to.

        Raises:
            ModelError: the tokenizer's size is not that of `rows`, the model's vocabulary.
        """
        # Sentinels of T5 and Gemma 3's token for images may lie beyond the model's vocabulary; no text ever needs them.
        spared = {i for i, token in self._tokenizer.added_tokens_decoder.items() if token.special and i >= rows}
        vocabulary = self._tokenizer.get_vocab().items()
        known = {i for token, i in vocabulary if i not in spared and not token.startswith("<extra_id_")}
        check_sizes(max(known) + 1, rows)
        named = {self._tokenizer.unk_token_id, *self._tokenizer.all_special_ids, *special}
        return {i for i in named if i is not None and i < rows} | (set(range(rows)) - known)


def _of_any_width(character: str) -> str:
    """A pattern of a character and of those that NFKC makes it of."""
    forms = [character, {"<": "\ufe64", ">": "\ufe65"}.get(character, "")]
    if "!" <= character <= "~":
        forms.append(chr(ord(character) + 0xFEE0))
    return f"[{''.join(map(re.escape, forms))}]"
