"""What a reward is: segments and hypotheses in, one value in [0, 1] or None for each out."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from eclectus import own
from eclectus.errors import ConfigError, DataError, EclectusError, RunError, nearest, raised
from eclectus.registry import Options
from eclectus.rewards.text import excerpt
from eclectus.segment import Segment

Score = float | None
Translate = Callable[[Sequence[Segment]], list[str]]

NEEDS = ("reference", "translate", "target_texts", "siblings", "batch")
"""What a reward can require; see `Reward.requires`."""

_SCORES = {float, type(None)}


@dataclass(frozen=True)
class RewardContext:
    """What a run provides to its rewards.

    Args:
        languages: the run's languages, the pivot first.
        translate: greedy translations by the frozen starting policy, one for each segment.
        target_texts: monolingual training text for each language; never dev or test text.
        refreshed: `refreshed(n)` is greedy translation by a copy of the policy in training that is refreshed
            after every n-th step; must be requested when the reward is built.
        tokenize: token ids of each text in the policy's vocabulary, end-of-sequence included.
        max_steps: steps of the run.
    """

    languages: Sequence[str] = ()
    translate: Translate | None = None
    target_texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    refreshed: Callable[[int], Translate] | None = None
    tokenize: Callable[[Sequence[str]], list[list[int]]] | None = None
    max_steps: int = 0


class Reward(ABC):
    """Judges hypotheses: 1 is best, 0 is worst, None means "I cannot judge this" and is never counted as 0.

    A subclass in `rewards/<type>.py` gives `__call__` and, where it has options, a nested `Options` model.
    """

    class Options(Options):
        """No options."""

    requires: frozenset[str] = frozenset()
    """What must be there: "reference" (in the segment), "translate", "target_texts" (in the context), "siblings" (the
    same source in the task's other target languages, in the same step), "batch" (all sources of a step in one call)."""

    step: int | None = None
    """The training step whose hypotheses are judged, from 1; None outside training (dev set, controls). The loop sets
    it before each call. What changes over steps must depend on it alone, and at None be what it is on a fresh run."""

    extra: str = ""
    """The optional dependencies that it needs, as in `pip install "eclectus[<extra>]"`; "" where it needs none."""

    pure: bool = False
    """Whether a value depends on the options and the texts alone, so that any process may judge."""

    comparative: bool = False
    """Whether a value depends on the source's other hypotheses; an audit then judges each cheat apart from others."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # Here, so that a subclass, a user's own included, cannot forget it.
        for name in {"__call__", "score_groups"} & vars(cls).keys():
            setattr(cls, name, _guarded(vars(cls)[name], grouped=name == "score_groups"))

    def __init__(self, options: Options | None = None, context: RewardContext | None = None) -> None:
        self.options = options if options is not None else type(self).Options()
        self.context = context or RewardContext()

    @property
    def name(self) -> str:
        """The type, as in the config; of a class outside eclectus its name alone."""
        return type(self).__name__ if own.is_own(self) else type(self).__module__.rpartition(".")[2]

    @property
    def signature(self) -> str:
        """How the value was made, in sacreBLEU's style; subclasses add their settings."""
        return _written(self)

    @abstractmethod
    def __call__(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[Score]:
        """Judge `hypotheses[i]` as a translation of `segments[i]`; returns one value for each."""

    def unjudged(self, languages: Iterable[str]) -> dict[str, str]:
        """The target languages of which it will judge no translation, each with the reason; asked before a run."""
        return {}

    def reset(self) -> None:  # noqa: B027, most rewards remember nothing that could change
        """Forget what was asked of the policy; the training loop calls it where a resumed run would start afresh."""

    def prepare(self, segments: Sequence[Segment]) -> None:  # noqa: B027, most rewards need nothing in advance
        """Get ready for the sources of the coming steps; a chance to ask the policy once for many."""

    def save(self, folder: Path, languages: Iterable[str]) -> None:  # noqa: B027, most rewards have nothing to keep
        """Write what was learnt from the run's text, so that the reward can judge elsewhere; called when RL is done.

        Args:
            folder: for this reward alone; made only if there is something to write.
            languages: the target languages that the run judges.
        """

    def character_scores(self, segments: Sequence[Segment], hypotheses: Sequence[str]) -> list[list[float] | None]:
        """Say what each character of `hypotheses[i]` adds to its value; None where nothing is judged.

        For `dense: tokens`. A reward that can tell gives this; what the characters leave of the value, the end gets.
        """
        raise NotImplementedError(f"reward '{self.name}' does not say what each character adds")

    def demonstrations(self, segments: Sequence[Segment]) -> list[str]:
        """Return the translation that each segment's hypotheses are compared with, "" where there is none.

        For a task's `mle_of`. A reward that makes such translations of its own gives this.
        """
        raise NotImplementedError(f"reward '{self.name}' makes no translations that could be learnt from")

    def score_groups(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> list[list[Score]]:
        """Judge `hypotheses[b][g]` for `segments[b]`; equal hypotheses of one segment are judged once.

        What a subclass returns here and in `__call__` is checked.

        Raises:
            RunError: that is not one number or None for each hypothesis, or a class outside eclectus failed.
        """
        self.check_texts(segments, hypotheses)
        flat: list[tuple[Segment, str]] = []
        index: list[list[int]] = []
        for segment, group in zip(segments, hypotheses, strict=True):
            seen: dict[str, int] = {}
            for hypothesis in group:
                if hypothesis not in seen:
                    seen[hypothesis] = len(flat)
                    flat.append((segment, hypothesis))
            index.append([seen[hypothesis] for hypothesis in group])
        scores = self([segment for segment, _ in flat], [hypothesis for _, hypothesis in flat])
        return [[scores[i] for i in row] for row in index]

    def check_texts(self, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]) -> None:
        """Refuse what is no text; called before `__call__` and `score_groups` of every subclass.

        Raises:
            ValueError: there is not one group of hypotheses for each segment.
            TypeError: a hypothesis is no string, or a string stands for a group.
            DataError: a source or a reference is no string.
        """
        if len(segments) != len(hypotheses):
            raise ValueError(
                f"reward '{self.name}': {len(hypotheses)} hypotheses or groups for {len(segments)} segments; "
                "give one for each segment"
            )
        for segment, group in zip(segments, hypotheses, strict=True):
            kinds = {type(segment.source), *map(type, segment.references), *map(type, group)}
            if kinds == {str} and not isinstance(group, str):
                continue  # the usual case, and one where nothing may cost time
            place = f"segment '{segment.id or str(segment.source)[:40]}'"
            if isinstance(group, str):
                raise TypeError(f"reward '{self.name}': the hypotheses for {place} are one string; give a list of them")
            for name, text in (("source", segment.source), *(("reference", text) for text in segment.references)):
                if not isinstance(text, str):
                    raise DataError(
                        f"reward '{self.name}': {place} ({segment.direction}) has a {name} of type "
                        f"{type(text).__name__}; a {name} must be a string"
                    )
            for hypothesis in group:
                if not isinstance(hypothesis, str):
                    raise TypeError(
                        f"reward '{self.name}': a hypothesis for {place} is {type(hypothesis).__name__}, not a string; "
                        "translate it first, or leave it out"
                    )


def check_requires(kind: str, requires: Iterable[str]) -> None:
    """Refuse a reward that requires what there is not, and so would never be refused for want of it.

    Args:
        kind: its type, as the config writes it.
        requires: see `Reward.requires`.

    Raises:
        ConfigError: a name that is unknown, or one string in place of a set.
    """
    if isinstance(requires, str):
        raise ConfigError(f"reward '{kind}': requires is one string; write frozenset({{'{requires}'}})")
    for need in requires:
        if need not in NEEDS:
            raise ConfigError(f"reward '{kind}': requires names '{need}', which is unknown{nearest(str(need), NEEDS)}")


def check_class(kind: str, found: type[Reward]) -> None:
    """Refuse a class that could not be asked.

    Raises:
        ConfigError: it requires what there is not, or `__call__` does not take segments and hypotheses.
    """
    check_requires(kind, found.requires)
    try:
        inspect.signature(found.__call__).bind(None, [], [])
    except TypeError as error:
        raise ConfigError(
            f"reward '{kind}': __call__ takes other arguments ({error}); write it as `__call__(self, segments, "
            "hypotheses)`, two lists of one length"
        ) from error


def failure(
    what: str, error: Exception, wanted: str = "give a number or None for any text, an empty one included"
) -> RunError:
    """Say in one sentence that code of the user's own failed, and where; called where the error was caught.

    Args:
        what: whose code, for example "reward 'my_rewards:Ending'".
        error: what it raised.
        wanted: what it must do instead.
    """
    return RunError(f"{what} failed with {raised(error)}; it must {wanted}")


def _guarded(method: Callable[..., Any], *, grouped: bool) -> Callable[..., Any]:
    @wraps(method)
    def checked(self: Reward, segments: Sequence[Segment], hypotheses: Sequence[Any], **keywords: Any) -> Any:
        self.check_texts(segments, hypotheses if grouped else [[text] for text in hypotheses])
        try:
            found = method(self, segments, hypotheses, **keywords)
            found = list(found) if isinstance(found, Iterator) else found
        except EclectusError:
            raise
        except Exception as error:
            if not own.is_own(self):
                raise
            raise failure(f"reward '{_written(self)}'", error) from error
        if not grouped:
            return scores(_written(self), found, hypotheses)
        _check_rows(self, found, hypotheses)
        return [scores(_written(self), row, group) for row, group in zip(found, hypotheses, strict=True)]

    return checked


def scores(kind: str, found: Any, hypotheses: Sequence[str]) -> list[Score]:
    """Return one float or None for each hypothesis.

    Args:
        kind: the reward's type, as the config writes it.
        found: what it returned.

    Raises:
        RunError: there are more or fewer, or something else than numbers.
    """
    if type(found) is list and len(found) == len(hypotheses) and _SCORES.issuperset(map(type, found)):
        return found  # the usual case, and one where nothing may cost time
    wanted = "it must return one value for each hypothesis, a number or None to abstain"
    try:
        values = list(found)
    except TypeError as error:
        raise RunError(f"reward '{kind}' returned {type(found).__name__}; {wanted}") from error
    if len(values) != len(hypotheses):
        raise RunError(f"reward '{kind}' returned {len(values)} values for {len(hypotheses)} hypotheses; {wanted}")
    return [_score(kind, value, hypothesis) for value, hypothesis in zip(values, hypotheses, strict=True)]


def _score(kind: str, value: Any, hypothesis: str) -> Score:
    try:
        if isinstance(value, str | bytes):  # float() would read "0.5"
            raise TypeError
        return None if value is None else float(value)
    except Exception as error:  # a tensor of several values has an error of its own
        raise RunError(
            f"reward '{kind}' gave {excerpt(repr(value))} to the hypothesis {excerpt(hypothesis)}; "
            "a reward must be a number, or None to abstain"
        ) from error


def _check_rows(reward: Reward, found: Any, hypotheses: Sequence[Sequence[str]]) -> None:
    """Refuse what is no table with a row for each segment."""
    if not isinstance(found, Sized) or len(found) != len(hypotheses):
        what = f"{len(found)} rows" if isinstance(found, Sized) else type(found).__name__
        raise RunError(
            f"reward '{_written(reward)}' returned {what} for {len(hypotheses)} segments; "
            "it must return a row for each segment, with one value for each hypothesis"
        )


def _written(reward: Reward) -> str:
    """The type, as the config writes it."""
    return own.written(reward) if own.is_own(reward) else reward.name
