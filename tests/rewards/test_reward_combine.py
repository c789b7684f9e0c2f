"""The composite reward: weights, abstention, gates, checks at the door, and errors that name the place."""

import math
import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, DataError, RunError
from eclectus.rewards.base import Reward, RewardContext
from eclectus.rewards.composite.combine import CompositeReward
from eclectus.segment import Segment


class ByTable(Reward):
    """Says what the hypothesis says: "0.5 None" is 0.5 for `first`, None for `second`."""

    column = 0

    def __call__(self, segments, hypotheses):
        values = [hypothesis.split()[self.column] for hypothesis in hypotheses]
        return [None if value == "None" else float(value) for value in values]


class Second(ByTable):
    column = 1


class Third(ByTable):
    column = 2


class Short(ByTable):
    def score_groups(self, segments, hypotheses):
        return [group[1:] for group in super().score_groups(segments, hypotheses)]


class Returns(Reward):
    """Returns what the test wrote down, or does what it says."""

    found: ClassVar = None

    def __call__(self, segments, hypotheses):
        return self.found() if callable(self.found) else self.found


class Rows(Returns):
    def score_groups(self, segments, hypotheses):
        return self.found


class NoSegments(Reward):
    def __call__(self, hypotheses):
        return [1.0] * len(hypotheses)


def lengths(prompts, completions, **kwargs):
    assert kwargs["target_lang"] == ["es"] * len(completions)
    return [None if not text else min(1.0, len(text) / 10) for text in completions]


def only_reference(prompts, completions, reference):
    return [float(text == known) for text, known in zip(completions, reference, strict=True)]


@pytest.fixture(autouse=True)
def as_a_module(monkeypatch):
    """Make the rewards above loadable as `table:Second`."""
    module = ModuleType("table")
    for found in (ByTable, Second, Third, Short, Returns, Rows, NoSegments, lengths, only_reference):
        setattr(module, found.__name__, found)
    monkeypatch.setitem(sys.modules, "table", module)


def composite(terms, gates=(), context=None, clip=None, normalise="direction", unfinished=0.0, **kwargs):
    config = RewardConfig(terms=terms, gates=list(gates), clip=clip, normalise=normalise, unfinished=unfinished)
    return CompositeReward(config, context or RewardContext(), **kwargs)


def totals(reward, *hypotheses, **kwargs):
    return reward.score_groups([Segment("x", "en", "es")], [list(hypotheses)], **kwargs).total[0]


TABLE = [{"type": "table:ByTable", "weight": 3}, {"type": "table:Second", "weight": 1}]
GATE = [{"type": "table:Third"}]


@pytest.mark.parametrize(
    ("hypothesis", "expected"),
    [
        ("1 0 1", 0.75),
        ("0.2 0.6 1", 0.3),
        ("0.2 None 1", 0.2),  # the weights of those who judged
        ("None 0.6 1", 0.6),
        ("None None 1", None),
        ("None None 0", None),
        ("1 1 0", 0.0),
        ("1 1 0.5", 0.5),
        ("1 0 0.5", 0.375),
        ("1 0 None", 0.75),  # a gate that abstains stands open
    ],
)
def test_combination(hypothesis, expected):
    (value,) = totals(composite(TABLE, GATE), hypothesis)
    assert value == (None if expected is None else pytest.approx(expected))


def test_two_gates_multiply():
    assert totals(composite(TABLE[:1], [*GATE, {"type": "table:Second"}]), "1 0.5 0.5") == [0.25]


def test_groups_keep_their_shape_and_their_parts():
    reward = composite(TABLE, GATE)
    segments = [Segment("a", "en", "es"), Segment("b", "en", "fr")]
    scores = reward.score_groups(segments, [["1 0 1", "1 0 1", "None 1 0"], ["None None 1"]])
    assert scores.total == [[0.75, 0.75, 0.0], [None]]
    assert list(scores.parts) == reward.names
    first, second, third = scores.parts.values()
    assert first == [[1.0, 1.0, None], [None]]
    assert second == [[0.0, 0.0, 1.0], [None]]
    assert third == [[1.0, 1.0, 0.0], [1.0]]
    assert reward.score_groups([], []).total == []


