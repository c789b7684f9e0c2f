import math

import pytest
import torch

from eclectus.algorithms.advantages import group_mean, group_standardised, has_signal, leave_one_out

NAN = math.nan

# rewards, leave-one-out, mean-centred, standardised without epsilon; all computed by hand
TABLE = [
    ([1.0, 0.0], [1.0, -1.0], [0.5, -0.5], [0.70710678, -0.70710678]),
    ([3.0, 1.0, 2.0], [1.5, -1.5, 0.0], [1.0, -1.0, 0.0], [1.0, -1.0, 0.0]),
    ([1.0, NAN, 0.0], [1.0, 0.0, -1.0], [0.5, 0.0, -0.5], [0.70710678, 0.0, -0.70710678]),
    ([0.3, 0.3, 0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([0.7, NAN, NAN], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([NAN, NAN], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
]


@pytest.mark.parametrize(("rewards", "rloo", "mean", "grpo"), TABLE)
def test_against_hand_computed_values(rewards, rloo, mean, grpo):
    rewards = torch.tensor([rewards])
    assert leave_one_out(rewards)[0].tolist() == pytest.approx(rloo, abs=1e-6)
    assert group_mean(rewards)[0].tolist() == pytest.approx(mean, abs=1e-6)
    assert group_standardised(rewards, epsilon=0.0).nan_to_num(nan=0.0)[0].tolist() == pytest.approx(grpo, abs=1e-6)


def test_groups_do_not_touch_each_other():
    rewards = torch.rand(5, 4)
    together = leave_one_out(rewards)
    for b in range(5):
        assert torch.allclose(together[b], leave_one_out(rewards[b : b + 1])[0])


def test_equal_floats_are_no_signal_although_their_deviation_may_not_be_zero():
    rewards = torch.full((1, 7), 0.1) * 3
    assert not has_signal(rewards).any()
    assert not leave_one_out(rewards).any()
    assert has_signal(torch.tensor([[0.1, 0.1 + 1e-7]])).all()
