"""`WordTranslation`: Gymnasium's own checks, rewards by hand, exact values, and tables that are refused."""

import json
import warnings

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium
from gymnasium.utils.env_checker import check_env

from eclectus.algorithms.tabular import QLearning, learn, sizes, walk
from eclectus.environments import phrase_table
from eclectus.environments.phrase_table import PhraseTable
from eclectus.environments.word_translation import State, WordTranslation
from eclectus.errors import ConfigError, DataError
from eclectus.exploration.epsilon_greedy import EpsilonGreedy

CATS = PhraseTable(
    "en",
    "es",
    {"the": ("el", "la"), "black": ("negro", "negra"), "cat": ("gato",), "house": ("casa",)},
    (("the black cat", "el gato negro"), ("the black house", "la casa negra")),
)


def play(environment, words, sentence=0):
    """Write words (None: the end); returns the rewards and whether the last step ended the sentence."""
    environment.reset(options={"sentence": sentence})
    steps = [environment.step(environment.action(word)) for word in words]
    return [reward for _, reward, *_ in steps], steps[-1][2]


@pytest.mark.parametrize("reward", ["word", "bleu"])
def test_gymnasium_accepts_it(reward):
    environment = gymnasium.make("eclectus/WordTranslation-v0", reward=reward, render_mode="ansi")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*render fps.*")
        check_env(environment.unwrapped)


@pytest.mark.parametrize("reward", ["word", "bleu"])
def test_every_reference_earns_one_and_nothing_else_does(reward):
    environment = WordTranslation(reward=reward)
    for sentence, (_, reference) in enumerate(environment.table.sentences):
        rewards, ended = play(environment, [*reference.split(), None], sentence)
        assert ended
        assert sum(rewards) == pytest.approx(1)
        for shorter in (reference.split()[:-1], [reference.split()[0], *reference.split()]):
            assert sum(play(environment, [*shorter, None], sentence)[0]) < 1


@pytest.mark.parametrize(
    ("words", "rewards"),
    [
        (["el", "gato", "negro", None], [0.25, 0.25, 0.25, 0.25]),
        (["la", "gato", "negro", None], [0, 0, 0.25, 0.25]),  # gato stands in its place, but after the wrong word
        (["el", "negro", "gato", None], [0.25, 0, 0, 0]),
        (["el", "gato", None], [0.25, 0.25, 0]),
        ([None], [0]),
        (["el", "gato", "negro", "negro", None], [0.25, 0.25, 0.25, 0, 0]),
    ],
)
def test_reward_per_word_by_hand(words, rewards):
    assert play(WordTranslation(CATS), words)[0] == pytest.approx(rewards)


def test_bleu_comes_at_the_end_and_is_that_of_the_sentence():
    import sacrebleu

    environment = WordTranslation(CATS, reward="bleu")
    rewards, _ = play(environment, ["el", "negro", "gato", None])
    expected = sacrebleu.BLEU(effective_order=True).sentence_score("el negro gato", ["el gato negro"]).score / 100
    assert rewards == pytest.approx([0, 0, 0, expected])
    assert play(environment, [None])[0] == [0.0]


def test_the_length_limit_ends_the_sentence():
    environment = WordTranslation(CATS, reward="bleu")
    rewards, ended = play(environment, ["el", "gato", "negro", "negro", "negro"])
    assert ended
    assert rewards[-1] > 0
    assert not play(environment, ["el", "gato", "negro", "negro"])[1]


def test_states_are_numbered_one_to_one():
    environment = WordTranslation(CATS)
    assert len({environment.encode(environment.decode(i)) for i in range(environment.observation_space.n)}) == (
        environment.observation_space.n
    )
    state, _ = environment.reset(options={"sentence": 1})
    assert environment.decode(state) == State(1, 0, None)
    state, *_ = environment.step(environment.action("la"))
    assert environment.decode(state) == State(1, 1, "la")


def test_mask_offers_what_the_phrases_offer():
    environment = WordTranslation(CATS)
    _, info = environment.reset(options={"sentence": 0})
    offered = [environment.words[i] for i in np.flatnonzero(info["action_mask"][:-1])]
    assert offered == ["el", "gato", "la", "negra", "negro"]
    assert info["action_mask"][environment.end] == 1


def test_render():
    environment = WordTranslation(CATS, render_mode="ansi")
    environment.reset(options={"sentence": 0})
    environment.step(environment.action("el"))
    assert environment.render() == "the [black] cat | el"
    assert WordTranslation(CATS).render() is None


