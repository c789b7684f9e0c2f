"""A plain function as a reward: `type: package.module:function`, with TRL's reward signature."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field

from eclectus import registry
from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward, RewardContext, Score, failure, scores
from eclectus.segment import Segment


@dataclass(frozen=True)
class TrainerState:
    """What a function finds in `trainer_state`: these two of transformers' `TrainerState`.

    Args:
        global_step: updates made so far; 0 in the first step.
        max_steps: updates of the whole run.
    """

    global_step: int
    max_steps: int


def load_function(kind: str) -> Callable[..., Any] | None:
    """Return the function that `package.module:function` names; None if it is a class or cannot be loaded."""
    if ":" not in kind:
        return None
    try:
        found = registry.load_own("rewards", kind)
    except ConfigError:
        return None  # the registry says it again, to whom it concerns
    return found if callable(found) and not inspect.isclass(found) else None


class FunctionReward(Reward):
    """Calls `function(prompts, completions, **columns) -> list[float | None]`, as TRL's GRPOTrainer does.

    All are passed by name; lists have one value for each hypothesis:

    - `prompts` and `completions`: the sources and the hypotheses, as texts or, with `conversational`, as the messages
      of one user and one assistant;
    - `completion_ids`: token ids of the hypotheses in the policy's vocabulary, end-of-sequence included;
    - the columns of the data: `source`, `source_lang`, `target_lang`, `reference`, `id`, and the segment's attributes
      such as `corpus`, None where a segment has none;
    - `trainer_state` with `global_step` and `max_steps`; outside training (dev set, controls) both are `max_steps`;
    - `log_extra` and `log_metric`, which do nothing here.

    The function names those that it needs, or takes `**kwargs`. It may be `async`. Equal hypotheses of one source come
    once.

    Source: https://huggingface.co/docs/trl/main/en/grpo_trainer (using a custom reward function).

    Args:
        function: the function.
        kind: how the config writes it.

    Raises:
        RunError: it needs a column that is not there, or does not return one value for each hypothesis.
    """

    class Options(Reward.Options):
        """How the function wants its texts."""

        conversational: bool = Field(False, description="prompts and completions as lists of messages, as chat has")

    options: Options

    def __init__(
        self,
        function: Callable[..., Any],
        kind: str,
        options: Options | None = None,
        context: RewardContext | None = None,
    ) -> None:
        super().__init__(options, context)
        self._function, self._kind = function, kind
        parameters = inspect.signature(function).parameters.values()
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        self._known = {p.name for p in named}
        self._needed = {p.name for p in named if p.default is p.empty}
        if self._needed & {"reference", "references"}:
            self.requires = frozenset({"reference"})  # of this instance: it depends on the function

    @property
    def name(self) -> str:
        """The function's name."""
        return self._kind.rpartition(":")[2]

    @property
    def signature(self) -> str:
        """The type, as the config writes it."""
        return self._kind + ("|conversational" if self.options.conversational else "")

    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Call the function once for all hypotheses."""
        if len(segments) != len(hypotheses):
            raise ValueError(f"{len(segments)} segments, {len(hypotheses)} hypotheses")
        if not segments:
            return []  # a function is not asked about nothing; TRL never does
        prompts: list[Any] = [segment.source for segment in segments]
        completions: list[Any] = list(hypotheses)
        if self.options.conversational:
            prompts = [[{"role": "user", "content": text}] for text in prompts]
            completions = [[{"role": "assistant", "content": text}] for text in completions]
        offered = self._columns(segments) | {"prompts": prompts, "completions": completions}
        offered |= {"trainer_state": self._state, "log_extra": _ignore, "log_metric": _ignore}
        if self.context.tokenize is not None and self._wants("completion_ids"):
            offered["completion_ids"] = self.context.tokenize(list(hypotheses))
        lacking = sorted(self._needed - set(offered))
        if lacking:
            raise RunError(
                f"reward '{self._kind}' needs '{lacking[0]}', which the text does not have; it has {', '.join(offered)}"
            )
        try:
            found = self._function(**{name: value for name, value in offered.items() if self._wants(name)})
            if inspect.isawaitable(found):
                found = self._loop(found)
            found = list(found) if isinstance(found, Iterator) else found
        except Exception as error:
            # Code that is not ours, on hypotheses that nobody foresaw: an empty one is the usual surprise.
            raise failure(f"reward '{self._kind}'", error) from error
        return scores(self._kind, found, hypotheses)

    @property
    def _state(self) -> TrainerState:
        last = self.context.max_steps
        return TrainerState(last if self.step is None else self.step - 1, last)

    @cached_property
    def _loop(self) -> Callable[[Any], Any]:
        """Runs a coroutine, always on the same event loop, so that the function may keep its connections."""
        runner = asyncio.Runner()
        # In a thread of its own: a notebook has an event loop running in this one.
        thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)

        async def wait(found: Any) -> Any:
            return await found

        return lambda found: thread.submit(runner.run, wait(found)).result()

    def _wants(self, name: str) -> bool:
        return self._takes_all or name in self._known

    def _columns(self, segments: Sequence[Segment]) -> dict[str, Any]:
        names = dict.fromkeys(name for segment in segments for name in segment.attributes)
        columns = {name: [s.attributes.get(name) for s in segments] for name in names}
        return columns | {
            name: [getattr(segment, name) for segment in segments]
            for name in ("source", "source_lang", "target_lang", "reference", "id")
        }


def _ignore(*_: Any) -> None:
    """Stands for TRL's logging calls."""