def test_real_rewards_with_options_and_a_signature():
    reward = composite(
        [{"type": "bleu", "weight": 2, "max_order": 2}, {"type": "chrf", "words": 2}, {"type": "chrf"}],
        [{"type": "nonempty"}],
    )
    assert reward.names == ["bleu", "chrf", "chrf-2", "nonempty"]
    assert reward.signature.startswith("(2*[BLEU|") and reward.signature.endswith("/ 4 * [nonempty]")
    segment = Segment("gato", "es", "en", reference="a cat")
    scores = reward.score_groups([segment], [["a cat", "", "a dog"]])
    assert scores.total[0][:2] == [1.0, 0.0] and 0 < scores.total[0][2] < 1
    assert scores.parts["chrf"] != scores.parts["chrf-2"]


@pytest.mark.parametrize(
    ("terms", "gates", "message"),
    [
        ([{"type": "blue"}], [], r"'reward\.terms\.0\.type'.*unknown type 'blue'; did you mean 'bleu'\?"),
        (
            [{"type": "bleu"}, {"type": "bleu", "smoth_method": "exp"}],
            [],
            r"'reward\.terms\.1\.smoth_method'; did you mean",
        ),
        ([{"type": "bleu", "max_order": 0}], [], r"'reward\.terms\.0\.max_order'"),
        ([{"type": "bleu"}], [{"type": "length", "limit": 1}], r"'reward\.gates\.0"),
        ([{"type": "combine"}], [], "unknown type"),
        ([{"type": "no.such:Thing"}], [], "cannot load"),
        ([{"type": "table:lengths", "x": 1}], [], r"unknown key .reward.terms.0.x.; known: conversational"),
    ],
)
def test_errors_name_the_place(terms, gates, message):
    with pytest.raises(ConfigError, match=message) as caught:
        composite(terms, gates)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "context", "has_reference", "message"),
    [
        ("bleu", RewardContext(), False, r"task\.reward\.terms\.0.*'bleu' needs references.*references: true"),
        ("exact", RewardContext(), False, "needs references"),
        ("round_trip", RewardContext(), True, "needs a starting policy"),
        ("pivot", RewardContext(languages=["en"]), True, "needs a starting policy"),
        ("fluency", RewardContext(), True, "needs training text"),
        ("fluency", RewardContext(target_texts={"en": []}), True, "needs training text"),
        ("bleu", RewardContext(), True, None),
        ("length", RewardContext(), False, None),
        ("pivot", RewardContext(languages=["en"], translate=lambda segments: []), False, None),
        ("fluency", RewardContext(target_texts={"en": ["a"]}), False, None),
    ],
)
def test_check_at_the_door(kind, context, has_reference, message):
    reward = composite([{"type": kind}], context=context, where="task.reward")
    if message is None:
        reward.check(has_reference)
    else:
        with pytest.raises(ConfigError, match=message):
            reward.check(has_reference)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_value_that_is_no_number_stops_the_run(value):
    with pytest.raises(RunError, match=rf"'ByTable'.*{value.strip('-')}.*'{value} 1 1'.*en-es|{value} 1 1"):
        totals(composite(TABLE), f"{value} 1 1")


def test_a_reward_that_loses_hypotheses_stops_the_run():
    with pytest.raises(RunError, match="one value for each hypothesis"):
        totals(composite([{"type": "table:Short"}]), "1 1", "2 2")


def one_sentence(kind, message):
    with pytest.raises(RunError, match=f"^reward '{__name__}:{kind}' {message}") as caught:
        totals(composite([{"type": f"table:{kind}"}]), "a", "b", "c")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([0.1, 0.2, 0.3, 0.4], "returned 4 values for 3 hypotheses; it must return one value for each"),
        ([0.1, 0.2], "returned 2 values for 3 hypotheses"),
        (None, "returned NoneType; it must return one value for each"),
        (0.5, "returned float; it must"),
        ([0.1, "0.2", 0.3], r"gave \"'0.2'\" to the hypothesis 'b'; a reward must be a number, or None to abstain"),
        ([0.1, 0.2, [0.3]], r"gave '\[0.3\]' to the hypothesis 'c'"),
        ("abc", r"gave \"'a'\" to the hypothesis 'a'"),
        (lambda: 1 / 0, r"failed with ZeroDivisionError \(division by zero\) at .*test_reward_combine.py:\d+; it must"),
        (lambda: (1 / 0 for _ in "abc"), "failed with ZeroDivisionError .*test_reward_combine.py"),
        (lambda: int("a\nb"), "failed with ValueError .invalid literal"),
    ],
)
def test_what_a_users_class_returns_is_checked(monkeypatch, found, message):
    monkeypatch.setattr(Returns, "found", staticmethod(found) if callable(found) else found)
    one_sentence("Returns", message)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "returned NoneType for 1 segments; it must return a row for each segment"),
        ([[0.1, 0.2, 0.3]] * 2, "returned 2 rows for 1 segments"),
        ([0.5], "returned float; it must return one value for each hypothesis"),
        ([[0.5, 0.5]], "returned 2 values for 3 hypotheses"),
        ([[0.5, 0.5, "c"]], r"gave \"'c'\" to the hypothesis 'c'"),
    ],
)
def test_the_groups_of_a_users_class_are_checked(monkeypatch, found, message):
    monkeypatch.setattr(Returns, "found", found)
    one_sentence("Rows", message)


