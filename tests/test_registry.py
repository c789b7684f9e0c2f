"""A class of the user's own that fails when it is made: one sentence with the class, the error and its place."""

import re
import sys

import pytest

from eclectus import registry
from eclectus.algorithms.base import Algorithm
from eclectus.config import DataConfig, ReinforceConfig, RewardConfig, TaskConfig
from eclectus.corpora.dataset import prepare
from eclectus.errors import ConfigError, DataError
from eclectus.exploration.base import Exploration
from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.training.stages import build_algorithm

OWN = """\
from eclectus.algorithms.base import Algorithm
from eclectus.corpora.base import Corpus
from eclectus.errors import DataError
from eclectus.rewards.base import Reward

class Parts:
    def __init__(self, *arguments):
        super().__init__(*arguments)
        raise LookupError("no such\\n  model")

class OwnReward(Parts, Reward):
    def __call__(self, segments, hypotheses):
        return [0.0 for _ in hypotheses]

class OwnAlgorithm(Parts, Algorithm):
    def advantages(self, inputs):
        return inputs.rewards

    def loss(self, inputs):
        return inputs.logprobs.sum(), {}

class OwnCorpus(Parts, Corpus):
    def signature(self):
        return "own"

    def entries(self):
        return []

class Narrow(OwnReward):
    def __init__(self):
        pass

class Unfinished(Reward):
    pass

class Loose(Reward):
    class Options:
        mark = "."

    def __call__(self, segments, hypotheses):
        return [1.0 for _ in hypotheses]

class Careful(OwnCorpus):
    def __init__(self, *arguments):
        raise DataError("my_parts: 'x.txt' is empty; fill it")
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    path = tmp_path / "my_parts.py"
    path.write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop("my_parts", None)


def reward(name):
    CompositeReward(RewardConfig(terms=[{"type": f"my_parts:{name}"}]), RewardContext())


def algorithm(name):
    tasks = [TaskConfig(name="t", directions=["en-es"], reward=RewardConfig(terms=[{"type": "exact"}]))]
    build_algorithm(ReinforceConfig(steps=1, tasks=tasks, algorithm={"type": f"my_parts:{name}"}))


def corpus(name):
    prepare(DataConfig(languages=["en", "es"], corpora=[{"type": f"my_parts:{name}"}]), 1)


@pytest.mark.parametrize(
    ("make", "name", "where"),
    [
        (reward, "OwnReward", "reward.terms.0"),
        (algorithm, "OwnAlgorithm", "reinforce.algorithm"),
        (corpus, "OwnCorpus", "data.corpora.0"),
    ],
)
def test_a_class_that_fails_when_it_is_made_is_told_in_one_sentence(own, make, name, where):
    said = (
        f"config: '{where}': 'my_parts:{name}' failed when it was made, with LookupError (no such model) at {own}:9;"
        " repair its __init__"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        make(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Narrow", r"with TypeError \(.*__init__\(\) takes 1 positional argument but 3 were given\); repair"),
        ("Unfinished", r"'reward\.terms\.0': 'my_parts:Unfinished' lacks __call__; write this method$"),
        ("Loose", r"'reward\.terms\.0': 'Loose\.Options' does not derive from eclectus\.registry\.Options; write"),
    ],
)
def test_a_class_that_cannot_be_called_is_told_without_a_place(name, said):
    with pytest.raises(ConfigError, match=said):
        reward(name)


def test_a_class_of_a_file_is_written_as_python_imports_it():
    for written in (
        "my_parts.py:Loose",
        "./my_parts.py:Loose",
        "../elsewhere/my_parts.py:Loose",
        ".\\my_parts.py:Loose",
    ):
        with pytest.raises(ConfigError, match=r"names a file; write the module as Python imports it: 'my_parts:Loose'"):
            registry.find("rewards", written, Reward)
    with pytest.raises(ConfigError, match=r"'parts\.own:Loose'"):
        registry.find("rewards", "./parts/own.py:Loose", Reward)


def test_a_missing_key_under_another_name_is_told_by_that_name():
    with pytest.raises(ConfigError, match=r"unknown key 'reward\.terms\.0\.path'; known: .*files"):
        CompositeReward(RewardConfig(terms=[{"type": "glossary", "path": "terms.tsv"}]), RewardContext())


def test_a_component_without_options_says_so():
    with pytest.raises(ConfigError, match=r"unknown key 'reward\.terms\.0\.mark'; 'reward\.terms\.0' has no options$"):
        CompositeReward(RewardConfig(terms=[{"type": "nonempty", "mark": 1}]), RewardContext())


def test_a_sentence_of_the_class_itself_stays_as_it_is():
    with pytest.raises(DataError, match=r"^my_parts: 'x\.txt' is empty; fill it$"):
        corpus("Careful")


def test_a_mistake_of_ours_is_not_the_user_s_to_repair():
    with pytest.raises(TypeError):
        registry.make("here", registry.find("algorithms", "rloo", Algorithm), 1, 2, 3, 4)


def test_a_component_is_made_of_its_checked_options():
    strategy = registry.build("exploration", "epsilon_greedy", Exploration, "here", {"top_k": 3})
    assert strategy.options.top_k == 3
    with pytest.raises(ConfigError, match=r"unknown key 'here\.top'; did you mean 'top_k'"):
        registry.build("exploration", "epsilon_greedy", Exploration, "here", {"top": 3})
    with pytest.raises(ConfigError, match="exploration: unknown type 'epsilon'"):
        registry.build("exploration", "epsilon", Exploration, "here", {})
