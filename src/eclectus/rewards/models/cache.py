"""A bounded memory of translations by the policy: as it was at the start, or a copy that is renewed as it learns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from pydantic import Field

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward, RewardContext, Translate
from eclectus.segment import Segment


class TranslationsOptions(Reward.Options):
    """Which policy translates, and how much is remembered."""

    refresh: int = Field(
        0, ge=0, description="translate by a copy of the policy that is refreshed every so many steps; 0: by the start"
    )
    cache: int = Field(100_000, ge=0, description="translations remembered over steps")


class Translations:
    """Greedy translations by the frozen starting policy or by its refreshed copy, each made once while remembered.

    With `refresh: n` the hypotheses of steps 1 to n are judged by the start, those of steps n + 1 to 2n by the policy
    as it was after step n (the running mean of its weights), and so on. Who judges depends on the step alone. Outside
    training (dev set, controls) it is always the start, so that checkpoints are selected by one fixed measure.

    The least recently used translation is forgotten first; those of the refreshed copy when it is refreshed.

    Args:
        context: provides `translate` and `refreshed`.
        reward: the reward that asks, named in errors.
        options: see there.

    Raises:
        ConfigError: `refresh` where nothing is trained.
    """

    def __init__(self, context: RewardContext, reward: str, options: TranslationsOptions) -> None:
        self._reward = reward
        self._every = options.refresh
        self._start = _Memory(context.translate, reward, options.cache)
        self._renewed: _Memory | None = None
        self._era = 0
        if options.refresh:
            if context.refreshed is None:
                raise ConfigError(f"reward '{reward}' has refresh: {options.refresh}, but no policy is trained here")
            self._renewed = _Memory(context.refreshed(options.refresh), reward, options.cache)

    @property
    def signature(self) -> str:
        """Who translates, as a part of a reward's signature: empty for the start."""
        return f"|refresh:{self._every}" if self._every else ""

    def __call__(
        self, texts: Sequence[str], directions: Sequence[tuple[str, str]], step: int | None = None
    ) -> list[str]:
        """Translate each text in its direction `(source language, target language)`; unknown ones go in one call.

        Args:
            step: the training step that is judged; None outside training.

        Raises:
            RunError: the run lends no policy, or the policy did not return one translation for each text.
        """
        keys = [(text, *direction) for text, direction in zip(texts, directions, strict=True)]
        if self._renewed is None or step is None or step <= self._every:
            return self._start.look_up(keys)
        era = (step - 1) // self._every
        if era != self._era:
            self._renewed.forget()
            self._era = era
        return self._renewed.look_up(keys)

    def forget(self) -> None:
        """Forget everything."""
        self._start.forget()
        if self._renewed is not None:
            self._renewed.forget()


class _Memory:
    """Translations by one policy; the least recently used one is forgotten first."""

    def __init__(self, translate: Translate | None, reward: str, size: int) -> None:
        self._translate = translate
        self._reward = reward
        self._size = size
        self._known: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def look_up(self, keys: Sequence[tuple[str, str, str]]) -> list[str]:
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        found = {key: self._known[key] for key in keys if key in self._known}
        if missing:
            found |= zip(missing, self._ask([Segment(*key) for key in missing]), strict=True)
        for key in found:
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    def forget(self) -> None:
        self._known.clear()

    def _ask(self, segments: list[Segment]) -> list[str]:
        if self._translate is None:
            raise RunError(f"reward '{self._reward}' translates with the starting policy, but this run lends none")
        translations = self._translate(segments)
        if len(translations) != len(segments):
            raise RunError(
                f"reward '{self._reward}': the starting policy returned {len(translations)} translations "
                f"for {len(segments)} texts"
            )
        return list(translations)
