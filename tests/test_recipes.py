"""The experiments' recipes: the text they promise, and a run of each from end to end in miniature."""

import json
import random
import re
import shlex
from pathlib import Path

import pytest
import yaml

from eclectus import config as cfg
from eclectus import recipes, registry
from eclectus.corpora.dataset import SPLITS, prepare
from eclectus.errors import DataError
from eclectus.policies.load import load_policy, new_policy
from eclectus.training import run, stages
from eclectus.training.controls import continued

CAPTIONS = ["zero-shot", "low-resource", "low-resource-references", "converged"]
EXPERIMENTS = [*CAPTIONS, "african-news"]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "experiments.md"

WORDS = {
    "en": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    "de": ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"],
    "fr": ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"],
}
TRAIN = 120

MINIATURE = [
    "threads=1",
    "device=cpu",
    "policy.new={vocabulary: 120, d_model: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, ffn: 32}",
    "supervised.steps=4",
    "supervised.batch_tokens=200",
    "supervised.evaluate_every=2",
    "reinforce.steps=2",
    "reinforce.segments=4",
    "reinforce.samples=2",
    "reinforce.max_length=8",
    "reinforce.evaluate_every=1",
    "evaluation.dev_segments=2",
    "evaluation.max_length=8",
    "evaluation.resamples=100",
]
FEW = ["data.corpora.1.last=60", "data.corpora.2.first=61", "data.max_pairs.fr=20"]
"""The same of the low-resource experiments' data."""


@pytest.fixture
def captions(tmp_path):
    """A folder with the file names of Multi30k; its captions are numbers in words."""
    draw = random.Random(1)
    every = sorted({tuple(draw.choices(range(10), k=4)) for _ in range(TRAIN + 40)})
    draw.shuffle(every)
    folder = tmp_path / "captions"
    folder.mkdir()
    for name, rows in (("train", every[:TRAIN]), ("val", every[-16:-8]), ("test_2016_flickr", every[-8:])):
        for tag, words in WORDS.items():
            text = "".join(" ".join(words[digit] for digit in digits) + "\n" for digits in rows)
            (folder / f"{name}.{tag}").write_text(text, encoding="utf-8")
    return folder


def loaded(name, *changes):
    return cfg.parse(recipes.read(name), list(changes), name=name)