def test_a_users_class_that_cannot_be_called_is_one_sentence():
    with pytest.raises(
        ConfigError, match=r"'table:NoSegments': __call__ takes .* `__call__\(self, segments, hypotheses\)`"
    ):
        composite([{"type": "table:NoSegments"}])


@pytest.mark.parametrize(
    ("requires", "message"),
    [
        (frozenset({"refrence"}), "requires names 'refrence', which is unknown; did you mean 'reference'"),
        ({"policy"}, "'policy', which is unknown; known: batch, reference, siblings, target_texts, translate"),
        ("reference", r"requires is one string; write frozenset\(\{'reference'\}\)"),
    ],
)
def test_what_a_reward_requires_is_known(monkeypatch, requires, message):
    monkeypatch.setattr(Returns, "requires", requires)
    with pytest.raises(ConfigError, match=rf"'reward\.terms\.0': reward 'table:Returns': .*{message}"):
        composite([{"type": "table:Returns"}])
    monkeypatch.setattr(Returns, "requires", frozenset())
    monkeypatch.setattr(Returns, "__init__", lambda self, *given: setattr(self, "requires", requires))
    with pytest.raises(ConfigError, match=message):
        composite([{"type": "table:Returns"}])


def test_a_term_outside_the_unit_interval_is_said_once_and_a_gate_refused(caplog):
    reward = composite(TABLE)
    assert totals(reward, "37 1 1", "-1 1 1") == [28.0, -0.5]
    totals(reward, "1 37 1")
    assert [record.getMessage() for record in caplog.records] == [
        "reward 'ByTable' gave 37 to the hypothesis '37 1 1' (en-es); a reward should be in [0, 1]: scale it, or set "
        "its 'clip'; said once",
        "reward 'Second' gave 37 to the hypothesis '1 37 1' (en-es); a reward should be in [0, 1]: scale it, or set "
        "its 'clip'; said once",
    ]
    caplog.clear()
    totals(composite([TABLE[0] | {"clip": [0, 1]}]), "37 1 1")
    assert totals(composite(TABLE, GATE), "1 1 1.0000000002", "1 1 0") == [pytest.approx(1), 0.0]
    assert not caplog.records
    for value in ("37", "-1"):
        with pytest.raises(
            RunError, match=f"'Third' gave {value} to .*; a gate multiplies the total, so it must be in"
        ):
            totals(composite(TABLE, GATE), f"1 1 {value}")


def test_classes_are_called_by_their_names():
    reward = composite([*TABLE, TABLE[0]], GATE)
    assert reward.names == ["ByTable", "Second", "ByTable-2", "Third"]
    assert reward.signature.startswith(f"(3*[{__name__}:ByTable] + 1*[{__name__}:Second] + ")


@pytest.mark.parametrize(
    "found", [lambda: [True, 0, None], lambda: (1, np.float32(0), None), lambda: iter(np.array([1, 0, None]))]
)
def test_numbers_of_any_kind_become_floats(monkeypatch, found):
    monkeypatch.setattr(Returns, "found", staticmethod(found))
    judged = Returns()([Segment("x", "en", "es")] * 3, ["a", "b", "c"])
    assert judged == [1.0, 0.0, None]
    assert [type(value) for value in judged] == [float, float, type(None)]


