"""A plain function as a reward: `type: package.module:function`, with TRL's reward signature."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Sequence

from eclectus.errors import RunError
from eclectus.rewards.base import Reward, RewardContext, Score
from eclectus.segment import Segment


def load_function(kind: str) -> Callable[..., list[Score]] | None:
    """Return the function that `package.module:function` names; None if it is a class or cannot be loaded."""
    module_name, colon, name = kind.partition(":")
    if not colon:
        return None
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError):
        return None  # the registry says what is wrong
    return found if inspect.isfunction(found) else None


class FunctionReward(Reward):
    """Calls `function(prompts, completions, **columns) -> list[float | None]`, as TRL's GRPOTrainer does.

    `prompts` are the sources, `completions` the hypotheses; the columns are `source_lang`, `target_lang` and
    `reference`, one value for each hypothesis. The function must take `**kwargs` or name those that it needs.

    Source: https://huggingface.co/docs/trl/main/en/grpo_trainer (using a custom reward function).

    Args:
        function: the function.
        kind: how the config writes it.
    """

    def __init__(self, function: Callable[..., list[Score]], kind: str) -> None:
        super().__init__(None, RewardContext())
        self._function, self._kind = function, kind
        parameters = inspect.signature(function).parameters.values()
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._known = {p.name for p in parameters}

    @property
    def name(self) -> str:
        """The function's name."""
        return self._kind.rpartition(":")[2]

    @property
    def signature(self) -> str:
        """The type, as the config writes it."""
        return self._kind

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Call the function once for all hypotheses."""
        columns = {
            "source_lang": [segment.source_lang for segment in segments],
            "target_lang": [segment.target_lang for segment in segments],
            "reference": [segment.reference for segment in segments],
        }
        wanted = {name: column for name, column in columns.items() if self._takes_all or name in self._known}
        sources = [segment.source for segment in segments]
        try:
            return list(self._function(prompts=sources, completions=list(hypotheses), **wanted))
        except Exception as error:
            # Code that is not ours, on hypotheses that nobody foresaw: an empty one is the usual surprise.
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise RunError(
                f"reward '{self._kind}' failed with {type(error).__name__} ({error}) at {last.filename}:{last.lineno}; "
                "it must give a number or None for any text, an empty one included"
            ) from error
