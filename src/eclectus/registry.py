"""Components found by file name: the type `chrf` in the room `rewards` is the file `rewards/chrf.py`.

Nothing is registered by hand: a component is added by adding one file, and only the files that a run names are
imported. A class of the user's own is named `package.module:Class`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from eclectus.errors import ConfigError, EclectusError, nearest, raised

T = TypeVar("T")


class Options(BaseModel):
    """Base of every component's own `Options`: unknown keys are refused, values cannot change after the check."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def names(room: str) -> list[str]:
    """Return the types that the package `eclectus.<room>` offers, without importing them."""
    package = importlib.import_module(f"eclectus.{room}")
    support = set(getattr(package, "SUPPORT", ()))
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg and m.name not in support)


def load_own(where: str, kind: str, form: str = "package.module:Class") -> object:
    """Return what `package.module:name` names, in a package or in a file of the folder that the command is run in.

    Args:
        where: for the errors, what it is for.
        form: for the errors, how it is written.

    Raises:
        ConfigError: there is no such module or name, or the module fails when it is imported.
    """
    module_name, _, name = kind.partition(":")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        parts = module_name.removesuffix(".py").replace("\\", "/").split("/")
        module = parts[-1] if ".." in parts or parts[0] == "" else ".".join(p for p in parts if p not in ("", "."))
        raise ConfigError(f"{where}: '{kind}' names a file; write the module as Python imports it: '{module}:{name}'")
    # An installed command does not import from there. Last, and only once a module is asked for by its name, so that no
    # file there stands in for a package, installed or not.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        if not module_name:
            raise ImportError("it names no module")
        loaded = importlib.import_module(module_name)
    except ImportError as error:
        looked = f", with the module in {os.getcwd()} or installed" if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(f"{where}: cannot load '{kind}' ({error}); write it as {form}{looked}") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        file, line = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (last.filename, last.lineno)
        raise ConfigError(
            f"{where}: '{file}' line {line} fails when '{kind}' is loaded ({type(error).__name__}: {error}); repair it"
        ) from error
    try:
        return getattr(loaded, name)
    except AttributeError as error:
        own = [key for key, value in vars(loaded).items() if getattr(value, "__module__", None) == module_name]
        raise ConfigError(f"{where}: cannot load '{kind}' ({error}){nearest(name, own)}") from error


def find(room: str, kind: str, base: Callable[..., T]) -> type[T]:
    """Return the class for `kind` in `room`.

    Args:
        room: name of a sub-package, for example `rewards`.
        kind: file name without `.py`, or `package.module:Class` for a class outside eclectus.
        base: the class that a component of this room derives from, which may be abstract.

    Raises:
        ConfigError: there is no such component.
    """
    root = cast(type[T], base)  # an argument of this type could be no abstract class
    if ":" in kind:
        found = load_own(room, kind)
        if not (inspect.isclass(found) and issubclass(found, root)):
            raise ConfigError(f"{room}: '{kind}' is not a subclass of {root.__module__}.{root.__name__}")
        return found
    if kind not in names(room):
        raise ConfigError(f"{room}: unknown type '{kind}'{nearest(kind, names(room))}")
    module = importlib.import_module(f"eclectus.{room}.{kind}")
    own = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, root) and c.__module__ == module.__name__ and not inspect.isabstract(c)
    ]
    if len(own) != 1:
        raise ConfigError(f"{room}: {module.__name__} must define exactly one {root.__name__}, found {len(own)}")
    return own[0]


def build(room: str, kind: str, base: Callable[..., T], where: str, options: Mapping[str, Any], *arguments: Any) -> T:
    """Return a component made of its options and what else it takes.

    Args:
        room: as in `find`, like `kind` and `base`.
        where: the setting, for errors.
        options: as the config has them.
        arguments: what the class takes after its options.

    Raises:
        ConfigError: there is no such component, a wrong option, or a class of the user's own fails.
    """
    found: Any = find(room, kind, base)
    component: T = make(where, found, parse_options(where, found.Options, options), *arguments)
    return component


def make(where: str, kind: Callable[..., T], *arguments: Any) -> T:
    """Return `kind(*arguments)`.

    Raises:
        ConfigError: the class lacks a method, or it is not ours and fails with an error that does not say what to do.
    """
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing and inspect.isclass(kind):
        raise ConfigError(
            f"config: '{where}': '{kind.__module__}:{kind.__qualname__}' lacks {' and '.join(missing)}; "
            f"write {'these methods' if len(missing) > 1 else 'this method'}"
        )
    try:
        return kind(*arguments)
    except EclectusError:
        raise
    except Exception as error:
        if not inspect.isclass(kind) or kind.__module__.partition(".")[0] == "eclectus":
            raise
        name = f"{kind.__module__}:{kind.__qualname__}"
        raise ConfigError(
            f"config: '{where}': '{name}' failed when it was made, with {raised(error)}; repair its __init__"
        ) from error


def parse_options(where: str, options: type[Options], values: Mapping[str, Any]) -> Options:
    """Check a component's options.

    Raises:
        ConfigError: an unknown key (the nearest known one is named), a wrong value, or a class that checks nothing.
    """
    if not (inspect.isclass(options) and issubclass(options, Options)):
        written = getattr(options, "__qualname__", "Options")
        raise ConfigError(
            f"config: '{where}': '{written}' does not derive from eclectus.registry.Options; write `class "
            "Options(registry.Options)`"
        )
    try:
        return options(**values)
    except ValidationError as error:
        raise ConfigError(describe(error, where, options)) from error


def describe(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """Turn pydantic's first complaint into one sentence; a key that is missing is often there under another name."""
    first = next((one for one in error.errors() if one["type"] == "extra_forbidden"), error.errors()[0])
    path = [str(part) for part in first["loc"]]
    place = ".".join([p for p in [where, *path] if p])
    if first["type"] == "extra_forbidden":
        known = _keys_beside(model, first["loc"])
        if not known:
            return f"config: unknown key '{place}'; '{place.rpartition('.')[0]}' has no options"
        return f"config: unknown key '{place}'{nearest(path[-1], known)}"
    if first["type"] == "missing":
        return f"config: '{place}' is missing; add it"
    if first["type"] == "model_type" and first["ctx"]["class_name"] == "Component":
        written = "..." if first["input"] is None else first["input"]
        return f"config: '{place}': a part is named by its type; write {{type: {written}}}"
    message = first["msg"].removeprefix("Value error, ")
    # A check of several keys together has them all as its input, and says by itself which it means.
    got = "" if isinstance(first["input"], dict) and first["type"] == "value_error" else f" (got {first['input']!r})"
    told = f"config: '{place}'" if place else "config"
    return f"{told}: {message[0].lower()}{message[1:]}{got}"


def _keys_beside(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The known keys of the object in which the last part of `path` stands."""
    current: type[BaseModel] = model
    for part in path[:-1]:
        if isinstance(part, str) and part in current.model_fields:
            current = next(_models(current.model_fields[part].annotation), current)
    return list(current.model_fields)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """Models inside an annotation such as `list[Model] | None`."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)
