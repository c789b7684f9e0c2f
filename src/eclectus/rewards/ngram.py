"""A character n-gram language model with interpolated Witten-Bell smoothing."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

START, END = "\x02", "\x03"
_UNSEEN_CHARACTERS = 256  # size of the alphabet beyond the characters of the training text


class CharacterModel:
    r"""Probability of a text, character by character.

    $$P(c \mid h) = \frac{C(hc) + T(h) \, P(c \mid h')}{C(h) + T(h)}$$

    with C the counts, T(h) the number of distinct characters seen after the context h, and h' the context without its
    first character. Below the empty context lies the uniform distribution over the seen characters, END and
    256 unseen ones. A text is START characters, the text with single spaces, and END.

    Source: method C of Bell, Cleary and Witten 1990, *Text Compression*, in the interpolated form of Chen and Goodman
    1998, https://dash.harvard.edu/handle/1/25104739, section 2.5 (Witten-Bell). Kneser-Ney needs discounts estimated
    from counts of counts, which are unreliable for characters in a few hundred phrases; Witten-Bell has no parameter.

    The interpolation is worked out in advance: log P(c|h) for every seen hc, log(T(h) / (C(h) + T(h))) for every
    seen h, so that a character costs one look-up and one more for each step down.

    Args:
        texts: the training text.
        order: length of the longest n-gram, in characters.
    """

    def __init__(self, texts: Iterable[str], order: int = 5) -> None:
        self.order = order
        counts = _count(texts, order)
        self._seen: dict[str, float] = {}
        self._down: dict[str, float] = {}
        alphabet = len(counts[0].get("", {})) + _UNSEEN_CHARACTERS
        self._uniform = 1 / alphabet
        for level in counts:  # shorter contexts first: longer ones build on them
            for context, following in level.items():
                kinds, total = len(following), sum(following.values())
                for character, count in following.items():
                    lower = self.probability(character, context[1:]) if context else self._uniform
                    self._seen[context + character] = math.log((count + kinds * lower) / (total + kinds))
                self._down[context] = math.log(kinds / (total + kinds))

    def probability(self, character: str, context: str) -> float:
        """Return P(character | context); the context is cut to the model's order."""
        return math.exp(self._log(context[max(0, len(context) - self.order + 1) :] + character))

    def log_probability(self, text: str) -> tuple[float, int]:
        """Return the natural logarithm of a text's probability and the number of characters it is made of, with END."""
        order, seen, find = self.order, self._seen, self._log
        padded = START * (order - 1) + " ".join(text.split()) + END
        total = 0.0
        for end in range(order, len(padded) + 1):
            gram = padded[end - order : end]
            value = seen.get(gram)
            total += find(gram) if value is None else value
        return total, len(padded) - order + 1

    def _log(self, gram: str) -> float:
        """Return log P of the n-gram's last character after the others."""
        down = 0.0
        while gram:
            value = self._seen.get(gram)
            if value is not None:
                return down + value
            down += self._down.get(gram[:-1], 0.0)
            gram = gram[1:]
        return down + math.log(self._uniform)


def _count(texts: Iterable[str], order: int) -> list[dict[str, dict[str, int]]]:
    """Count the characters after each context: one dictionary for each context length from 0 to order - 1."""
    grams: list[Counter[str]] = [Counter() for _ in range(order)]
    for text in texts:
        padded = START * (order - 1) + " ".join(text.split()) + END
        for n in range(1, order + 1):
            grams[n - 1].update([padded[end - n : end] for end in range(order, len(padded) + 1)])
    counts: list[dict[str, dict[str, int]]] = []
    for level in grams:
        following: dict[str, dict[str, int]] = defaultdict(dict)
        for gram, count in level.items():
            following[gram[:-1]][gram[-1]] = count
        counts.append(dict(following))
    return counts