def test_errors_that_say_what_to_do_and_mistakes_of_ours_pass(monkeypatch):
    def refuse():
        raise DataError("the file is gone; bring it back")

    monkeypatch.setattr(Returns, "found", staticmethod(refuse))
    with pytest.raises(DataError, match="the file is gone"):
        totals(composite([{"type": "table:Returns"}]), "a")
    monkeypatch.setattr("eclectus.rewards.nonempty.visible", lambda text: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        totals(composite([{"type": "nonempty"}]), "a")


def test_a_function_with_trls_signature():
    reward = composite([{"type": "table:lengths"}, {"type": "table:only_reference", "weight": 2}])
    assert reward.names == ["lengths", "only_reference"]
    assert "[table:lengths]" in reward.signature
    segment = Segment("x", "en", "es", reference="hola")
    assert reward.score_groups([segment], [["hola", "adios", ""]]).total == [
        [pytest.approx(2.4 / 3), pytest.approx(0.5 / 3), 0.0]
    ]


def test_reset_reaches_every_part():
    calls = []

    def translate(segments):
        calls.append(len(segments))
        return [segment.source for segment in segments]

    reward = composite([{"type": "round_trip"}], context=RewardContext(translate=translate))
    for _ in range(2):
        totals(reward, "hola")
    reward.reset()
    totals(reward, "hola")
    assert calls == [1, 1]


def test_totals_are_finite_and_in_the_unit_interval():
    reward = composite([{"type": "bleu", "weight": 0.3}, {"type": "chrf", "weight": 0.7}], [{"type": "length"}])
    segment = Segment("x", "en", "es", reference="un gato")
    for value in reward.score_groups([segment], [["un gato", "un", "gato gato gato gato", "", "\ud800"]]).total[0]:
        assert math.isfinite(value) and 0 <= value <= 1


UP, DOWN = {"start": 0, "end": 1, "steps": 4}, {"start": 3, "end": 1, "steps": 4}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, (2.5 * 0.2 + 0.25 * 0.6) / 2.75),
        (2, (2.0 * 0.2 + 0.5 * 0.6) / 2.5),
        (4, 0.4),
        (400, 0.4),
        (None, 0.4),  # dev set and controls: every schedule at its end
    ],
)
def test_weights_follow_their_schedules(step, expected):
    terms = [{"type": "table:ByTable", "weight": DOWN}, {"type": "table:Second", "weight": UP}]
    assert totals(composite(terms), "0.2 0.6", step=step) == [pytest.approx(expected)]


def test_a_term_of_weight_0_does_not_count_as_one_that_judged():
    terms = [{"type": "table:ByTable"}, {"type": "table:Second", "weight": UP | {"shape": "step"}}]
    reward = composite(terms)
    assert totals(reward, "None 0.6", step=3) == [None]
    assert totals(reward, "None 0.6", step=4) == [0.6]
    assert totals(reward, "0.2 0.6", step=3) == [0.2]


@pytest.mark.parametrize(("step", "expected"), [(0, 0.8), (1, 0.8 * 0.8), (4, 0.8 * 0.2), (None, 0.8 * 0.2)])
def test_a_gate_grows_with_its_strength(step, expected):
    reward = composite(TABLE[:1], [{"type": "table:Third", "strength": UP}])
    assert totals(reward, "0.8 0 0.2", step=step) == [pytest.approx(expected)]
    assert totals(reward, "0.8 0 None", step=step) == [pytest.approx(0.8)]


def test_clips_of_terms_and_of_the_total():
    terms = [{"type": "table:ByTable", "clip": [0.2, 0.6]}, {"type": "table:Second"}]
    assert totals(composite(terms), "1 0", "0 0", "0.4 0", "None 0") == [0.3, 0.1, 0.2, 0.0]
    first, _ = composite(terms).score_groups([Segment("x", "en", "es")], [["1 0"]]).parts.values()
    assert first == [[0.6]]
    clipped = composite(TABLE[:1], [{"type": "table:Second"}], clip=[0.1, 0.5])
    assert totals(clipped, "1 1", "1 0.3", "1 0", "None 1") == [0.5, 0.3, 0.1, None]  # after the gates
    assert clipped.signature.endswith("|clip:0.1,0.5")


def test_signature_says_what_changes_over_steps():
    reward = composite(
        [{"type": "table:ByTable", "weight": UP, "clip": [0, 1]}], [{"type": "table:Third", "strength": 0.5}]
    )
    assert reward.signature == (
        f"((0>1:4:linear)*[{__name__}:ByTable|clip:0,1]) / weights * [{__name__}:Third|strength:0.5]"
    )


def test_cut_hypotheses_get_what_the_config_says():
    finished = [[True, False, False]]
    for unfinished, expected in ((0.0, [0.75, 0.0, 0.0]), (0.3, [0.75, 0.3, 0.3]), (None, [0.75, 0.75, None])):
        reward = composite(TABLE, GATE, unfinished=unfinished)
        assert totals(reward, "1 0 1", "1 0 1", "None None 1", finished=finished) == expected


def test_parts_are_told_the_step():
    reward = composite([{"type": "constant"}])
    for step in (3, None):
        totals(reward, "x", step=step)
        assert reward._rewards["constant"].step == step
