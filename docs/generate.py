"""Write docs/configuration.md from the configuration's own models; a test keeps the page up to date.

python docs/generate.py
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from eclectus import config, registry, schedule
from eclectus.algorithms.base import Algorithm
from eclectus.corpora.base import Corpus
from eclectus.engines.base import Engine
from eclectus.rewards.base import Reward

PAGE = Path(__file__).parent / "configuration.md"

PARTS: list[tuple[str, type[BaseModel]]] = [
    ("", config.RunConfig),
    ("data", config.DataConfig),
    ("policy", config.PolicyConfig),
    ("policy.new", config.NewModelConfig),
    ("policy.prompt", config.PromptConfig),
    ("policy.prompt.few_shot", config.FewShotConfig),
    ("supervised", config.SupervisedConfig),
    ("supervised.denoising", config.DenoisingConfig),
    ("back_translation", config.BackTranslationConfig),
    ("reinforce", config.ReinforceConfig),
    ("reinforce.explore", config.ExploreConfig),
    ("reinforce.truncate", config.TruncateConfig),
    ("reinforce.kl", config.KlConfig),
    ("reinforce.entropy", config.EntropyConfig),
    ("reinforce.correction", config.CorrectionConfig),
    ("reinforce.tasks.N", config.TaskConfig),
    ("reinforce.tasks.N.reward", config.RewardConfig),
    ("reinforce.tasks.N.reward.terms.N", config.RewardTermConfig),
    ("reinforce.tasks.N.reward.gates.N", config.RewardGateConfig),
    ("a schedule, for weight and strength", schedule.Schedule),
    ("evaluation", config.EvaluationConfig),
    ("compare", config.CompareConfig),
]

ROOMS: list[tuple[str, str, type]] = [
    ("corpora", "`data.corpora.N`", Corpus),
    ("algorithms", "`reinforce.algorithm`", Algorithm),
    ("engines", "`reinforce.engine` and `evaluation.engine`", Engine),
    ("rewards", "the `terms` and `gates` of a task's `reward`", Reward),
]

INTRODUCTION = """\
# Configuration

<!-- Written by docs/generate.py from the models in src/eclectus/config/ and from the components; do not edit. -->

A run is one YAML file. Every key that is not given has the default below; a key that does not exist is refused with the
nearest one that does. `eclectus recipe show NAME` prints a packaged file, `eclectus recipe copy NAME` makes it yours.

On the command line `--set KEY=VALUE` changes a value for one run. The key is a path with dots, a number in it is a
place in a list, and the value is read as YAML:

```
eclectus train my-corpus.yaml --set reinforce.steps=50 --set 'data.languages=[en, de]' --set data.corpora.0.path=a.tsv
```

The settings that a run was made with, defaults included, are in its folder as `config.yaml`.
"""


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for path, model in PARTS:
        title = (path.capitalize() if " " in path else f"`{path}`") if path else "The whole file"
        lines += [f"## {title}", "", _sentence(model), "", *_table(model), ""]
    for room, place, base in ROOMS:
        lines += [
            f"## {room.capitalize()}",
            "",
            f"Named by `type` in {place}; the other keys are the type's own.",
            "",
        ]
        for name in registry.names(room):
            component: Any = registry.find(room, name, base)
            lines += [f"### `{name}`", "", _sentence(component), "", *_table(component.Options), ""]
    return "\n".join(lines).rstrip() + "\n"


def _sentence(kind: type) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _table(model: type[BaseModel]) -> list[str]:
    if not model.model_fields:
        return ["No options."]
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {(field.description or '').replace('|', '&#124;')} |"
        for name, field in model.model_fields.items()
    ]
    return ["| key | value | default | meaning |", "|---|---|---|---|", *rows]


def _type(field: FieldInfo) -> str:
    text = " or ".join(_names(field.annotation))
    bounds = [
        f"{sign} {value:g}"
        for part in field.metadata
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if (value := getattr(part, attribute, None)) is not None
    ]
    return ", ".join([text, *bounds])


def _names(annotation: Any) -> Iterator[str]:
    """Say an annotation in words."""
    origin, arguments = getattr(annotation, "__origin__", None), get_args(annotation)
    if annotation is type(None):
        yield "null"
    elif hasattr(annotation, "__metadata__"):  # Annotated
        yield from _names(origin)
    elif origin is list:
        yield f"list of {' or '.join(_names(arguments[0]))}"
    elif origin is dict:
        yield f"{' or '.join(_names(arguments[0]))} → {' or '.join(_names(arguments[1]))}"
    elif arguments and all(isinstance(a, str) for a in arguments):
        yield from (f"`{a}`" for a in arguments)
    elif arguments:
        for argument in arguments:
            yield from _names(argument)
    elif inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield "component" if issubclass(annotation, config.Component) else "keys"
    else:
        yield {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}.get(
            annotation, str(annotation)
        )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, config.Component):
        return f"`{{type: {value.type}}}`"
    if isinstance(value, BaseModel):
        return "see below"
    text = f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
