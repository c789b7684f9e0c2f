"""What a user's own corpus yields, checked: a mistake in it is one sentence that names the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from eclectus.corpora.base import Corpus, Entry, Split
from eclectus.errors import DataError
from eclectus.own import is_own, place, telling, written

_ENTRIES = "yield Entry(texts, self.label, id) for each meaning, texts as in {'en': 'Save', 'es': 'Guardar'}"
_SPLITS = get_args(Split)
_END = object()


def read(corpus: Corpus, where: str) -> Iterable[Entry]:
    """The entries of a corpus; those of a class outside eclectus are checked.

    Args:
        where: the place in the configuration, for errors.

    Raises:
        DataError: the source cannot be read; or the class is not ours, and failed or yields something else.
    """
    if not is_own(corpus):
        return corpus.entries()
    if not hasattr(corpus, "dropped"):
        raise _error(corpus, where, f"__init__ at {place(corpus, '__init__')} must call super().__init__ too")
    return _checked(corpus, where)


def signature(corpus: Corpus, where: str) -> str:
    """What the report says of a corpus, as for `read`."""
    if not is_own(corpus):
        return corpus.signature
    wanted = "say in a string where the text came from"
    with telling(lambda sentence: _error(corpus, where, sentence), corpus, "signature", wanted):
        found: Any = corpus.signature
    if not isinstance(found, str):
        at = place(corpus, "signature")
        raise _error(corpus, where, f"signature at {at} is {_kind(found)}; it must be a property and {wanted}")
    return found


def _checked(corpus: Corpus, where: str) -> Iterator[Entry]:
    def failed(sentence: str) -> DataError:
        return _error(corpus, where, sentence)

    with telling(failed, corpus, "entries", _ENTRIES):
        found: Any = corpus.entries()
    if not isinstance(found, Iterable) or isinstance(found, str | Mapping):
        raise failed(f"entries at {place(corpus, 'entries')} returned {_kind(found)}; it must {_ENTRIES}")
    rows, tags = iter(found), set(corpus.languages)
    while True:
        with telling(failed, corpus, "entries", _ENTRIES):
            entry: Any = next(rows, _END)
        if entry is _END:
            return
        wrong = _wrong(entry, tags)
        if wrong is not None:
            raise failed(f"entries at {_line(rows) or place(corpus, 'entries')} {wrong}")
        yield entry


def _wrong(entry: Any, tags: set[str]) -> str | None:
    """What is wrong with an entry, after the place; None: nothing."""
    if not isinstance(entry, Entry):
        return f"yields {_kind(entry)}; it must {_ENTRIES}"
    if not isinstance(entry.texts, Mapping):
        return f"yields an Entry with {_kind(entry.texts)} as its texts; it must {_ENTRIES}"
    wrong = _wrong_text(entry.texts, tags)
    for name in ("corpus", "id"):
        if not isinstance(value := getattr(entry, name), str):
            wrong = f"{_kind(value)} as its {name}; give a string"
    if entry.split not in _SPLITS:
        wrong = f"{_kind(entry.split)} as its split; give one of {', '.join(_SPLITS)}"
    return wrong and f"yields the entry {str(entry.id)[:60]!r} with {wrong}"


def _wrong_text(texts: Mapping[Any, Any], tags: set[str]) -> str | None:
    for tag, text in texts.items():
        if tag not in tags:
            return (
                f"a text in {tag!r}, which is not among data.languages ({', '.join(sorted(tags))}); leave out what is"
                " not in self.languages, or add the language"
            )
        if not isinstance(text, str):
            return f"{_kind(text)} as its text in {tag!r}; give a string, or leave the language out"
    return None


def _line(rows: Any) -> str | None:
    """`file:line` of the `yield` that a generator waits at."""
    while hasattr(inner := getattr(rows, "gi_yieldfrom", None), "gi_frame"):
        rows = inner
    frame = getattr(rows, "gi_frame", None)
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _error(corpus: Corpus, where: str, sentence: str) -> DataError:
    return DataError(f"{where} '{written(corpus)}': {sentence}")
