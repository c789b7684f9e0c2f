"""Worker processes give the same values in the same order, and end."""

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.rewards.composite.workers import Workers
from eclectus.rewards.pivot import Pivot
from eclectus.rewards.ter import Ter
from eclectus.segment import Segment

SEGMENTS = [Segment("", "de", "en", reference=f"a cat sat on mat number {i}") for i in range(7)]
GROUPS = [[f"a cat sat on mat number {i}", f"on mat number {i % 3} a cat"] for i in range(7)]


def test_values_and_order_are_those_of_one_process():
    reward = Ter(Ter.Options(case_sensitive=True))
    with Workers(2) as workers:
        assert workers.score_groups(reward, SEGMENTS, GROUPS) == reward.score_groups(SEGMENTS, GROUPS)
        assert workers.score_groups(reward, [], []) == []
        with pytest.raises(TypeError, match="not a string"):
            workers.score_groups(reward, SEGMENTS[:1], [[None]])
        processes = list(workers._pool._processes.values())
    assert processes and not any(process.is_alive() for process in processes)


def test_a_reward_that_needs_the_run_stays_in_its_process():
    pivot = Pivot(context=RewardContext(languages=["en"], translate=lambda segments: [""] * len(segments)))
    with Workers(1) as workers, pytest.raises(ConfigError, match="'pivot' cannot judge in worker processes"):
        workers.score_groups(pivot, SEGMENTS, GROUPS)


def test_a_config_sends_only_what_can_go(monkeypatch):
    config = RewardConfig(terms=[{"type": "ter"}, {"type": "pivot"}], workers=2)
    context = RewardContext(languages=["fr"], translate=lambda segments: [segment.source for segment in segments])
    alone = CompositeReward(config.model_copy(update={"workers": 0}), context)
    sent = []
    monkeypatch.setattr(Workers, "score_groups", lambda self, r, s, h: sent.append(r.name) or r.score_groups(s, h))
    assert CompositeReward(config, context).score_groups(SEGMENTS, GROUPS) == alone.score_groups(SEGMENTS, GROUPS)
    assert sent == ["ter"]


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="give 1 or more"):
        Workers(0)
