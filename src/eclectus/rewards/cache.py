"""A bounded memory of translations by the frozen starting policy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from eclectus.errors import RunError
from eclectus.rewards.base import RewardContext
from eclectus.segment import Segment


class Translations:
    """Translations by `context.translate`, each asked for once while it is remembered.

    The policy behind it is frozen, so a translation never goes stale; the least recently used one is forgotten first.

    Args:
        context: lends `translate`.
        reward: the reward that asks, named in errors.
        size: texts remembered.
    """

    def __init__(self, context: RewardContext, reward: str, size: int) -> None:
        self._context = context
        self._reward = reward
        self._size = size
        self._known: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def __call__(self, texts: Sequence[str], directions: Sequence[tuple[str, str]]) -> list[str]:
        """Translate each text in its direction `(source language, target language)`; unknown ones go in one call.

        Raises:
            RunError: the run lends no policy, or the policy did not return one translation for each text.
        """
        keys = [(text, *direction) for text, direction in zip(texts, directions, strict=True)]
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        found = {key: self._known[key] for key in keys if key in self._known}
        if missing:
            found |= zip(missing, self._translate([Segment(*key) for key in missing]), strict=True)
        for key in found:
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    def forget(self) -> None:
        """Forget everything."""
        self._known.clear()

    def _translate(self, segments: list[Segment]) -> list[str]:
        if self._context.translate is None:
            raise RunError(f"reward '{self._reward}' translates with the starting policy, but this run lends none")
        translations = self._context.translate(segments)
        if len(translations) != len(segments):
            raise RunError(
                f"reward '{self._reward}': the starting policy returned {len(translations)} translations "
                f"for {len(segments)} texts"
            )
        return list(translations)
