"""Targets and values of states against tables made by hand, and loops against what is vectorised."""

import math

import pytest
import torch

from eclectus.algorithms import td

REWARDS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 99.0]])
VALUES = torch.tensor([[10.0, 20.0, 30.0], [40.0, 50.0, 99.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])
ENDED = torch.zeros(2)
CUT = torch.tensor([100.0, 200.0])


@pytest.mark.parametrize(
    ("steps", "after", "expected"),
    [
        # gamma is 0.5. One step, ended: 1 + 20/2, 2 + 30/2, 3; 4 + 50/2, 5
        (1, ENDED, [[11, 17, 3], [29, 5, 0]]),
        # cut: the last one goes on, 3 + 100/2 and 5 + 200/2
        (1, CUT, [[11, 17, 53], [29, 105, 0]]),
        # two steps: 1 + 2/2 + 30/4, 2 + 3/2, 3; 4 + 5/2, 5
        (2, ENDED, [[9.5, 3.5, 3], [6.5, 5, 0]]),
        # two steps, cut: 2 + 3/2 + 100/4; 4 + 5/2 + 200/4
        (2, CUT, [[9.5, 28.5, 53], [56.5, 105, 0]]),
        # returns: 1 + 2/2 + 3/4
        (3, ENDED, [[2.75, 3.5, 3], [6.5, 5, 0]]),
        (99, ENDED, [[2.75, 3.5, 3], [6.5, 5, 0]]),
        # returns of what was cut: 1 + 2/2 + 3/4 + 100/8
        (99, CUT, [[15.25, 28.5, 53], [56.5, 105, 0]]),
    ],
)
def test_targets_against_a_table_made_by_hand(steps, after, expected):
    assert td.n_step_targets(REWARDS, VALUES, MASK, after, steps, 0.5).tolist() == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 20])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_vectorised_targets_equal_the_loop(steps, gamma):
    generator = torch.Generator().manual_seed(steps)
    rewards, values = (torch.randn(6, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    after = torch.randn(6, generator=generator, dtype=torch.float64) * torch.tensor([0, 1, 1, 0, 1, 0])
    lengths = [7, 7, 1, 1, 4, 3]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    expected = torch.zeros_like(rewards)
    for row, length in enumerate(lengths):
        for t in range(length):
            ahead = min(steps, length - t)
            expected[row, t] = sum(gamma**k * rewards[row, t + k] for k in range(ahead))
            expected[row, t] += gamma**ahead * (values[row, t + ahead] if t + ahead < length else after[row])
    assert torch.allclose(td.n_step_targets(rewards, values, mask, after, steps, gamma), expected)


def test_values_of_states_against_tables_made_by_hand():
    values = torch.tensor([[1.0, 5.0, 9.0], [3.0, 2.0, 9.0]])
    others = torch.tensor([[7.0, 6.0, 8.0], [5.0, 4.0, 8.0]])
    allowed = torch.tensor([True, True, False])  # the best of all can never be said
    assert td.best_values(values, allowed).tolist() == [5, 3]
    assert td.double_values(values, others, allowed).tolist() == [6, 5]
    probabilities = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.5, 0.0]])
    assert td.expected_values(values, probabilities).tolist() == [4, 2.5]
    expected = [math.log(math.exp(1) + math.exp(5)), math.log(math.exp(3) + math.exp(2))]
    assert td.excess(values, allowed).tolist() == pytest.approx(expected)


def test_a_maximum_of_noise_is_too_high_and_double_is_not():
    """Ten tokens worth 0 with unit noise: the expected maximum is 1.5388, that of another network's judgement 0."""
    generator = torch.Generator().manual_seed(1)
    one, other = (torch.randn(20_000, 10, generator=generator) for _ in range(2))
    allowed = torch.ones(10, dtype=torch.bool)
    assert td.best_values(one, allowed).mean() == pytest.approx(1.5388, abs=0.02)
    assert td.double_values(one, other, allowed).mean() == pytest.approx(0.0, abs=0.03)


def test_the_conservative_term_lowers_all_but_what_is_in_the_data():
    values = torch.tensor([[0.0, 1.0, 5.0]], requires_grad=True)
    allowed = torch.tensor([True, True, False])
    (td.excess(values, allowed) - values[:, 0]).sum().backward()
    share = 1 / (1 + math.e)
    assert values.grad[0].tolist() == pytest.approx([share - 1, 1 - share, 0.0])
