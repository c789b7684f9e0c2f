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
