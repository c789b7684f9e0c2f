"""With what the numbers were made: signatures and versions, so that somebody else can make them again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("eclectus", "sacrebleu", "py3langid", "numpy", "torch", "transformers", "tokenizers")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the numbers, without importing them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def identification(languages: Sequence[str]) -> str:
    """Return the signature of language identification among `languages`, in sacreBLEU's style."""
    return f"py3langid|of:{','.join(languages)}|version:{version('py3langid')}" if languages else "none"


def fold(signatures: Mapping[str, str]) -> dict[str, str]:
    """Write a signature once for all the directions that share it.

    Args:
        signatures: by `metric direction`, for example `BLEU es-fr`.

    Returns:
        By `metric` where all directions share it, else by `metric (direction, direction)`.
    """
    shared: dict[tuple[str, str], list[str]] = {}
    for key, signature in signatures.items():
        metric, _, direction = key.partition(" ")
        shared.setdefault((metric, signature), []).append(direction)
    alone = {metric: sum(m == metric for m, _ in shared) == 1 for metric, _ in shared}
    return {
        metric if alone[metric] else f"{metric} ({', '.join(directions)})": signature
        for (metric, signature), directions in shared.items()
    }
