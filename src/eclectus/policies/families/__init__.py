"""Families of encoder-decoder models, one a file: how each is told its languages.

A family is added by adding a file here with one subclass of `Seq2SeqFamily`; nothing is registered by hand.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from eclectus.policies.families.base import Seq2SeqFamily

SUPPORT = {"base"}
"""Modules here that are no family."""


@cache
def families() -> dict[str, type[Seq2SeqFamily]]:
    """Return the families by `model_type` of transformers."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name in SUPPORT:
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Seq2SeqFamily) and kind.__module__ == module.__name__:
                found.update(dict.fromkeys(kind.model_types, kind))
    return found
