"""What a corpus is: a source of entries, each one meaning in one or more languages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from eclectus import registry

Split = Literal["auto", "train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One meaning in one or more languages.

    Args:
        texts: language tag -> text; with one language it is monolingual text.
        corpus: label of the corpus that it came from: the type, or the name of the user's file.
        id: stable name inside the run.
        split: "auto" lets the run decide; anything else is the user's own decision.
    """

    texts: Mapping[str, str]
    corpus: str
    id: str
    split: Split = "auto"


def entries_of(texts: Mapping[str, Sequence[str]], corpus: str, name: str, split: Split) -> Iterator[Entry]:
    """Yield one meaning whose languages have several texts each: as many entries as the longest list.

    The n-th entry has the n-th text of each language, or the first where there are fewer.
    """
    for place, row in enumerate(zip_longest(*texts.values()), start=1):
        chosen = {tag: text or own[0] for (tag, own), text in zip(texts.items(), row, strict=True)}
        yield Entry(chosen, corpus, name if place == 1 else f"{name}/{place}", split)


class Corpus(ABC):
    """A source of entries in the run's languages.

    Args:
        options: this type's own options.
        languages: the run's tags, the pivot first; entries carry no others.
        seed: `data.split_seed`, for corpora that draw at random.

    A subclass in `corpora/<type>.py` gives `entries`, `signature` and, where it has any, nested `Options`.
    """

    class Options(registry.Options):
        """No options."""

    root: Path | None = None
    """Folder that relative paths stand in, `data.root`; None: the folder that the run is started in."""

    def __init__(self, options: registry.Options | None, languages: Sequence[str], seed: int) -> None:
        self.options = options if options is not None else type(self).Options()
        self.languages = list(languages)
        self.seed = seed
        self.dropped: Counter[str] = Counter()
        """Texts left out while reading, by reason."""

    def locate(self, path: Path) -> Path:
        """Return where a file of the options is."""
        return path if self.root is None else self.root.expanduser() / path.expanduser()

    @property
    def name(self) -> str:
        """The type, as in the config."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def label(self) -> str:
        """How reports call this corpus; a corpus read from a file is called by its file."""
        return self.name

    @property
    @abstractmethod
    def signature(self) -> str:
        """Where it came from: packages with versions and licences, or a file with its number of lines."""

    def warnings(self) -> Iterable[str]:
        """Yield a sentence for each thing that should not be overlooked about what `entries` has read."""
        return ()

    @abstractmethod
    def entries(self) -> Iterable[Entry]:
        """Yield every entry; texts are as the source has them, cleaning is the run's.

        Raises:
            DataError: the source cannot be read.
        """
