"""What a step says of its rewards: what they were divided by, whose they are, and how long they took."""

from types import SimpleNamespace

import pytest
import torch

from eclectus.algorithms.base import AdvantageInputs
from eclectus.config import RewardConfig
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward, CompositeScores
from eclectus.rewards.composite.scaling import Scaling
from eclectus.segment import Segment
from eclectus.training import collecting, reinforce, rewarding
from tests.toy import positions, reinforcer, steps_of


def scaled(normalise, chrf, bleu):
    """The 40th of 40 equal steps."""
    config = RewardConfig(terms=[{"type": "chrf", "weight": 3}, {"type": "bleu", "weight": 1}], normalise=normalise)
    reward = CompositeReward(config, RewardContext())
    scaling, parts = Scaling(reward), {"chrf": [chrf], "bleu": [bleu]}
    scores = CompositeScores(reward.combine(parts, [len(chrf)]), parts)
    for _ in range(40):
        found = scaling([Segment("x", "en", "es")], scores)
    return scores.total[0], found


@pytest.mark.parametrize(
    ("normalise", "scale"),
    [
        ("none", 1.0),
        ("direction", 0.125),  # 0.15 and 0.4
        ("source", 1.0),  # which shifts as well
        ("terms", 4 / (3 / 0.2 + 1 / 0.1)),
    ],
)
def test_the_divisor_of_a_total_by_hand(normalise, scale):
    _, found = scaled(normalise, [0.1, 0.5], [0.3, 0.1])
    assert found.scales == [pytest.approx(scale)]


@pytest.mark.parametrize("normalise", ["direction", "terms"])
def test_what_all_terms_say_alike_is_the_total_times_its_divisor(normalise):
    total, found = scaled(normalise, [0.1, 0.5], [0.1, 0.5])
    assert [value * found.scales[0] for value in found.totals[0]] == pytest.approx(total)


@pytest.mark.parametrize("normalise", ["direction", "terms"])
def test_nothing_looks_better_than_usual_because_the_divisor_has_changed(tmp_path, normalise):
    """Of the first step's 32 rewards there is no deviation yet, and from the second on they are divided by it."""
    reward = {"terms": [{"type": "tests.toy:positions"}], "normalise": normalise, "unfinished": 0.0}
    still = {"learning_rate": 1e-9, "steps": 4, "segments": 32, "samples": 1}
    trainer = reinforcer(tmp_path, "reverse", "reinforce", task_options={"reward": reward}, **still)
    seen, signals = [], trainer.algorithm.signals

    def listening(inputs):
        seen.append((inputs, signals(inputs)))
        return seen[-1][1]

    trainer.algorithm.signals = listening
    trainer.train()
    scales = [float(inputs.scales[0]) for inputs, _ in seen]
    assert scales[0] == 1 and 0.1 < scales[1] < 0.5
    for (inputs, said), row in zip(seen, steps_of(tmp_path), strict=True):
        assert inputs.tasks == ["toy"] * 32 and float((inputs.scales - inputs.scales[0]).abs().max()) == 0
        assert float((inputs.rewards[:, 0] * inputs.scales).mean()) == pytest.approx(row["reward"], abs=1e-5)
        assert abs(float(said.advantages.mean())) < 0.6
    remembered = trainer.algorithm.state_dict()["as_given"]
    assert list(remembered) == ["toy/en-es"] and remembered["toy/en-es"][0] < 1


@pytest.mark.parametrize("name", ["rloo", "self_critical"])
def test_the_time_of_rewards_is_not_that_of_sampling(tmp_path, monkeypatch, name):
    """A clock that goes on by 1 second where texts are drawn, greedy ones too, by 10 where the step's prompts and those
    that are only demonstrated are translated back, and by 100 where samples are judged."""
    now = SimpleNamespace(seconds=0.0)
    clock = SimpleNamespace(monotonic=lambda: now.seconds)
    for module in (reinforce, collecting, rewarding):
        monkeypatch.setattr(module, "time", clock)

    def judged(*arguments, **options):
        now.seconds += 100
        return positions(*arguments, **options)

    monkeypatch.setattr("tests.toy.slow", judged, raising=False)
    reward = {"terms": [{"type": "tests.toy:slow"}], "normalise": "none", "unfinished": 0.0}
    trainer = reinforcer(tmp_path, "copy", name, steps=1, segments=4, task_options={"reward": reward})
    draw = trainer.policy.sample

    def drawn(*arguments, **options):
        now.seconds += 1
        return draw(*arguments, **options)

    def translated_back(prompts, step):
        now.seconds += 10
        return prompts

    monkeypatch.setattr(trainer.policy, "sample", drawn)
    trainer.collect.back_translator = translated_back
    trainer.train()
    [row] = steps_of(tmp_path)
    times = 2 if name == "self_critical" else 1
    assert (row["seconds_sampling"], row["seconds_reward"], row["seconds_update"]) == (20 + times, 100 * times, 0)


def test_a_moving_baseline_resumes_with_the_divisor_that_it_met(tmp_path):
    """The state of a checkpoint is of rewards as given, so another divisor may meet it."""
    given = torch.tensor([[0.4], [0.6]])
    one, two = (reinforcer(tmp_path / n, "copy", "reinforce", samples=1).algorithm for n in ("one", "two"))

    def step(chosen, scale):
        return chosen.advantages(AdvantageInputs(given / scale, ["en-es"] * 2, scales=torch.full((2,), scale)))

    step(one, 1.0)
    two.load_state_dict(one.state_dict())
    assert torch.allclose(step(one, 0.1), step(two, 0.2) * 2)
