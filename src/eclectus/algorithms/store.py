"""An algorithm's own module beside the model that it was trained with: `algorithm.safetensors` and `algorithm.json`."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eclectus import registry
from eclectus.algorithms.base import Algorithm
from eclectus.errors import ConfigError, ModelError
from eclectus.policies.base import Policy

WEIGHTS, SETTINGS = "algorithm.safetensors", "algorithm.json"


def save(algorithm: Algorithm, folder: Path) -> None:
    """Write type, options and weights into a model folder; nothing for an algorithm without a module."""
    if algorithm.module is None:
        return
    weights = {name: value.detach().contiguous().cpu() for name, value in algorithm.module.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    settings = {"type": algorithm.kind, "options": algorithm.options.model_dump(mode="json")}
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def load(folder: Path, policy: Policy) -> Algorithm | None:
    """The algorithm that `save` wrote into a model folder, with its module; None where there is none.

    Args:
        policy: the model of that folder.

    Raises:
        ModelError: the files are damaged or belong to another model.
    """
    if not (folder / SETTINGS).exists():
        return None
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        algorithm = registry.build("algorithms", settings["type"], Algorithm, SETTINGS, settings["options"])
        algorithm.build(policy, seed=0)
        if algorithm.module is None:
            raise ModelError(f"model: '{folder / SETTINGS}' names '{algorithm.kind}', which learns nothing of its own")
        algorithm.module.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ConfigError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"model: {WEIGHTS} and {SETTINGS} in '{folder}' cannot be read ({reason}); copy the whole folder again"
        ) from error
    return algorithm
