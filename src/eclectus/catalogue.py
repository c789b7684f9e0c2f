"""What rewards there are and what each says of itself, as text for the terminal."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from eclectus import recipes, registry
from eclectus.errors import ConfigError, nearest
from eclectus.rewards.base import Reward
from eclectus.rewards.bridges.function import load_function

_RANGE = re.compile(r"\bRange:? ([\[{(][^\])}]*[\])}]|[^.;]+)")
_NEEDS = {"reference": "reference", "translate": "policy", "target_texts": "text"}


def listing() -> str:
    """A line for each reward: name, range, needs, summary; the packaged ones last."""
    rows = [("reward", "range", "needs", "")]
    for name in registry.names("rewards"):
        kind = registry.find("rewards", name, Reward)
        rows.append((name, _range(kind), _needs(kind), _summary(kind)))
    rows += [(name, "", "", recipes.reward_summary(name)) for name in recipes.reward_names()]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def description(name: str) -> str:
    """The documentation of a reward: formula, source, example, cheats, and its options with their defaults.

    Args:
        name: a type, `package.module:Class` or `package.module:function`, or a packaged reward, whose settings are
            shown.

    Raises:
        ConfigError: there is none of this name.
    """
    if name in recipes.reward_names():
        return recipes.read_reward(name)
    function = load_function(name)
    if function is not None:
        return f"{name}\n\n{inspect.getdoc(function) or 'No documentation.'}\n"
    if ":" not in name and name not in registry.names("rewards"):
        known = [*registry.names("rewards"), *recipes.reward_names()]
        raise ConfigError(f"reward: no reward '{name}'{nearest(name, known)}")
    kind = registry.find("rewards", name, Reward)
    # Not getdoc, which would give a class without a docstring that of its base.
    documented = inspect.cleandoc(kind.__doc__ or "No documentation.")
    lines = [name, "", _plain(documented), "", f"Needs: {_needs(kind) or 'nothing'}."]
    return "\n".join([*lines, "", *_options(kind), ""])


def _summary(kind: type[Reward]) -> str:
    """The first sentence of the docstring, in one line."""
    first = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return _plain(first).rstrip(".")


def _range(kind: type[Reward]) -> str:
    found = _RANGE.search(" ".join((inspect.getdoc(kind) or "").split()))
    text = found.group(1) if found else ""
    return text if len(text) < 12 else "option"


def _needs(kind: type[Reward]) -> str:
    needs = [word for need, word in _NEEDS.items() if need in kind.requires]
    return ", ".join([*needs, *([f"eclectus[{kind.extra}]"] if kind.extra else [])])


def _plain(text: str) -> str:
    """The docstring without the marks that set formulas and code apart."""
    return text.replace("$$", "").replace("``", "").replace("`", "")


def _options(kind: type[Reward]) -> list[str]:
    fields = kind.Options.model_fields
    if not fields:
        return ["No options."]
    rows = [(name, _default(field), _values(field), field.description or "") for name, field in fields.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["Options, with their defaults:"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append(f"  {'  '.join([*cells, row[3]])}".rstrip())
    return lines


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)


def _values(field: FieldInfo) -> str:
    """The type with its bounds, as in `float, ≥ 0`, or the values to choose among."""
    bounds = [
        f"{sign} {bound:g}"
        for part in field.metadata
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if (bound := getattr(part, attribute, None)) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _type(annotation: Any) -> str:
    arguments = get_args(annotation)
    if annotation is type(None):
        return "null"
    if arguments and all(isinstance(argument, str) for argument in arguments):
        return " | ".join(arguments)
    if getattr(annotation, "__origin__", None) in (list, dict):
        return str(annotation)
    if arguments:
        return " | ".join(_type(argument) for argument in arguments)
    return "path" if annotation is Path else getattr(annotation, "__name__", str(annotation))
