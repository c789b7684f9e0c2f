"""Mistakes in an algorithm of the user's own: one sentence, at the first step, whatever the trainer makes of them."""

import inspect
import math

import pytest
import torch

from eclectus.algorithms.advantages import group_mean
from eclectus.algorithms.base import AdvantageInputs, Algorithm, Signals
from eclectus.algorithms.losses import Clip, policy_gradient
from eclectus.algorithms.rloo import Rloo
from eclectus.errors import RunError
from eclectus.training import own_algorithm
from tests.algorithms.enumerated import inputs
from tests.toy import reinforcer, steps_of

REWARDS = torch.tensor([[0.0, 0.5, 1.0], [0.25, math.nan, 0.75]])
STEP = AdvantageInputs(REWARDS, ["en-es", "en-es"], mask=torch.ones(2, 3, 4, dtype=torch.bool))


def plain(given):
    return policy_gradient(given, Clip(low=0.2, high=0.2, maximum=10))


class Good(Algorithm):
    """REINFORCE with the group's mean as baseline."""

    def advantages(self, inputs):
        return group_mean(inputs.rewards)

    def loss(self, inputs):
        return plain(inputs)


def gives(found):
    """An algorithm whose advantages are this function of the rewards."""

    class Made(Good):
        def advantages(self, inputs):
            return found(inputs.rewards)

    return Made()


def loses(found):
    """An algorithm whose loss is this function of the right (loss, numbers)."""

    class Made(Good):
        def loss(self, inputs):
            return found(*plain(inputs))

    return Made()


def micro_batch():
    return inputs(torch.randn(2, 3, requires_grad=True), torch.tensor([0.0, 1.0]), torch.tensor([-0.5, 0.5]))


SHAPES = r"must return a float tensor \[B, G\], here \[2, 3\], or \[B, G, T\] with .* here \[2, 3, 4\]$"
RETURN = r"must return \(loss, numbers\): a tensor of one number with gradient, and a dictionary of numbers"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda rewards: None, rf"advantages at \S+py:\d+ returned None; it {SHAPES}"),
        (lambda rewards: rewards.tolist(), rf"returned a list of 2; it {SHAPES}"),
        (lambda rewards: rewards.mean(-1), rf"returned a tensor of shape \[2\] \(float32\); it {SHAPES}"),
        (lambda rewards: rewards.T, rf"a tensor of shape \[3, 2\] \(float32\); it {SHAPES}"),
        (lambda rewards: rewards[..., None].expand(2, 3, 5), rf"shape \[2, 3, 5\] \(float32\); it {SHAPES}"),
        (lambda rewards: (rewards > 0.5).long(), rf"shape \[2, 3\] \(int64\); it {SHAPES}"),
        (lambda rewards: rewards * math.nan, r"NaN or infinity for 2 of 2 sources, .* \[0.0, 0.5, 1.0\]; it must give"),
        (
            lambda rewards: rewards,
            r"NaN or infinity for 1 of 2 sources, .* \[0.25, nan, 0.75\]; .* 0 where a reward is",
        ),
        (lambda rewards: group_mean(rewards) / 0, "NaN or infinity for 2 of 2 sources"),
        (
            lambda rewards: rewards.nope,
            rf"failed with AttributeError \('Tensor' .* 'nope'\) at {__file__}:\d+; it must",
        ),
        (lambda rewards: 1 / 0, rf"failed with ZeroDivisionError \(division by zero\) at {__file__}:\d+; it {SHAPES}"),
    ],
)
def test_wrong_advantages_are_one_sentence(found, said):
    chosen = gives(found)
    with pytest.raises(RunError, match=said) as caught:
        own_algorithm.signals(chosen, STEP)
    assert str(caught.value).startswith(f"algorithm '{__name__}:gives.<locals>.Made': advantages ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda loss, sums: None, f"returned None; it {RETURN}"),
        (lambda loss, sums: loss, rf"returned a tensor of shape \[\] \(float32\) alone; it {RETURN}"),
        (lambda loss, sums: (loss, sums, 1), f"returned a tuple of 3; it {RETURN}"),
        (lambda loss, sums: (loss.repeat(2), sums), rf"shape \[2\] \(float32\) as its loss; it {RETURN}"),
        (lambda loss, sums: (loss.item(), sums), f"returned float .* as its loss; it {RETURN}"),
        (lambda loss, sums: (loss.detach(), sums), "a loss without gradient, .*; it must compute the loss from inputs"),
        (lambda loss, sums: (torch.tensor(1.0), {}), "a loss without gradient"),
        (lambda loss, sums: (loss, None), f"returned None for the log; it {RETURN}"),
        (lambda loss, sums: (loss, {"mine": "0.5"}), "str '0.5' for 'mine' in the log; it must give one number"),
        (lambda loss, sums: (loss, {"mine": None}), "None for 'mine' in the log; it must give one number"),
        (lambda loss, sums: (loss, {"mine": torch.ones(2)}), r"shape \[2\] \(float32\) for 'mine' in the log"),
        (lambda loss, sums: (loss, {3: 0.5}), "3 as a name for the log; it must name each number by a string"),
        (lambda loss, sums: (loss, {"loss": loss}), "'loss' as a name for the log, .*; it must choose another"),
        (lambda loss, sums: sums["no"], rf"failed with KeyError \('no'\) at {__file__}:\d+; it {RETURN}"),
    ],
)
def test_a_wrong_loss_is_one_sentence(found, said):
    with pytest.raises(RunError, match=said) as caught:
        own_algorithm.loss(loses(found), micro_batch())
    assert str(caught.value).startswith(f"algorithm '{__name__}:loses.<locals>.Made': loss ")
    assert "\n" not in str(caught.value)


