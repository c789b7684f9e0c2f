"""Log-probabilities of texts under a Hugging Face causal language model, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from eclectus.errors import ModelError


class CausalScorer:
    """Scores texts by a causal model, each after the model's token for the beginning of a text.

    Args:
        path: a folder or a name on the Hugging Face hub; no code of its own is run.
        device: `auto`, or a name that torch knows.
        batch_tokens: tokens scored at once, padding included.
        max_length: tokens of a text that are read.

    Raises:
        ModelError: the model cannot be loaded, or its vocabulary is too small for its tokenizer.
    """

    def __init__(self, path: str, device: str, batch_tokens: int, max_length: int) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path)
            self._model = AutoModelForCausalLM.from_pretrained(path, dtype="auto").eval().requires_grad_(False)
            self._model.to(device)
        except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"reward 'causal_lm': cannot load the causal model '{path}' ({reason}); give the folder or the hub name"
                " of one with its tokenizer"
            ) from error
        rows = self._model.get_input_embeddings().num_embeddings
        if len(self._tokenizer) > rows:
            raise ModelError(
                f"reward 'causal_lm': the tokenizer of '{path}' has {len(self._tokenizer)} tokens and the model {rows};"
                " give a model with its own tokenizer"
            )
        # GPT-2 and its like have one token for both ends of a text.
        start = self._tokenizer.bos_token_id
        self._start = self._tokenizer.eos_token_id if start is None else start
        positions = getattr(self._model.config, "max_position_embeddings", None) or max_length
        self._max_length = min(max_length, positions - 1)
        self._batch_tokens = batch_tokens

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the log-probability of each text and the number of tokens that it is the sum of, both [B]."""
        rows = [self._encode(text) for text in texts]
        totals, lengths = np.zeros(len(rows)), np.array([max(0, len(row) - 1) for row in rows], dtype=np.int64)
        for places in self._batches(lengths):
            totals[places] = self._score([rows[i] for i in places])
        return totals, lengths

    def _encode(self, text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode("utf-8")  # the tokenizer refuses lone surrogates
        cut = {"truncation": True, "max_length": self._max_length}
        ids = self._tokenizer(clean, add_special_tokens=False, **cut)["input_ids"]
        return ids if self._start is None else [self._start, *ids]

    def _batches(self, lengths: NDArray[np.int64]) -> Iterator[list[int]]:
        """Cut the texts that have tokens into batches of like lengths."""
        batch: list[int] = []
        for i in np.argsort(lengths, kind="stable").tolist():
            if not lengths[i]:
                continue
            if batch and (len(batch) + 1) * int(lengths[i]) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    @torch.inference_mode()
    def _score(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return the log-probability of each row of tokens after its first."""
        longest = max(map(len, rows))
        tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=self._model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._model.device)
        # Padding stands on the right: no token sees it, and every text keeps its positions.
        logits = self._model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
        losses = cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none")
        totals = (losses.view(len(rows), -1) * mask[:, 1:]).sum(1)
        return -totals.double().cpu().numpy()
