"""N-gram language models of characters or words: modified Kneser-Ney or Witten-Bell smoothing, in flat arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from eclectus.rewards.text import UNSPACED

Unit = Literal["char", "word"]
Smoothing = Literal["kneser-ney", "witten-bell"]
Arrays = dict[str, NDArray]

START, END, UNKNOWN = 0, 1, 2
_FIRST = 3  # id of the first symbol of the training text
_UNSEEN_CHARACTERS = 256  # size of the alphabet beyond the characters of the training text
_CHUNK = 2**16  # tokens looked up at once: their temporaries stay in the processor's cache
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])  # discounts where counts of counts give none, KenLM's --discount_fallback

# Words with marks of punctuation apart; every character of a script without spaces is a word.
_MARKS = r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u205e\u3001-\u3003\u3008-\u301f\uff01-\uff0f\uff1a-\uff20"
_WORDS = re.compile(rf"[{UNSPACED}{_MARKS}]|[^\s{UNSPACED}{_MARKS}]+")


class NgramModel:
    r"""Probability of a text, token by token; the tokens are its characters or its words.

    Modified Kneser-Ney, interpolated:

    $$P(w \mid h) = \frac{a(hw) - D(a(hw))}{\sum_v a(hv)} + \gamma(h) \, P(w \mid h'), \qquad
      \gamma(h) = \frac{\sum_v D(a(hv))}{\sum_v a(hv)}$$

    with h' the context h without its first token, and a(hw) the count of hw where it has the full order or begins a
    text, else the number of distinct tokens seen before it. The discounts D(1), D(2) and D(3+) of each order are

    $$Y = \frac{n_1}{n_1 + 2 n_2}, \quad D(k) = k - (k + 1) Y \frac{n_{k+1}}{n_k}$$

    from the numbers n_k of n-grams with a = k; where one of these is 0 or a discount leaves (0, k), as in tiny
    corpora and for single characters, they are 0.5, 1 and 1.5. Witten-Bell:

    $$P(w \mid h) = \frac{C(hw) + T(h) \, P(w \mid h')}{C(h) + T(h)}$$

    with C the counts and T(h) the number of distinct tokens after h. Below the empty context lies the uniform
    distribution over the seen tokens, the end of a text, and what was never seen: 256 characters, or one class for all
    words. A text is a start, its tokens with single spaces, and an end, which is predicted too.

    Source: Chen and Goodman 1998, https://dash.harvard.edu/handle/1/25104739 (Witten-Bell: section 2.5; discounts: eq.
    26); adjusted counts and the start of a text as in Heafield et al. 2013, https://aclanthology.org/P13-2121.

    Perplexity of the 1,000 sentences of multi30k's test_2016_flickr after its first training sentences, per character
    (order 5) and per word (order 3); `fluency` shows which of them tells good text from bad:

    | text | characters, Witten-Bell | characters, Kneser-Ney | words, Witten-Bell | words, Kneser-Ney |
    |---|---|---|---|---|
    | en, 300 | 4.62 | 4.05 | 108.5 | 77.8 |
    | en, 2,000 | 3.41 | 3.20 | 78.6 | 60.3 |
    | en, 20,000 | 2.88 | 2.83 | 47.3 | 39.3 |
    | de, 300 | 4.64 | 4.03 | 132.1 | 91.2 |
    | de, 2,000 | 3.44 | 3.19 | 111.9 | 82.8 |
    | de, 20,000 | 2.79 | 2.72 | 63.9 | 51.6 |

    The smoothing is worked out in advance into log P(w|h) for every seen hw and log gamma(h) for every seen h, as in an
    ARPA file. An n-gram's number is its place among the sorted keys (number of its first n-1 tokens, last token), so
    that whole batches are looked up at once.

    Args:
        texts: the training text.
        order: length of the longest n-gram, in tokens.
        unit: what a token is.
        smoothing: how probability is reserved for what was not seen.
    """

    def __init__(
        self, texts: Iterable[str], order: int = 5, unit: Unit = "char", smoothing: Smoothing = "kneser-ney"
    ) -> None:
        texts = list(texts)
        self.unit = unit
        self._coder: _Coder = Characters.of(texts) if unit == "char" else Words.of(texts)
        self._keys, self._logs, self._down = _train(*self._coder.encode(texts), self._coder, order, smoothing)

    @property
    def order(self) -> int:
        """Length of the longest n-gram, in tokens."""
        return len(self._logs)

    @property
    def size(self) -> int:
        """Number of n-grams."""
        return sum(map(len, self._logs))

    def log_probabilities(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the natural logarithm of each text's probability and its number of tokens with the end, both [B]."""
        totals, lengths = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
        for chunk in _chunks(texts):
            ids, starts = self._coder.encode(texts[chunk])
            totals[chunk] = np.add.reduceat(self._score(ids), starts)
            lengths[chunk] = np.diff(starts, append=len(ids)) - 1
        return totals, lengths

    def arrays(self) -> Arrays:
        """Return the model as named arrays; `from_arrays` makes it again."""
        named: Arrays = {"symbols": self._coder.dump(), "unit": np.array(self.unit)}
        named |= {f"keys-{n}": np.diff(keys, prepend=0) for n, keys in enumerate(self._keys, start=2)}
        named |= {f"logs-{n}": logs for n, logs in enumerate(self._logs, start=1)}
        named |= {f"down-{n}": down for n, down in enumerate(self._down, start=1)}
        return named

    @classmethod
    def from_arrays(cls, named: Mapping[str, NDArray]) -> NgramModel:
        """Make the model that `arrays` returned.

        Raises:
            KeyError: an array is missing.
        """
        model = cls.__new__(cls)
        model.unit = "char" if str(named["unit"]) == "char" else "word"
        model._coder = (Characters if model.unit == "char" else Words).load(named["symbols"])
        order = sum(name.startswith("logs-") for name in named)
        model._keys = [np.cumsum(named[f"keys-{n}"]) for n in range(2, order + 1)]
        model._logs = [named[f"logs-{n}"] for n in range(1, order + 1)]
        model._down = [named[f"down-{n}"] for n in range(1, order)]
        return model

    def _score(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return log P of each token after those before it; 0 for START, which nothing predicts."""
        scores = self._logs[0][ids].astype(np.float64)
        follows = np.append(ids != START, False)
        # The place of each token that follows a seen n-gram, and that n-gram's number.
        where = np.flatnonzero(follows)
        context = ids[where - 1]
        for keys, logs, down in zip(self._keys, self._logs[1:], self._down, strict=True):
            found, at = _find(keys, context * self._coder.size + ids[where])
            scores[where] += down[context]
            scores[where[found]] = logs[at[found]]
            # What was found is the context of the next token, where that does not begin another text.
            where, context = where[found] + 1, at[found]
            goes_on = follows[where]
            where, context = where[goes_on], context[goes_on]
        return scores


class _Coder(Protocol):
    """Turns texts into the numbers of their tokens."""

    unseen: int
    """Kinds of tokens beyond those of the training text."""
    size: int
    """One more than the highest number."""

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return START, tokens and END of all texts in a row, and the place of each START."""
        ...

    def dump(self) -> NDArray:
        """Return the symbols as an array."""
        ...


class Characters:
    """The characters of a text with single spaces.

    Args:
        symbols: sorted code points of the training text.
    """

    unseen = _UNSEEN_CHARACTERS

    def __init__(self, symbols: NDArray[np.uint32]) -> None:
        self._symbols = symbols
        self.size = _FIRST + len(symbols)
        self._table = np.full(int(symbols.max(initial=0)) + 2, UNKNOWN)  # the last place stands for all above
        self._table[symbols] = np.arange(_FIRST, self.size)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Characters:
        """Take the alphabet of the texts."""
        return cls(np.array(sorted({ord(c) for text in texts for c in " ".join(text.split())}), dtype=np.uint32))

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return START, characters and END of all texts in a row, and the place of each START."""
        squeezed = [" ".join(text.split()) for text in texts]
        starts, ends = _places([len(text) for text in squeezed])
        joined = f" {'  '.join(squeezed)} " if squeezed else ""
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = self._table[np.minimum(codes, len(self._table) - 1)]
        ids[starts], ids[ends] = START, END
        return ids, starts

    def dump(self) -> NDArray:
        """Return the code points."""
        return self._symbols

    @classmethod
    def load(cls, dumped: NDArray) -> Characters:
        """Make the alphabet that `dump` returned."""
        return cls(dumped)


class Words:
    """The words and marks of a text.

    Args:
        symbols: the words of the training text.
    """

    unseen = 1

    def __init__(self, symbols: Sequence[str]) -> None:
        self._ids = {word: number for number, word in enumerate(symbols, start=_FIRST)}
        self.size = _FIRST + len(symbols)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """Take the vocabulary of the texts."""
        return cls(list(dict.fromkeys(word for text in texts for word in _WORDS.findall(text))))

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return START, words and END of all texts in a row, and the place of each START."""
        find, ids, lengths = self._ids.get, [], []
        for text in texts:
            words = [find(word, UNKNOWN) for word in _WORDS.findall(text)]
            ids += [START, *words, END]
            lengths.append(len(words))
        return np.array(ids, dtype=np.int64), _places(lengths)[0]

    def dump(self) -> NDArray:
        """Return the words as the bytes of lines."""
        return np.frombuffer("\n".join(self._ids).encode("utf-8", "surrogatepass"), dtype=np.uint8)

    @classmethod
    def load(cls, dumped: NDArray) -> Words:
        """Make the vocabulary that `dump` returned."""
        return cls(dumped.tobytes().decode("utf-8", "surrogatepass").split("\n") if len(dumped) else [])


def _places(lengths: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of START and of END of texts that follow each other."""
    counts = np.array(lengths, dtype=np.int64) + 2
    ends = np.cumsum(counts)
    return ends - counts, ends - 1


def _chunks(texts: Sequence[str]) -> Iterator[slice]:
    """Cut texts into runs of about `_CHUNK` characters."""
    first = characters = 0
    for number, text in enumerate(texts):
        characters += len(text) + 2
        if characters >= _CHUNK:
            yield slice(first, number + 1)
            first, characters = number + 1, 0
    if first < len(texts):
        yield slice(first, len(texts))


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Tell which wanted keys there are, and the place of each."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[at] == wanted, at


def _train(
    ids: NDArray[np.int64], starts: NDArray[np.int64], coder: _Coder, order: int, smoothing: Smoothing
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the sorted keys of the n-grams from two tokens on, log P of all n-grams, and log gamma of all contexts."""
    offset = np.arange(len(ids)) - np.repeat(starts, np.diff(starts, append=len(ids)))
    numbers = ids  # of the n-gram that ends at each place; without meaning where the text began later than that
    keys: list[NDArray[np.int64]] = []
    counts = [np.bincount(ids[offset > 0], minlength=coder.size)]
    first: list[NDArray[np.bool_]] = [np.arange(coder.size) == START]  # n-grams that begin with START
    prefix: list[NDArray[np.int64]] = [np.zeros(coder.size, dtype=np.int64)]
    suffix: list[NDArray[np.int64]] = [prefix[0]]
    for n in range(2, order + 1):
        where = np.flatnonzero(offset >= n - 1)
        level, index, inverse, count = np.unique(
            numbers[where - 1] * coder.size + ids[where], return_index=True, return_inverse=True, return_counts=True
        )
        keys.append(level)
        counts.append(count)
        prefix.append(level // coder.size)
        suffix.append(numbers[where[index]])
        first.append(first[-1][prefix[-1]])
        numbers = np.zeros_like(ids)
        numbers[where] = inverse

    lower = np.full(1, 1 / (coder.size - 2 + coder.unseen))  # START and UNKNOWN are no kinds of their own
    logs, down = [], []
    for n in range(order):
        contexts, adjusted = len(counts[n - 1]) if n else 1, counts[n]
        if smoothing == "kneser-ney" and n < order - 1:
            adjusted = np.where(first[n], adjusted, np.bincount(suffix[n + 1], minlength=len(adjusted)))
        total = np.bincount(prefix[n], adjusted, contexts)
        if smoothing == "kneser-ney":
            discount = _discounts(adjusted)[np.minimum(adjusted, 3)]
            kept = np.bincount(prefix[n], discount, contexts)
        else:
            discount = np.zeros(len(adjusted))
            kept = np.bincount(prefix[n], adjusted > 0, contexts)
            total += kept
        gamma = np.divide(kept, total, out=np.ones(contexts), where=total > 0)
        share = (adjusted - discount) / np.maximum(total, 1)[prefix[n]]
        lower = share + gamma[prefix[n]] * lower[suffix[n]]
        if n == 0:
            lower[START] = 1  # never predicted
        else:
            down.append(np.log(gamma).astype(np.float32))
        logs.append(np.log(lower).astype(np.float32))
    return keys, logs, down


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return D(0) = 0, D(1), D(2) and D(3+) for one order's (adjusted) counts."""
    n = np.bincount(counts[counts <= 4], minlength=5).astype(np.float64)
    if not n[1:].all():
        return _FALLBACK
    k = np.arange(4)
    discounts = k - (k + 1) * n[1] / (n[1] + 2 * n[2]) * n[1:] / np.maximum(n[:-1], 1)
    discounts[0] = 0
    return discounts if ((discounts[1:] > 0) & (discounts[1:] < k[1:])).all() else _FALLBACK