class Library(Good):
    """Fails in code that is not the user's."""

    def advantages(self, inputs):
        return torch.nn.functional.interpolate(inputs.rewards)  # here

    def loss(self, inputs):
        return torch.nn.functional.pairwise_distance("x", "y"), {}


class Arguments(Good):
    def loss(self, logprobs, advantages):  # here
        return logprobs.mean(), {}


class Decorated(Good):
    @torch.no_grad()  # here
    def loss(self, inputs):
        return plain(inputs)


class NoSignals(Good):
    def signals(self, inputs):  # here
        return self.advantages(inputs)


class ShortTargets(Good):
    def signals(self, inputs):  # here
        return Signals(self.advantages(inputs), targets=inputs.rewards)


class NanSignals(Good):
    def signals(self, inputs):  # here
        return Signals(inputs.rewards)


@pytest.mark.parametrize(
    ("kind", "call", "said"),
    [
        (Library, "advantages", "advantages failed with "),
        (Arguments, "loss", r"loss failed with TypeError \(.*loss\(\) missing 1 required positional argument"),
        (Decorated, "loss", "returned a loss without gradient"),
        (NoSignals, "advantages", r"signals at \S+ returned a tensor .*; it must return Signals, whose advantages are"),
        (ShortTargets, "advantages", r"of shape \[2, 3\] \(float32\) as its targets; it must return targets as a"),
        (NanSignals, "advantages", "signals at .* returned NaN or infinity for 1 of 2 sources"),
    ],
)
def test_the_line_is_the_users(kind, call, said):
    source, first = inspect.getsourcelines(kind)
    line = first + next(i for i, text in enumerate(source) if text.rstrip().endswith("# here"))
    with pytest.raises(RunError, match=said) as caught:
        own_algorithm.loss(kind(), micro_batch()) if call == "loss" else own_algorithm.signals(kind(), STEP)
    assert f"{__file__}:{line}" in str(caught.value)


def test_what_is_right_stays_as_it_is():
    given = micro_batch()
    loss, sums = plain(given)
    found, numbers = own_algorithm.loss(loses(lambda a, b: [a[None], {**b, "mine": a, "yes": True}]), given)
    assert torch.equal(found, loss)
    assert numbers == {**sums, "mine": loss.item(), "yes": 1.0}
    assert {type(value) for value in numbers.values()} == {float}
    for shape in ((2, 3), (2, 3, 4), (2, 3, 1)):
        assert own_algorithm.signals(gives(lambda rewards, s=shape: torch.ones(s)), STEP).advantages.shape == shape
    targets = torch.full((2, 3, 4), math.nan)  # nothing is to be predicted

    class Critic(Good):
        def signals(self, inputs):
            return Signals(self.advantages(inputs), targets, targets)

    assert own_algorithm.signals(Critic(), STEP).targets is targets


def test_an_error_that_says_what_to_do_stays_as_it_is():
    def refuse(rewards):
        raise RunError("mine: no")

    with pytest.raises(RunError, match=r"^mine: no$"):
        own_algorithm.signals(gives(refuse), STEP)


def test_mistakes_of_ours_keep_their_trace(monkeypatch):
    monkeypatch.setattr(Rloo, "advantages", lambda self, inputs: 1 / 0)
    monkeypatch.setattr(Rloo, "loss", lambda self, inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        own_algorithm.signals(Rloo(), STEP)
    with pytest.raises(ZeroDivisionError):
        own_algorithm.loss(Rloo(), micro_batch())


class NanAdvantages(Good):
    def advantages(self, inputs):
        return inputs.rewards * math.nan


class NoGradient(Good):
    def loss(self, inputs):
        return torch.tensor(1.0), {}


class NoModule(Good):
    def build(self, policy, seed):
        self.module = policy.nothing


class NanLoss(Good):
    def loss(self, inputs):
        loss, sums = plain(inputs)
        return loss * math.nan, sums


class NanAtFirst(NanLoss):
    done = 0

    def loss(self, inputs):
        self.done += 1
        return super().loss(inputs) if self.done == 1 else plain(inputs)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NanAdvantages, "NaN or infinity for"),
        (NoGradient, "a loss without gradient"),
        (NoModule, "build failed with AttributeError .* at .*; it must make the algorithm's module"),
    ],
)
def test_a_run_refuses_at_the_first_step_what_cannot_learn(tmp_path, kind, said):
    # With a KL term the sum of the losses would have a gradient, and the run would go on.
    with pytest.raises(RunError, match=said):
        reinforcer(tmp_path, name=f"{__name__}:{kind.__name__}", steps=2, task_options={"kl": 0.1}).train()


@pytest.mark.parametrize(("kind", "warned"), [(NanLoss, True), (NanAtFirst, False), (Good, False)])
def test_a_run_without_any_update_says_so_at_its_end(tmp_path, monkeypatch, kind, warned):
    trainer = reinforcer(tmp_path, name=f"{__name__}:{kind.__name__}", steps=3, updates=2, minibatches=2)
    said = []
    monkeypatch.setattr(trainer.tracker, "warn", said.append)
    trainer.train()
    assert any(text.startswith("reinforce: none of the 12 updates was made") for text in said) is warned
    assert (steps_of(tmp_path)[-1]["skipped_updates"] == 12) is warned
