"""Functions with TRL's signature: what they are called with, in both forms, synchronous or not."""

import asyncio
import sys
from types import ModuleType

import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, RunError
from eclectus.rewards.base import RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment

CALLS = []


def everything(prompts, completions, completion_ids, trainer_state, **kwargs):
    CALLS.append(kwargs | {"prompts": prompts, "completions": completions, "completion_ids": completion_ids})
    CALLS[-1]["step"] = (trainer_state.global_step, trainer_state.max_steps)
    kwargs["log_metric"]("length", 1.0)
    kwargs["log_extra"]("text", completions)
    return [1] * len(completions)


def messages(completions, **kwargs):
    return [float(message[0]["content"] == "hola") for message in completions]


async def slow(completions, **kwargs):
    return [None if not text else 0.5 for text in completions]


def lazy(prompts, completions, trainer_state=None):
    return [0.0 if trainer_state.global_step < 9 else 1.0] * len(completions)


def too_few(completions, **kwargs):
    return [0.0]


def texts(completions, **kwargs):
    return ["0.5"] * len(completions)


def one_number(completions):
    return 0.5


def named(completions, reference):
    return [0.5] * len(completions)


def not_named(completions, reference=None, **kwargs):
    return [0.5] * len(completions)


def needs_more(completions, ground_truth):
    return [0.0] * len(completions)


class Judge:
    def __call__(self, prompts, completions, **kwargs):
        return [0.25] * len(completions)


@pytest.fixture(autouse=True)
def as_a_module(monkeypatch):
    CALLS.clear()
    module = ModuleType("mine")
    for found in (everything, messages, slow, lazy, too_few, needs_more, texts, one_number, named, not_named):
        setattr(module, found.__name__, found)
    module.judge = Judge()
    monkeypatch.setitem(sys.modules, "mine", module)


SEGMENTS = [
    Segment("hello", "en", "es", reference="hola", id="a:1", attributes={"corpus": "a", "topic": "greeting"}),
    Segment("cat", "en", "fr", attributes={"corpus": "b"}),
]


def score(kind, step=None, groups=(("hola", "", "hola"), ("chat",)), **options):
    context = RewardContext(tokenize=lambda texts: [[len(text), 2] for text in texts], max_steps=10)
    reward = CompositeReward(RewardConfig(terms=[{"type": f"mine:{kind}", **options}]), context)
    return reward.score_groups(SEGMENTS, groups, step=step).total


def test_a_function_gets_all_that_trl_gives():
    assert score("everything", step=3) == [[1.0, 1.0, 1.0], [1.0]]
    (call,) = CALLS
    assert call.pop("log_metric") and call.pop("log_extra")
    assert call == {
        "prompts": ["hello", "hello", "cat"],  # equal hypotheses of one source come once
        "completions": ["hola", "", "chat"],
        "completion_ids": [[4, 2], [0, 2], [4, 2]],
        "source": ["hello", "hello", "cat"],
        "source_lang": ["en"] * 3,
        "target_lang": ["es", "es", "fr"],
        "reference": ["hola", "hola", None],
        "id": ["a:1", "a:1", ""],
        "corpus": ["a", "a", "b"],
        "topic": ["greeting", "greeting", None],
        "step": (2, 10),
    }


def test_the_state_follows_the_steps():
    assert score("lazy", step=9) == [[0.0] * 3, [0.0]]
    assert score("lazy", step=10) == score("lazy", step=None) == [[1.0] * 3, [1.0]]


def test_conversational_form():
    assert score("messages", conversational=True) == [[1.0, 0.0, 1.0], [0.0]]
    score("everything", conversational=True)
    assert CALLS[0]["prompts"][0] == [{"role": "user", "content": "hello"}]
    assert CALLS[0]["completions"][2] == [{"role": "assistant", "content": "chat"}]


def test_async_functions_and_objects_that_can_be_called():
    assert score("slow") == [[0.5, None, 0.5], [0.5]]
    assert score("judge") == [[0.25] * 3, [0.25]]


def test_an_async_function_may_be_called_where_a_loop_is_running():
    async def notebook():
        return score("slow")

    assert asyncio.run(notebook()) == [[0.5, None, 0.5], [0.5]]


def test_mistakes_in_one_sentence():
    with pytest.raises(RunError, match="'mine:too_few' returned 1 values for 3 hypotheses"):
        score("too_few")
    with pytest.raises(
        RunError, match=r"'mine:texts' gave \"'0\.5'\" to the hypothesis 'hola'; a reward must be a number"
    ):
        score("texts")
    with pytest.raises(RunError, match="'mine:one_number' returned float; it must return one value for each"):
        score("one_number")
    with pytest.raises(RunError, match=r"'mine:needs_more' needs 'ground_truth'.*it has corpus"):
        score("needs_more")
    with pytest.raises(ConfigError, match=r"unknown key 'reward\.terms\.0\.conversation'; did you mean"):
        score("messages", conversation=True)


def test_a_function_that_names_the_reference_requires_it():
    def check(kind):
        reward = CompositeReward(RewardConfig(terms=[{"type": f"mine:{kind}"}]), RewardContext())
        reward.check(has_reference=False)

    with pytest.raises(ConfigError, match="reward 'named' needs references, which the task withholds"):
        check("named")
    for kind in ("not_named", "everything"):
        check(kind)