def small(name):
    """The changes that the page gives for 2 cores."""
    found = re.search(
        rf"^eclectus train {name} --output runs/{name}-small (.*)$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert found is not None
    words = shlex.split(found[1])
    assert set(words[::2]) == {"--set"}
    return words[1::2]


@pytest.fixture
def news(tmp_path):
    """A folder with the file names of LAFAND-MT; each pair has sentences of its own, and two of dev in test."""
    draw = random.Random(1)
    for folder, sounds in {"hau": "aeiou", "ibo": "abcde", "pcm": "lmnop", "swa": "vwxyz"}.items():
        every = sorted({tuple(draw.choices(range(10), k=5)) for _ in range(TRAIN + 40)})
        draw.shuffle(every)
        parts = {"train": every[:TRAIN], "dev": every[-16:-6], "test": every[-8:]}
        (tmp_path / "news" / f"en-{folder}").mkdir(parents=True)
        for name, rows in parts.items():
            for tag, words in {"en": WORDS["en"], folder: [f"{a}{b}" for a in "st" for b in sounds]}.items():
                text = "".join(" ".join(words[digit] for digit in digits) + "\n" for digits in rows)
                (tmp_path / "news" / f"en-{folder}" / f"{name}.{tag}").write_text(text, encoding="utf-8")
    return tmp_path / "news"


def test_african_news_from_end_to_end(news, tmp_path):
    config = loaded("african-news", *MINIATURE, f"data.root={news}")
    results = run.start(config, tmp_path / "run")
    assert set(results.scores) == {"en-ha", "en-ig", "en-pcm", "en-sw"}
    assert {scores["rl"].n for scores in results.scores.values()} == {8}
    data = json.loads((tmp_path / "run" / "data.json").read_text("utf-8"))
    assert data["dropped"]["split"] == {"shares text with test": 8}


def test_the_reward_of_african_news_is_the_default_one():
    reward = yaml.safe_load(recipes.read("african-news"))["reinforce"]["tasks"][0]["reward"]
    assert reward == yaml.safe_load(recipes.read_reward("default"))["reward"]


@pytest.mark.parametrize("name", CAPTIONS)
def test_miniature_from_end_to_end(name, captions, tmp_path):
    changes = [*MINIATURE, f"data.root={captions}"]
    if name.startswith("low"):
        changes += FEW
    config = loaded(name, *changes)
    results = run.start(config, tmp_path / "run")
    assert {"base", "rl", *config.controls} - {"supervised"} <= {system.name for system in results.systems}
    assert ("pivot" in {system.name for system in results.systems}) == (name == "zero-shot")
    assert {scores["rl"].n for scores in results.scores.values()} == {8}
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    judged = [row for row in steps if row["kind"] == "step" and row["stage"] == "reinforce"]
    assert len(judged) == 2 and all(row["unjudged"] < 1 for row in judged)
    assert (tmp_path / "run" / "beam").exists() == (name == "converged")


@pytest.mark.parametrize(
    ("name", "variant", "further"),
    [
        ("zero-shot", "shown", []),
        ("low-resource-references", "back-translated", [*FEW, "reinforce.tasks.0.back_translated_refresh=1"]),
        (
            "low-resource-references",
            "both",
            [
                *FEW,
                "reinforce.tasks.0.back_translated_refresh=1",
                "back_translation.steps=2",
                "back_translation.texts=9",
            ],
        ),
    ],
)
def test_a_variant_shows_what_it_says(name, variant, further, captions, tmp_path):
    changes = [*loaded(name).compare.chosen[variant], *MINIATURE, f"data.root={captions}", "controls=[]", *further]
    # What is left is the pivot's translation, or the text whose translation the policy writes.
    changes += ["reinforce.tasks.0.mle_segments=3", "reinforce.tasks.1.mle=0"]
    run.start(loaded(name, *changes), tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [row for row in records if row["kind"] == "step" and row["stage"] == "reinforce"]
    assert len(steps) == 2 and all(row["mle_loss"] > 0 for row in steps)
    assert (tmp_path / "run" / "synthetic" / "task-0.json").exists() == (variant in ("back-translated", "both"))
    assert (tmp_path / "run" / "synthetic" / "start.json").exists() == (variant == "both")


@pytest.mark.parametrize(
    ("name", "variant", "further"), [("zero-shot", "reward", []), ("low-resource", "round-trip", FEW)]
)
def test_a_variant_of_the_reward_alone_ends(name, variant, further, captions, tmp_path):
    changes = [*loaded(name).compare.chosen[variant], *MINIATURE, f"data.root={captions}", "controls=[]", *further]
    results = run.start(loaded(name, *changes), tmp_path / "run")
    assert results.system("rl").steps == 2
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [row for row in records if row["kind"] == "step" and row["stage"] == "reinforce"]
    assert len(steps) == 2 and all(row["unjudged"] < 1 and not row.get("mle_loss") for row in steps)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_without_its_folder_a_recipe_says_what_to_set(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no folder '(multi30k|lafand)' .*--set data.root=FOLDER"):
        run.start(loaded(name), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("size", ["full", "small"])
def test_models_have_at_most_12_million_parameters(name, size):
    config = loaded(name, *(small(name) if size == "small" else []))
    assert config.policy.new is not None
    # The tokenizer is trained on this, so it is smaller than the config allows; the rest is counted in.
    texts = [" ".join(words) for words in WORDS.values()]
    model = new_policy(config.policy.new, texts, list(WORDS), 1).model
    kept = sum(p.numel() for p in model.parameters())
    missing = (config.policy.new.vocabulary - model.config.vocab_size) * config.policy.new.d_model
    assert kept + missing < (12_000_000 if size == "full" else 2_500_000)


def test_the_converged_reward_is_the_default_one():
    reward = yaml.safe_load(recipes.read("converged"))["reinforce"]["tasks"][0]["reward"]
    assert reward == yaml.safe_load(recipes.read_reward("default"))["reward"]


def variant(name, which):
    """A comparing recipe with one variant's settings."""
    config = loaded(name)
    assert config.compare is not None
    return loaded(name, *config.compare.chosen[which])


def test_the_converged_variants_differ_in_their_terms_alone():
    default, gleu = (variant("converged", name) for name in loaded("converged").compare.chosen)
    (reward,), (other,) = ([task.reward for task in config.reinforce.tasks] for config in (default, gleu))
    assert ([term.type for term in reward.terms], [term.type for term in other.terms]) == (["bleu", "chrf"], ["gleu"])
    assert reward.gates == other.gates
    other.terms = reward.terms
    assert default == gleu


def test_the_variants_of_the_joint_recipe_differ_in_their_first_term_alone():
    chosen = {name: variant("joint", name) for name in ("per-language", "mean", "geometric", "min")}
    assert list(loaded("joint").compare.chosen) == list(chosen)
    terms = {name: config.reinforce.tasks[0].reward.terms[0] for name, config in chosen.items()}
    assert terms["per-language"].type == "round_trip"
    assert [terms[name].options.get("aggregate") for name in ("mean", "geometric", "min")] == [
        "mean",
        "geometric",
        "min",
    ]
    for config in chosen.values():
        config.reinforce.tasks[0].reward.terms[0] = terms["min"]
    assert len({cfg.dump(config) for config in chosen.values()}) == 1


def test_the_joint_recipe_measures_agreement(tmp_path):
    changes = ["threads=1", "device=cpu", "data.languages=[en, es, ca]", "data.max_pairs={ca: 300}", "data.test=20"]
    changes += ["data.corpora.0.phrases=200", "reinforce.steps=2", "reinforce.segments=4", "reinforce.samples=2"]
    changes += ["reinforce.evaluate_every=1", "evaluation.dev_segments=2", "evaluation.resamples=100"]
    results = run.start(loaded("joint", *changes), tmp_path / "run")
    for scores in results.scores.values():
        assert 20 < scores["base"].agreement <= 100 and 20 < scores["rl"].agreement <= 100
    assert ">agreement</th>" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_reward_choice_has_the_default_reward_without_each_of_its_parts():
    default = yaml.safe_load(recipes.read_reward("default"))["reward"]
    parts = default["terms"] + default["gates"]
    chosen = loaded("reward-choice").compare.chosen
    assert set(chosen) == {"default", "bleu", "chrf", "bleu+chrf", *(f"no-{part['type']}" for part in parts)}
    for name in chosen:
        reward = variant("reward-choice", name).reinforce.tasks[0].reward
        kept = [{"type": part.type, **part.options} for part in [*reward.terms, *reward.gates]]
        if name in ("bleu", "chrf", "bleu+chrf"):
            assert kept == [{"type": term} for term in name.split("+")]
        else:
            assert kept == [part for part in parts if f"no-{part['type']}" != name]


ALGORITHMS = loaded("algorithms").compare.chosen


def test_every_algorithm_that_needs_no_reference_is_compared():
    named = {loaded("algorithms", *settings).reinforce.algorithm.type for settings in ALGORITHMS.values()}
    assert named == set(registry.names("algorithms")) - {"mixer"}


@pytest.mark.parametrize("name", ["algorithms", "reward-choice", *EXPERIMENTS])
def test_its_variants_fit_other_recipes_too(name):
    # Value-based algorithms refuse demonstrations.
    alone = [
        f"reinforce.tasks.{i}.{key}=0"
        for i in range(len(loaded(name).reinforce.tasks))
        for key in ("mle", "mle_segments")
    ]
    for settings in ALGORITHMS.values():
        stages.build_algorithm(loaded(name, *settings, *alone, "reinforce.seconds=9").reinforce)


@pytest.mark.parametrize("name", ["rloo", "epsilon", "q_learning"])
def test_algorithms_for_the_same_time(name, tmp_path):
    changes = ["threads=1", "device=cpu", "data.languages=[en, es, fr]", "data.max_pairs={}", "data.test=6"]
    changes += ["data.corpora.0.phrases=200", "reinforce.seconds=1", "reinforce.segments=6", "reinforce.samples=2"]
    changes += ["reinforce.tasks.0.directions=[es-fr]", "reinforce.tasks.1.directions=[en-es]"]
    changes += ["evaluation.directions=[es-fr, en-es]", "evaluation.dev_segments=2", "evaluation.resamples=100"]
    results = run.start(loaded("algorithms", *ALGORITHMS[name], *changes), tmp_path / "run")
    assert results.system("rl").seconds >= 1 and results.system("rl").steps < 10_000
    assert ("supervised_continued" in {system.name for system in results.systems}) == (name == "rloo")


EMBEDDED = loaded("low-resource-embedded").compare.chosen


@pytest.mark.parametrize("name", EMBEDDED)
def test_low_resource_on_the_embedded_text(name, tmp_path):
    changes = ["threads=1", "device=cpu", "data.max_pairs={gl: 30, cy: 30, ga: 30, is: 30}", "data.test=16"]
    changes += ["data.corpora.0.phrases=200", "supervised.steps=2", "supervised.evaluate_every=2", "reinforce.steps=3"]
    changes += [
        "reinforce.segments=8",
        "reinforce.samples=2",
        "reinforce.evaluate_every=3",
        "evaluation.dev_segments=1",
    ]
    changes += ["evaluation.resamples=100", "controls=[]", "evaluation.max_length=8", "reinforce.max_length=8"]
    if name == "back-translated":
        for number in (0, 1):
            changes += [f"reinforce.tasks.{number}.back_translated=20"]
            changes += [f"reinforce.tasks.{number}.back_translated_refresh=2"]
    results = run.start(loaded("low-resource-embedded", *EMBEDDED[name], *changes), tmp_path / "run")
    assert len(results.scores) == 8 and results.system("rl").steps == 3
    made = (tmp_path / "run" / "synthetic").exists()
    assert made == (name == "back-translated")


@pytest.mark.parametrize("name", ["base", "scratch"])
def test_a_new_language_on_the_base_and_from_scratch(name, tmp_path):
    changes = ["threads=1", "device=cpu", "data.max_pairs={nl: 40}", "data.test=20", "data.corpora.0.phrases=200"]
    changes += ["supervised.steps=4", "supervised.evaluate_every=2", "reinforce.steps=2", "reinforce.segments=4"]
    changes += ["reinforce.samples=2", "reinforce.evaluate_every=1", "evaluation.dev_segments=2"]
    changes += ["evaluation.resamples=100", "controls=[]"]
    config = cfg.parse(recipes.read("new-language"), [*loaded("new-language").compare.chosen[name], *changes])
    results = run.start(config, tmp_path / "run")
    assert set(results.scores) == {"en-nl", "nl-en"}
    policy, _ = load_policy(str(tmp_path / "run" / "model"))
    assert ("es" in policy.languages) == (name == "base") and "nl" in policy.languages
    shipped, _ = load_policy("base")
    shape = ("d_model", "encoder_layers", "decoder_layers", "encoder_ffn_dim")
    assert all(getattr(policy.model.config, key) == getattr(shipped.model.config, key) for key in shape)


def test_zero_shot_and_low_resource_text_of_multi30k(shared_data):
    root = f"data.root={shared_data / 'multi30k'}"
    zero = prepare(loaded("zero-shot", root).data, 1)
    assert zero.pairs("train", "de", "fr") == []
    assert len(zero.pairs("test", "de", "fr")) >= 995
    for count in (500, 1000, 3000):
        config = loaded("low-resource", root, f"data.max_pairs.fr={count}").data
        assert config.max_pairs == loaded("low-resource-references", root).data.max_pairs | {"fr": count}
        low = prepare(config, 1)
        # Of the first 3,000 lines those that share text with dev or test are left out.
        assert count - 5 <= len(low.pairs("train", "en", "fr")) <= count
        assert len(low.pairs("train", "en", "de")) > 28_900
        assert low.pairs("train", "de", "fr") == []
        assert len(low.monolingual("train", "fr")) > 17_000
        assert len(low.pairs("test", "en", "fr")) >= 995


@pytest.mark.parametrize("name", [name for name in recipes.names() if name != "base"])
def test_controls_learn_at_the_rate_of_reinforcement_learning_at_least(name):
    """A lower one would favour what they stand beside. Value-based algorithms do not train the model."""
    compared = loaded(name).compare
    for settings in compared.chosen.values() if compared else [[]]:
        config = loaded(name, *settings)
        if (
            config.reinforce is not None
            and config.controls
            and config.reinforce.algorithm.type not in ("q_learning", "sarsa", "expected_sarsa")
        ):
            assert continued(config).learning_rate > 0.999 * config.reinforce.learning_rate, settings


def test_african_news_of_lafand(shared_data):
    data = prepare(loaded("african-news", f"data.root={shared_data / 'lafand'}").data, 1)
    tags = ("ha", "ig", "pcm", "sw")
    # Of 3,098, 6,998, 4,790 and 30,782 pairs of the files.
    assert [len(data.pairs("train", "en", tag)) for tag in tags] == [2_977, 6_573, 4_734, 30_159]
    assert [len(data.pairs("test", "en", tag)) for tag in tags] == [1_473, 1_463, 1_549, 1_799]
    texts = {split: {s.source for tag in tags for s in data.pairs(split, "en", tag)} for split in SPLITS}
    assert not texts["test"] & (texts["train"] | texts["dev"]) and not texts["dev"] & texts["train"]
