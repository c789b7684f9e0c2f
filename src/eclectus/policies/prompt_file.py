"""`prompt.json`: how a model without language tags was asked, saved beside it so that it is asked alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from eclectus.config import PromptConfig
from eclectus.errors import ModelError
from eclectus.policies.examples import Example

FILE = "prompt.json"


def write(folder: Path, prompt: PromptConfig, examples: Mapping[str, Sequence[Example]]) -> None:
    """Write the prompt and the pairs by direction that it may show."""
    state = {"prompt": prompt.model_dump(mode="json"), "examples": examples}
    (folder / FILE).write_text(json.dumps(state, ensure_ascii=False, indent=1), encoding="utf-8")


def read(path: Path) -> tuple[PromptConfig, dict[str, list[Example]]]:
    """Read what `write` wrote.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        pairs = {name: [(source, target) for source, target in rows] for name, rows in state["examples"].items()}
        return PromptConfig(**state["prompt"]), pairs
    except (ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"model: '{path}' is damaged ({reason}); copy the folder again") from error
