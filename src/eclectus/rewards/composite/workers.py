"""Rewards in worker processes: the same values in the same order, with more than one processor at work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import Reward, Score
from eclectus.segment import Segment

_Kind = type[Reward]
_rewards: dict[tuple[_Kind, Reward.Options], Reward] = {}  # of a worker process


class Workers:
    """Worker processes that judge groups for any pure reward; use it in a `with` statement, or close it.

    Segments are split into as many runs as there are workers, and the values come back in the order of the segments.
    The processes are spawned, not forked, so threads and accelerators of the parent process do no harm; like all
    spawning code, a script that uses them needs `if __name__ == "__main__":`. Worth it where judging takes longer than
    sending texts, as TER or ROUGE-Lsum do; sentence BLEU and chrF are faster in one process.

    Args:
        count: how many processes, at least 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"workers: {count} processes cannot work; give 1 or more, or do without Workers")
        self._count = count
        self._pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def score_groups(
        self, reward: Reward, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]
    ) -> list[list[Score]]:
        """Judge `hypotheses[b][g]` for `segments[b]` as `reward` itself would.

        Raises:
            ConfigError: the reward is not pure: it needs what this process lends it.
            RunError: a worker died.
        """
        if not reward.pure:
            raise ConfigError(
                f"reward '{reward.name}' cannot judge in worker processes, it needs what the run lends it; "
                "set workers: 0"
            )
        reward.check_texts(segments, hypotheses)
        size = -(-len(segments) // self._count) or 1
        parts = [slice(start, start + size) for start in range(0, len(segments), size)]
        try:
            waiting = [
                self._pool.submit(_score, type(reward), reward.options, segments[part], hypotheses[part])
                for part in parts
            ]
            return [row for part in waiting for row in part.result()]
        except BrokenProcessPool as error:
            raise RunError(
                f"reward '{reward.name}': a worker process died; a script needs `if __name__ == \"__main__\":` around "
                "what it runs, and enough memory for every worker"
            ) from error

    def close(self) -> None:
        """End the processes; what still waits is dropped."""
        self._pool.shutdown(cancel_futures=True)


def _score(
    kind: _Kind, options: Reward.Options, segments: Sequence[Segment], hypotheses: Sequence[Sequence[str]]
) -> list[list[Score]]:
    """Judge in a worker, which keeps its rewards and so what they remember of references and words."""
    key = (kind, options)
    if key not in _rewards:
        _rewards[key] = kind(options)
    return _rewards[key].score_groups(segments, hypotheses)
