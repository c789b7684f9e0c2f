from types import SimpleNamespace

import pytest
import torch

from eclectus.rollouts.base import Rollouts
from eclectus.segment import Segment
from eclectus.training.observe import progress, sampled_metrics
from eclectus.training.rewarding import StepRewards


def test_samples_that_differ_are_counted_within_their_source():
    texts = [["a", "a", "b", ""], ["a", "c", "c", "c"]]
    mask = torch.ones(2, 4, 3, dtype=torch.bool)
    mask[0, 3, 1:] = False
    logprobs = torch.full((2, 4, 3), -0.5) * mask
    rollouts = Rollouts(torch.ones(2, 4, 3, dtype=torch.int64), logprobs, mask, torch.ones(2, 4).bool(), texts)
    rewards = StepRewards(torch.rand(2, 4), torch.rand(2, 4), [])
    rows = [Segment("eins", "de", "en"), Segment("zwei", "de", "en")]
    found = sampled_metrics([], ["de", "en"], [0, 0], rows, rollouts, rewards, {})
    assert found["distinct"] == pytest.approx((3 + 2) / 8)
    assert found["empty"] == pytest.approx(1 / 8) and found["length"] == pytest.approx(22 / 8)
    assert found["entropy"] == pytest.approx(0.5)


def test_where_every_token_was_given_there_is_no_entropy_to_see():
    ones = torch.ones(1, 2, 3)
    given = Rollouts(ones.long(), -ones, ones.bool(), torch.ones(1, 2).bool(), [["a", "b"]], forced=ones.bool())
    rewards = StepRewards(torch.rand(1, 2), torch.rand(1, 2), [])
    found = sampled_metrics([], ["de", "en"], [0], [Segment("eins", "de", "en")], given, rewards, {})
    assert "entropy" not in found and found["length"] == 3


def observed(rewards, tasks=(), owners=None):
    """Metrics of a step with these rewards [B, G], all its texts alike."""
    values = torch.tensor(rewards)
    rows, samples = values.shape
    shape = (rows, samples, 1)
    rollouts = Rollouts(
        torch.ones(shape, dtype=torch.int64),
        torch.zeros(shape),
        torch.ones(shape).bool(),
        torch.ones(rows, samples).bool(),
        [["uno"] * samples for _ in range(rows)],
    )
    tasks = [SimpleNamespace(name=name) for name in tasks]
    segments = [Segment("one", "en", "es")] * rows
    owners = owners or [0] * rows
    return sampled_metrics(tasks, ["en", "es"], owners, segments, rollouts, StepRewards(values, values, []), {})


def test_sources_whose_samples_all_got_one_reward_are_counted_among_those_with_two():
    nan = float("nan")
    found = observed([[0.5, 0.5, nan], [0.2, 0.3, 0.2], [0.7, nan, nan], [nan, nan, nan], [0.0, 0.0, 1.0]])
    assert found["equal_rewards"] == pytest.approx(1 / 3)
    assert "equal_rewards" not in observed([[0.5], [0.5]])  # a single sample is compared with nothing
    assert "equal_rewards" not in observed([[0.5, nan]])


def test_what_was_not_judged_has_no_reward_and_not_one_of_0():
    nan = float("nan")
    found = observed([[0.5, nan], [nan, nan]], ["judged", "silent", "absent"], [0, 1])
    assert {name: found[name] for name in found if name.startswith("reward")} == {"reward": 0.5, "reward/judged": 0.5}
    nothing = observed([[nan, nan]], ["silent"])
    assert not [name for name in nothing if name.startswith("reward")] and nothing["unjudged"] == 1


@pytest.mark.parametrize(
    ("target", "text", "off_target"), [("es", "The black cat is sleeping", 1), ("ast", "El gatu", None)]
)
def test_what_nobody_can_judge_is_a_dash(target, text, off_target):
    rollouts = Rollouts(
        torch.ones(1, 1, 3, dtype=torch.int64),
        torch.zeros(1, 1, 3),
        torch.ones(1, 1, 3).bool(),
        torch.ones(1, 1).bool(),
        [[text]],
    )
    rewards = StepRewards(torch.full((1, 1), float("nan")), torch.zeros(1, 1), [])
    found = sampled_metrics([], ["en", target], [0], [Segment("one", "en", target)], rollouts, rewards, {})
    assert found.get("off_target") == off_target
    told = progress(found | {"samples_per_second": 9.0}, float("-inf"))
    assert told == f"reward –  dev 0.0  off-target {'–' if off_target is None else '100.0%'}  9 samples/s"
    assert progress({"reward": 0.25, "unjudged": 0.5, "off_target": 0.0, "samples_per_second": 1.0}, 31.26) == (
        "reward 0.250  dev 31.3  off-target 0.0%  1 samples/s"
    )
