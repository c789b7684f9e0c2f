"""Code of the user's own, named `package.module:Class`: where it is, and what it fails with, in one sentence."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eclectus.errors import EclectusError


def is_own(component: object) -> bool:
    """Whether a component's class stands outside eclectus."""
    return type(component).__module__.partition(".")[0] != "eclectus"


def written(component: object) -> str:
    """The type, as the config writes it."""
    kind = type(component)
    return f"{kind.__module__}:{kind.__qualname__}"


def place(component: object, method: str) -> str:
    """`file:line` where a method begins."""
    code = _code(component, method)
    return written(component) if code is None else f"{code.co_filename}:{code.co_firstlineno}"


@contextmanager
def telling(make: Callable[[str], EclectusError], component: object, method: str, wanted: str) -> Iterator[None]:
    """Raise what a component's method fails with inside as an error of ours, made from one sentence.

    Args:
        method: what is called; the line that is named is the last one in the file that it stands in, or its first.
        wanted: what it must do instead.
    """
    try:
        yield
    except EclectusError:
        raise
    except Exception as error:
        code = _code(component, method)
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
        at = f"{inside[-1].filename}:{inside[-1].lineno}" if inside else place(component, method)
        message = " ".join(str(error).split())
        told = f"{type(error).__name__} ({message})" if message else type(error).__name__
        raise make(f"{method} failed with {told} at {at}; it must {wanted}") from error


def _code(component: object, method: str) -> Any:
    found = inspect.getattr_static(component, method, None)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    return getattr(inspect.unwrap(found), "__code__", None) if callable(found) else None
