"""What a run watches of itself: a reward that is gamed, which ends it, and an engine too far from the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_FAR = 1.0
"""Mean |log pi - log mu| of a token, nats, above which a toy task was learnt badly or not at all."""


@dataclass
class _Best:
    chrf: float
    reward: float


class Guard:
    """Watches, for each task, dev chrF++ against references beside the dev reward.

    Args:
        fall: points of chrF++ below its best, at a higher reward, that count as being gamed.
    """

    def __init__(self, fall: float) -> None:
        self._fall = fall
        self._best: dict[str, _Best] = {}

    def check(self, chrf: Mapping[str, float], reward: Mapping[str, float]) -> str | None:
        """Return why the run should stop, or None.

        Args:
            chrf, reward: dev values by task; a task without a reward is not watched.
        """
        for task, value in chrf.items():
            if task not in reward:
                continue
            best = self._best.get(task)
            if best is None or value > best.chrf:
                self._best[task] = _Best(value, reward[task])
            elif value < best.chrf - self._fall and reward[task] > best.reward:
                return (
                    f"task '{task}': the reward rose from {best.reward:.3f} to {reward[task]:.3f} while dev chrF++ fell"
                    f" from {best.chrf:.1f} to {value:.1f}, so the reward is being gamed; the best checkpoint is kept"
                )
        return None

    def state_dict(self) -> dict[str, Any]:
        return {task: asdict(best) for task, best in self._best.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._best = {task: _Best(**best) for task, best in state.items()}


class EngineGuard:
    """Says once that an engine's samples are too far from the policy to learn from."""

    def __init__(self) -> None:
        self._said = False

    def check(self, apart: float) -> str | None:
        """Return what is wrong, the first time that it is.

        Args:
            apart: a step's mean of |log pi - log mu| over tokens, nats.
        """
        if apart <= _FAR or self._said:
            return None
        self._said = True
        return (
            "'reinforce.engine' draws from another model than the policy: log-probabilities of a token differ by"
            f" {apart:.1f} nats on average, too much for the correction; take a finer compute_type, such as float32"
        )
