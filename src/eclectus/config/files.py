"""From YAML to checked configurations and back, with `a.b=c` overrides."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from eclectus import recipes
from eclectus.config.reward import RewardConfig
from eclectus.config.run import RunConfig
from eclectus.errors import ConfigError, nearest
from eclectus.registry import describe

M = TypeVar("M", bound=BaseModel)


def load(path: str | Path, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML configuration and apply `a.b=c` overrides.

    Args:
        path: the YAML file.
        overrides: `key.path=value` strings; the value is read as YAML, a number in the path indexes a list.

    Raises:
        ConfigError: missing or unreadable file, an unknown key (the nearest known is named), a wrong value.
    """
    return parse(read(path), overrides, name=str(path))


def find(name: str, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML file, or the packaged recipe of that name; see `load`."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return load(path, overrides)
    return parse(recipes.read(name), overrides, name=name)


def read(path: str | Path) -> str:
    """Return the text of a configuration file.

    Raises:
        ConfigError: missing or unreadable file.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"config: no file '{path}'; `eclectus recipe list` shows the packaged ones") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: cannot read '{path}' ({error})") from error


def parse(text: str, overrides: list[str] | None = None, name: str = "config") -> RunConfig:
    """Turn YAML text into a checked `RunConfig`; see `load`."""
    values = _mapping(text, name)
    for override in overrides or []:
        _override(values, override)
    return _checked(RunConfig, values)


@dataclass(frozen=True)
class RewardSettings:
    """A reward with what its file says about its use.

    Args:
        reward: terms and gates.
        languages: `data.languages` of the run that it stands in; none where it stands alone.
        references: whether its task lets it see references.
    """

    reward: RewardConfig
    languages: list[str] = dataclasses.field(default_factory=list)
    references: bool = True


def parse_reward(text: str, task: str | None = None, name: str = "config") -> RewardSettings:
    """Turn YAML text into a reward: its keys alone, under the key `reward`, or in a task of a whole run.

    Args:
        text: YAML.
        task: which task's reward of a whole run; not needed where it has only one.
        name: the file, for errors.

    Raises:
        ConfigError: not YAML, an unknown key or a wrong value, a task that is not there or not named.
    """
    values = _mapping(text, name)
    if "reinforce" not in values:
        if task is not None:
            raise ConfigError(f"config: '{name}' is a reward alone and has no task '{task}'; leave --task out")
        if "terms" not in values and "reward" not in values:
            raise ConfigError(f"config: '{name}' holds no reward; write its terms, or a run with a 'reinforce' part")
        inner = values["reward"] if set(values) == {"reward"} else values
        if not isinstance(inner, dict):
            raise ConfigError(f"config: 'reward' in '{name}' must hold keys such as terms and gates")
        return RewardSettings(_checked(RewardConfig, inner))
    run = _checked(RunConfig, values)
    tasks = {t.name: t for t in run.reinforce.tasks} if run.reinforce else {}
    chosen = next(iter(tasks)) if task is None and len(tasks) == 1 else task
    if chosen is None:
        raise ConfigError(f"config: '{name}' has several tasks; choose one with --task: {', '.join(tasks)}")
    if chosen not in tasks:
        raise ConfigError(f"config: '{name}' has no task '{chosen}'{nearest(chosen, tasks)}")
    return RewardSettings(tasks[chosen].reward, run.data.languages, tasks[chosen].references)


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: a key stands once, and only true and false are true and false, `no` is Norwegian."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in found:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
            found.add(str(key.value))
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] != _BOOL] for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _mapping(text: str, name: str) -> dict[str, Any]:
    try:
        values = _read(text)
    except _UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"config: '{name}' is not valid YAML{place}: {_problem(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"config: '{name}' must hold keys and values; see `eclectus recipe show quickstart`")
    return values


_UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)
"""What YAML can raise: the second at dates that there are not, the third at lists in lists without end."""


def _read(text: str) -> Any:
    return _parted(yaml.load(text, _Loader))


def _parted(value: Any) -> Any:
    """A copy in which an anchor and its aliases are not one object, which an override would change everywhere."""
    if isinstance(value, dict):
        return {key: _parted(inner) for key, inner in value.items()}
    return [_parted(inner) for inner in value] if isinstance(value, list) else value


def _problem(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    problem = getattr(error, "problem", None) or error
    return str(problem) if isinstance(error, yaml.YAMLError) else f"{problem} (put text that is no date in quotes)"


def _checked(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, "", model)) from error


def dump(config: RunConfig) -> str:
    """Write a configuration as YAML that `parse` reads back to the same configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _override(values: dict[str, Any], override: str) -> None:
    path, equals, raw = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set: '{override}' is not of the form key.path=value, as in --set reinforce.steps=100")
    *parents, last = path.split(".")
    current: Any = values
    for part in parents:
        key = _key(current, part, path)
        if isinstance(current, dict) and current.get(key) is None:
            current[key] = {}
        current = current[key]
        if not isinstance(current, dict | list):
            raise ConfigError(f"--set: '{path}': '{part}' holds a single value, not keys")
    try:
        value = _read(raw)
    except _UNREADABLE as error:
        raise ConfigError(f"--set: '{override}': the value is not valid YAML: {_problem(error)}") from error
    current[_key(current, last, path)] = value


def _key(current: Any, part: str, path: str) -> Any:
    """What `part` of a path is in `current`: a key, or an index that is there."""
    if not isinstance(current, list):
        return part
    if not (part.isdecimal() and int(part) < len(current)):
        raise ConfigError(f"--set: '{path}': '{part}' must be an index below {len(current)}")
    return int(part)
