"""The text that a model was trained on, as hashes: small enough to travel with the model, enough to find a leak.

Held-out text is only held out if the model has not met it. A model that eclectus trains carries the hashes of all its
training text; a later run takes test and dev segments that stand among them out, whatever its own split says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from eclectus.corpora.clean import normalise_key
from eclectus.errors import ModelError

FILE = "training_text.npy"


class SeenText:
    """A set of normalised texts, kept as sorted 32-bit hashes.

    A text that was never seen is taken for seen with probability `len(self) / 2 ** 32`, 2 in 100,000 for 80,000 texts.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = hashes

    @classmethod
    def of(cls, texts: Iterable[str]) -> SeenText:
        """Collect texts."""
        return cls(np.unique(np.fromiter((_hash(text) for text in texts), dtype=np.uint32)))

    @classmethod
    def load(cls, folder: Path) -> SeenText | None:
        """Read from a model folder; None where the model carries none.

        Raises:
            ModelError: the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return cls(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise ModelError(f"model: '{path}' is damaged ({error}); copy the folder again") from error

    def save(self, folder: Path) -> None:
        """Write into a model folder."""
        np.save(folder / FILE, self._hashes, allow_pickle=False)

    def __len__(self) -> int:
        return len(self._hashes)

    def __or__(self, other: SeenText) -> SeenText:
        return SeenText(np.union1d(self._hashes, other._hashes))

    def __contains__(self, text: str) -> bool:
        value = np.uint32(_hash(text))
        place = int(np.searchsorted(self._hashes, value))
        return place < len(self._hashes) and bool(self._hashes[place] == value)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(normalise_key(text).encode(), digest_size=4).digest(), "big")
