"""Packaged configurations: `eclectus recipe list`."""

from __future__ import annotations

from importlib.resources import files

from eclectus.errors import ConfigError, nearest


def names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(f.name.removesuffix(".yaml") for f in files(__name__).iterdir() if f.name.endswith(".yaml"))


def read(name: str) -> str:
    """Text of a recipe.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in names():
        raise ConfigError(f"recipe: no file and no packaged recipe '{name}'{nearest(name, names())}")
    return (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")


def accelerate_names() -> list[str]:
    """Names of the packaged configurations of `accelerate launch`."""
    return sorted(f.name.removesuffix(".yaml") for f in (files(__name__) / "accelerate").iterdir())


def read_accelerate(name: str) -> str:
    """Text of a configuration of `accelerate launch`.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in accelerate_names():
        raise ConfigError(f"recipe: no configuration of accelerate '{name}'{nearest(name, accelerate_names())}")
    return (files(__name__) / "accelerate" / f"{name}.yaml").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """The first line of a recipe, which is a comment that says what it is for."""
    return read(name).splitlines()[0].lstrip("# ")


def reward_names() -> list[str]:
    """Names of the packaged rewards."""
    return sorted(f.name.removesuffix(".yaml") for f in (files(__name__) / "rewards").iterdir())


def read_reward(name: str) -> str:
    """Text of a packaged reward; one of `reward_names`."""
    return (files(__name__) / "rewards" / f"{name}.yaml").read_text(encoding="utf-8")


def reward_summary(name: str) -> str:
    """The first line of a packaged reward, as `summary`."""
    return read_reward(name).splitlines()[0].lstrip("# ")