def optimal(environment):
    """Q* of every state by value iteration over the environment's own steps (reward per word, gamma 1)."""
    states, actions = sizes(environment)
    q = np.zeros((states, actions))
    outcomes = {}
    for sentence, limit in enumerate(environment.limits):
        for position in range(limit):
            for previous in environment.words if position else [None]:
                for action in range(actions):
                    environment.reset(options={"sentence": sentence})
                    # The reward looks at the last word and the position alone.
                    environment._written = ["?"] * (position - 1) + ([previous] if previous else [])
                    here = environment.encode(State(sentence, position, previous))
                    outcomes[here, action] = environment.step(action)[:3]
    for _ in range(max(environment.limits) + 1):
        for (state, action), (after, reward, ended) in outcomes.items():
            q[state, action] = reward + (0 if ended else q[after].max())
    return q


def test_q_learning_finds_the_exact_values():
    environment = WordTranslation(CATS)
    exact = optimal(environment)
    made = QLearning(*sizes(environment), alpha=0.5)
    list(learn(environment, made, EpsilonGreedy(EpsilonGreedy.Options(epsilon=0.5)), 1500, 1))
    for sentence, (_, reference) in enumerate(CATS.sentences):
        steps = list(walk(environment, made, {"sentence": sentence}))
        assert steps[-1][3]["translation"] == reference
        for state, action, _, _ in steps:
            assert made.q_table[state, action] == pytest.approx(exact[state, action], abs=1e-3)
    start = environment.encode(State(0, 0, None))
    # "la" first forfeits its own quarter and that of the word behind it.
    assert exact[start, environment.action("la")] == pytest.approx(0.5)
    assert made.q_table[start, environment.action("la")] == pytest.approx(0.5, abs=0.02)


def test_packaged_table_has_word_order_and_agreement():
    table = phrase_table.packaged()
    assert ("the black cat", "el gato negro") in table.sentences
    assert ("the black houses", "las casas negras") in table.sentences
    assert {"negro", "negra", "negros", "negras"} <= set(table.candidates("the black cat"))


def test_tsv_and_json_are_one_table(tmp_path):
    tsv, js = tmp_path / "t.tsv", tmp_path / "t.json"
    tsv.write_text(
        "kind\ten\tes\nphrase\tgood day\tbuenos días\n\nsentence\tgood  day\tbuenos días\n", encoding="utf-8"
    )
    js.write_text(
        json.dumps(
            {
                "languages": ["en", "es"],
                "phrases": {"good day": "buenos días"},
                "sentences": [["good day", "buenos días"]],
            }
        ),
        encoding="utf-8",
    )
    one, other = phrase_table.load(tsv), phrase_table.load(js)
    assert one.sentences == other.sentences == (("good day", "buenos días"),)
    assert one.phrases == other.phrases == {"good day": ("buenos", "días")}
    assert (one.source_lang, one.target_lang) == ("en", "es")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "", "first line"),
        ("a.tsv", "en\tes\n", "first line"),
        ("a.tsv", "kind\ten\tes\nword\ta\tb\n", "line 2"),
        ("a.tsv", "kind\ten\tes\nphrase\ta\n", "line 2"),
        ("a.tsv", "kind\ten\tes\nphrase\ta\tb\n", "no sentences"),
        ("a.tsv", "kind\ten\tes\nphrase\ta\tb\nsentence\ta\tc\n", "offers 'c'"),
        ("a.tsv", "kind\ten\tes\nphrase\ta\tb\nsentence\ta\t\n", "empty side"),
        ("a.tsv", "kind\ten\tes\nphrase\ta\tb\nsentence\ta\tb\nsentence\ta\tb b\n", "twice"),
        ("a.json", "{", "line 1: not valid JSON"),
        ("a.json", "[]", "not a phrase table"),
        ("a.json", '{"languages": ["en", "es"], "phrases": {"a": ["b"]}, "sentences": []}', "not a phrase table"),
    ],
)
def test_bad_tables_are_one_sentence(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        phrase_table.load(path)
    assert str(path) in str(caught.value)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        phrase_table.load(tmp_path / "none.tsv")
    (tmp_path / "latin.tsv").write_bytes("kind\ten\tes\nphrase\tgirl\tniña\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        phrase_table.load(tmp_path / "latin.tsv")


def test_unknown_reward_and_sentence():
    with pytest.raises(ConfigError, match="'chrf'"):
        WordTranslation(CATS, reward="chrf")
    with pytest.raises(ValueError, match="sentence 2 of 2"):
        WordTranslation(CATS).reset(options={"sentence": 2})
