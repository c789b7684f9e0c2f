import pytest
import torch

from eclectus.rollouts.base import Rollouts
from eclectus.segment import Segment
from eclectus.training.observe import sampled_metrics
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
