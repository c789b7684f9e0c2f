import math

import pytest
import torch

from eclectus.algorithms import advantages as adv
from eclectus.algorithms.base import AdvantageInputs
from tests.algorithms.enumerated import algorithm

NAN, INF = math.nan, math.inf

# rewards, leave-one-out, mean-centred, standardised without epsilon; all computed by hand
TABLE = [
    ([1.0, 0.0], [1.0, -1.0], [0.5, -0.5], [0.70710678, -0.70710678]),
    ([3.0, 1.0, 2.0], [1.5, -1.5, 0.0], [1.0, -1.0, 0.0], [1.0, -1.0, 0.0]),
    ([1.0, NAN, 0.0], [1.0, 0.0, -1.0], [0.5, 0.0, -0.5], [0.70710678, 0.0, -0.70710678]),
    ([1.0, INF, 0.0], [1.0, 0.0, -1.0], [0.5, 0.0, -0.5], [0.70710678, 0.0, -0.70710678]),
    ([1.0, -INF, 0.0], [1.0, 0.0, -1.0], [0.5, 0.0, -0.5], [0.70710678, 0.0, -0.70710678]),
    ([0.3, 0.3, 0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([0.7, NAN, NAN], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([0.7, INF, -INF], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
    ([NAN, NAN], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
    ([0.4], [0.0], [0.0], [0.0]),
]


@pytest.mark.parametrize(("rewards", "rloo", "mean", "grpo"), TABLE)
def test_against_hand_computed_values(rewards, rloo, mean, grpo):
    rewards = torch.tensor([rewards])
    assert adv.leave_one_out(rewards)[0].tolist() == pytest.approx(rloo, abs=1e-6)
    assert adv.group_mean(rewards)[0].tolist() == pytest.approx(mean, abs=1e-6)
    standardised = adv.group_mean(rewards) / adv.group_deviation(rewards)[:, None]
    assert standardised[0].tolist() == pytest.approx(grpo, abs=1e-6)


@pytest.mark.parametrize("scale", ["group", "direction", "batch"])
def test_epsilon_is_added_to_the_deviation(scale):
    """Rewards so close that a deviation alone would blow them up: their advantages stay small."""
    expected = 5e-5 / (math.sqrt(0.5) * 1e-4 + 1e-4)
    found = algorithm("grpo", scale=scale).advantages(AdvantageInputs(torch.tensor([[1e-4, 0.0]]), ["a"]))
    assert found[0].tolist() == pytest.approx([expected, -expected], rel=1e-5)


@pytest.mark.parametrize("scale", ["group", "direction", "batch", "none"])
@pytest.mark.parametrize("rewards", [[0.3, 0.3], [0.7, NAN], [NAN, NAN]])
def test_a_group_without_signal_has_advantage_zero_and_never_nan(rewards, scale):
    found = algorithm("grpo", scale=scale).advantages(AdvantageInputs(torch.tensor([rewards]), ["a"]))
    assert found.tolist() == [[0.0, 0.0]]


def test_deviation_over_a_direction_and_over_the_batch_against_hand_computed_values():
    rewards = torch.tensor([[0.0, 2.0], [4.0, 6.0], [1.0, 1.5], [NAN, 9.0]])
    parts = ["a", "a", "b", "b"]
    # a: 0 2 4 6, deviation sqrt(20 / 3); b: 1 1.5 9, mean 23 / 6, squares 8.0278 + 5.4444 + 26.6944 = 40.1667, / 2
    a, b = math.sqrt(20 / 3), math.sqrt(40.1666667 / 2)
    expected = [[-1 / a, 1 / a], [-1 / a, 1 / a], [-0.25 / b, 0.25 / b], [0.0, 0.0]]
    centred = adv.group_mean(rewards)
    assert torch.allclose(centred / adv.deviation_over(rewards, parts)[:, None], torch.tensor(expected), atol=1e-6)
    everything = [0.0, 2.0, 4.0, 6.0, 1.0, 1.5, 9.0]
    mean = sum(everything) / 7
    c = math.sqrt(sum((value - mean) ** 2 for value in everything) / 6)
    whole = centred / adv.deviation_over(rewards, [""] * 4)[:, None]
    assert torch.allclose(whole, torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [-0.25, 0.25], [0.0, 0.0]]) / c, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "deviation"),
    [
        ("none", lambda rewards: [1.0, 1.0, 1.0]),
        ("group", lambda rewards: [group.std() for group in rewards]),
        ("direction", lambda rewards: [rewards[:2].std(), rewards[:2].std(), rewards[2].std()]),
        ("batch", lambda rewards: [rewards.std()] * 3),
    ],
)
def test_grpo_scales_as_it_is_told(scale, deviation):
    rewards = torch.tensor([[0.0, 2.0], [4.0, 9.0], [1.0, 1.5]])
    found = algorithm("grpo", scale=scale).advantages(AdvantageInputs(rewards, ["a", "a", "b"]))
    expected = (rewards - rewards.mean(dim=1, keepdim=True)) / torch.tensor(deviation(rewards))[:, None]
    assert torch.allclose(found, expected, rtol=1e-3)


def test_grpo_takes_the_deviation_of_each_task_in_a_direction():
    rewards = torch.tensor([[0.0, 2.0], [4.0, 9.0], [10.0, 15.0]])
    given = AdvantageInputs(rewards, ["a", "a", "a"], tasks=["new", "new", "old"])
    deviation = torch.stack([rewards[:2].std(), rewards[:2].std(), rewards[2].std()])
    expected = (rewards - rewards.mean(dim=1, keepdim=True)) / deviation[:, None]
    assert torch.allclose(algorithm("grpo", scale="direction").advantages(given), expected, rtol=1e-3)


def test_vectorised_equals_a_loop():
    generator = torch.Generator().manual_seed(1)
    rewards = torch.rand(20, 5, generator=generator)
    rewards[torch.rand(20, 5, generator=generator) < 0.2] = NAN
    loo, mean = torch.zeros(20, 5), torch.zeros(20, 5)
    for b in range(20):
        known = [g for g in range(5) if not math.isnan(rewards[b, g])]
        for g in known if len(known) > 1 else []:
            others = [float(rewards[b, j]) for j in known if j != g]
            loo[b, g] = rewards[b, g] - sum(others) / len(others)
            mean[b, g] = rewards[b, g] - sum(float(rewards[b, j]) for j in known) / len(known)
    assert torch.allclose(adv.leave_one_out(rewards), loo, atol=1e-6)
    assert torch.allclose(adv.group_mean(rewards), mean, atol=1e-6)


def test_groups_do_not_touch_each_other():
    rewards = torch.rand(5, 4)
    together = adv.leave_one_out(rewards)
    for b in range(5):
        assert torch.allclose(together[b], adv.leave_one_out(rewards[b : b + 1])[0])


def test_equal_floats_are_no_signal_although_their_deviation_may_not_be_zero():
    rewards = torch.full((1, 7), 0.1) * 3
    assert not adv.has_signal(rewards).any()
    assert not adv.leave_one_out(rewards).any()
    assert adv.has_signal(torch.tensor([[0.1, 0.1 + 1e-7]])).all()


def step(rewards, directions, greedy=None, scales=None, tasks=()):
    return AdvantageInputs(
        torch.tensor(rewards),
        directions,
        None if greedy is None else torch.tensor(greedy, dtype=torch.float32),
        scales=None if scales is None else torch.tensor(scales),
        tasks=tasks,
    )


def test_self_critical_against_hand_computed_values():
    found = algorithm("self_critical").advantages(
        step([[0.9, 0.1, NAN], [0.5, 0.4, 0.3], [1.0, 1.0, 1.0]], ["en-es"] * 3, [0.4, NAN, 0.25])
    )
    assert torch.allclose(found, torch.tensor([[0.5, -0.3, 0.0], [0.0, 0.0, 0.0], [0.75, 0.75, 0.75]]))


def test_self_critical_without_greedy_rewards_says_so():
    with pytest.raises(ValueError, match="greedy translations"):
        algorithm("self_critical").advantages(step([[0.5]], ["en-es"]))


def test_no_baseline_is_the_reward_itself():
    found = algorithm("reinforce", baseline="none").advantages(step([[0.9, NAN], [0.2, 0.2]], ["a", "b"]))
    assert torch.allclose(found, torch.tensor([[0.9, 0.0], [0.2, 0.2]]))


def test_moving_baselines_against_hand_computed_values():
    for baseline, second in (
        # en-es begins with mean 0.5, en-fr with 0.1; both together with 0.3
        ("direction", [[1.0 - 0.5], [0.2 - 0.1]]),
        ("moving", [[1.0 - 0.3], [0.2 - 0.3]]),
    ):
        chosen = algorithm("reinforce", baseline=baseline, decay=0.75)
        chosen.advantages(step([[0.4, 0.6], [0.0, 0.2]], ["en-es", "en-fr"]))
        found = chosen.advantages(step([[1.0], [0.2]], ["en-es", "en-fr"]))
        assert torch.allclose(found, torch.tensor(second))
        means = chosen.state_dict()["as_given"]
        expected = {"en-es": 0.625, "en-fr": 0.125} if baseline == "direction" else {"": 0.375}
        assert {label: mean for label, (mean,) in means.items()} == pytest.approx(expected)


def test_a_baseline_is_remembered_in_rewards_as_given_and_divided_as_they_are():
    """A divisor that falls from 1 to 0.1 makes nothing look better than usual."""
    chosen = algorithm("reinforce", decay=0.75)
    first = chosen.advantages(step([[0.4, 0.6]], ["en-es"], scales=[1.0]))
    assert first.tolist() == [[pytest.approx(-0.2), pytest.approx(0.2)]]
    found = chosen.advantages(step([[5.2, 4.9]], ["en-es"], scales=[0.1]))
    assert found.tolist() == [[pytest.approx(0.2, abs=1e-5), pytest.approx(-0.1, abs=1e-5)]]
    # rewards of 0.52 and 0.49
    assert chosen.state_dict() == {"as_given": {"en-es": [pytest.approx(0.75 * 0.5 + 0.25 * 0.505)]}}


def test_one_baseline_for_directions_on_two_scales():
    chosen = algorithm("reinforce", baseline="moving", decay=0.75)
    first = chosen.advantages(step([[2.0], [2.0]], ["en-es", "en-fr"], scales=[0.2, 0.1]))  # 0.4 and 0.2 as given
    assert torch.allclose(first, torch.tensor([[(0.4 - 0.2) / 0.2], [(0.2 - 0.4) / 0.1]]))
    found = chosen.advantages(step([[2.0], [2.0]], ["en-es", "en-fr"], scales=[0.2, 0.4]))  # 0.4 and 0.8, usual: 0.3
    assert torch.allclose(found, torch.tensor([[(0.4 - 0.3) / 0.2], [(0.8 - 0.3) / 0.4]]))
    assert chosen.state_dict()["as_given"] == {"": [pytest.approx(0.75 * 0.3 + 0.25 * 0.6)]}


@pytest.mark.parametrize(
    ("baseline", "labels", "second"),
    [
        ("direction", ["new/en-es", "new/en-fr", "old/en-es"], [[0.1, 0.0], [0.5, 0.5], [0.0, 1.0]]),
        # 0.5 and 0.1 make 0.3 the baseline of the first task
        ("moving", ["new", "old"], [[0.3, 0.2], [0.3, 0.3], [0.0, 1.0]]),
    ],
)
def test_tasks_that_share_a_direction_have_baselines_of_their_own(baseline, labels, second):
    chosen = algorithm("reinforce", baseline=baseline)
    where = {"directions": ["en-es", "en-fr", "en-es"], "tasks": ["new", "new", "old"]}
    chosen.advantages(step([[0.4, 0.6], [0.0, 0.2], [6.0, 8.0]], **where))
    found = chosen.advantages(step([[0.6, 0.5], [0.6, 0.6], [7.0, 8.0]], **where))
    assert torch.allclose(found, torch.tensor(second))
    assert list(chosen.state_dict()["as_given"]) == labels


def test_baselines_of_an_older_checkpoint_which_were_on_another_scale_are_forgotten():
    chosen, fresh = algorithm("reinforce"), algorithm("reinforce")
    chosen.load_state_dict({"means": {"en-es": [5.0]}})
    now = step([[0.4, 0.6]], ["en-es"])
    assert torch.equal(chosen.advantages(now), fresh.advantages(now))
    resumed = algorithm("reinforce")
    resumed.load_state_dict(chosen.state_dict())
    assert torch.equal(chosen.advantages(now), resumed.advantages(now))


def test_a_direction_met_first_is_compared_with_its_other_samples():
    found = algorithm("reinforce").advantages(step([[1.0], [0.0], [0.5], [0.9]], ["a", "a", "a", "b"]))
    # of b there is nothing else: no baseline, no advantage
    assert torch.allclose(found, torch.tensor([[0.75], [-0.75], [0.0], [0.0]]))


def test_two_samples_of_a_direction_met_first_are_each_others_baseline():
    found = algorithm("reinforce").advantages(step([[1.0], [0.25]], ["a", "a"]))
    assert found.tolist() == [[0.75], [-0.75]]


@pytest.mark.parametrize("name", ["rloo", "mixer"])
def test_the_other_samples_are_the_baseline(name):
    found = algorithm(name).advantages(step([[3.0, 1.0, 2.0], [5.0, 5.0, 5.0]], ["a", "b"]))
    assert found.tolist() == [[1.5, -1.5, 0.0], [0.0, 0.0, 0.0]]


def test_abstaining_does_not_move_the_baseline():
    chosen = algorithm("reinforce", decay=0.5)
    chosen.advantages(step([[0.4, 0.6]], ["a"]))
    found = chosen.advantages(step([[NAN, NAN]], ["a"]))
    assert found.tolist() == [[0.0, 0.0]]
    assert chosen.state_dict() == {"as_given": {"a": [pytest.approx(0.5)]}}
