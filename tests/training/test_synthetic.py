"""Back-translations: which text is used, which side is real, and that they reach the training."""

import io
import itertools
import json

import pytest
import torch
from rich.console import Console

from eclectus.config import BackTranslationConfig, DataConfig, TaskConfig
from eclectus.corpora.dataset import Dataset, prepare
from eclectus.errors import ConfigError, DataError
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.segment import Segment
from eclectus.training import controls, run, stages
from eclectus.training.batches import PairBatches
from eclectus.training.prompts import PromptStream
from eclectus.training.supervised import Trained
from eclectus.training.synthetic import back_prompts, back_translated, distilled, synthesise
from tests.tiny_run import same_weights, settings, stopped
from tests.training.back_translating import TASK, upper


def test_the_real_side_of_a_back_translation_is_the_target():
    prompts = [Segment("un chat", "fr", "en", id="fr:3"), Segment("none", "fr", "en")]
    (pair,) = back_translated(upper)(prompts)
    assert (pair.source, pair.source_lang, pair.target_lang) == ("en:UN CHAT", "en", "fr")
    assert (pair.reference, pair.direction, pair.id) == ("un chat", "en-fr", "fr:3")


def test_the_real_side_of_a_distilled_pair_is_the_source():
    prompts = [Segment("un chat", "fr", "de", alternatives=("x",)), Segment("none", "fr", "de")]
    (pair,) = distilled(upper)(prompts)
    assert (pair.source, pair.reference, pair.alternatives) == ("un chat", "de:UN CHAT", ())


def test_prompts_are_the_target_text_that_no_pair_has(tmp_path):
    (tmp_path / "a.tsv").write_text("one dog\tun chien\ntwo dogs\tdeux chiens\n", encoding="utf-8")
    (tmp_path / "fr.tsv").write_text("trois chiens\nun chien\n", encoding="utf-8")
    corpora = [
        {"type": "tsv", "path": "a.tsv", "columns": ["en", "fr"], "split": "train"},
        {"type": "tsv", "path": "fr.tsv", "columns": ["fr"], "split": "train"},
    ]
    dataset = prepare(DataConfig(languages=["en", "fr"], corpora=corpora, root=tmp_path, max_pairs={"fr": 1}), 1)
    pairs = {"en-fr": dataset.pairs("train", "en", "fr")}
    (paired,) = (s.reference for s in pairs["en-fr"])
    ((name, prompts),) = back_prompts(dataset, [("en", "fr")], pairs).items()
    assert name == "en-fr back-translated"
    assert {s.source for s in prompts} == {"un chien", "deux chiens", "trois chiens"} - {paired}
    assert {s.direction for s in prompts} == {"fr-en"}
    everything = back_prompts(dataset, [("en", "fr")], {})["en-fr back-translated"]
    assert len(everything) == 3
    english = {"fr-en": dataset.pairs("train", "fr", "en")}
    assert len(back_prompts(dataset, [("fr", "en")], english)["fr-en back-translated"]) == 1
    full = {"fr-en": [Segment("", "fr", "en", text) for text in ("one dog", "two dogs")]}
    assert back_prompts(dataset, [("fr", "en")], full) == {}


def prompts_of(count):
    return {name: [Segment(f"{name} {n}", "fr", "en") for n in range(count)] for name in ("a", "b")}


def test_names_take_turns_until_the_time_is_up(tmp_path, monkeypatch):
    from eclectus.training import synthetic

    monkeypatch.setattr(synthetic, "_CHUNK", 4)
    now = iter(range(100))
    monkeypatch.setattr(synthetic.parallel, "now", lambda: next(now))
    made = synthesise(prompts_of(20), back_translated(upper), tmp_path / "x.json", seed=1, seconds=3)
    # The clock is read at the start, after each round (1, 2, 3) and at the end.
    assert {name: len(rows) for name, rows in made.pairs.items()} == {"a": 12, "b": 12}
    assert made.seconds == 4


def test_a_cap_takes_the_beginning_of_a_seeded_order(tmp_path):
    def drawn(seed, most=None):
        path = tmp_path / f"{seed}-{most}.json"
        made = synthesise(prompts_of(50), back_translated(upper), path, seed=seed, most=most)
        return [pair.reference for pair in made.pairs["a"]]

    assert drawn(1, 10) == drawn(1)[:10]
    assert drawn(1) != drawn(2)
    assert sorted(drawn(1)) == sorted(s.source for s in prompts_of(50)["a"])


def test_a_resumed_run_takes_over_what_was_made(tmp_path):
    path = tmp_path / "deep" / "x.json"
    made = synthesise(prompts_of(5), back_translated(upper), path, seed=1)

    def nobody(_):
        raise AssertionError("translated again")

    assert synthesise(prompts_of(5), nobody, path, seed=1, resume=True) == made
    with pytest.raises(AssertionError):
        synthesise(prompts_of(5), nobody, path, seed=1)


BACK = {
    "directions": ["en-*", "*-en"],
    "synthetic": ["es-fr"],
    "texts": 40,
    "steps": 6,
    "evaluate_every": 3,
    "warmup": 2,
}


@pytest.fixture
def trained_on(monkeypatch):
    """Names and sizes of the pairs that each supervised training got."""
    found = []
    init = PairBatches.__init__

    def spy(self, policy, pairs, *args):
        found.append({name: len(rows) for name, rows in pairs.items()})
        init(self, policy, pairs, *args)

    monkeypatch.setattr(PairBatches, "__init__", spy)
    return found


def test_a_start_with_back_translations_and_the_control(corpus, tmp_path, trained_on):
    config = settings(
        corpus,
        back_translation=BACK,
        controls=["back_translation", "distillation"],
        evaluation__also_beams=2,
        evaluation__reference_tokens=True,
    )
    folder = tmp_path / "run"
    run.start(config, folder)
    results = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    names = ["before", "base", "rl", "pivot", "back_translation", "distillation"]
    assert [s["name"] for s in results["systems"]] == names
    first, start, control, distilled_pairs = trained_on
    assert set(first) == {"en-es", "en-fr", "es-en", "fr-en"}
    assert set(start) == {*first, "es-fr back-translated"} and start["es-fr back-translated"] <= 40
    assert set(control) == {"en-es", "es-fr back-translated"}
    assert set(distilled_pairs) == {"en-es", "es-fr"}
    made = json.loads((folder / "synthetic" / "back_translation.json").read_text(encoding="utf-8"))["pairs"]
    french = {line.split("\t")[2] for line in corpus.read_text(encoding="utf-8").splitlines()[1:]}
    assert all(row[3] in french and (row[1], row[2]) == ("es", "fr") for row in made["es-fr back-translated"])
    for scores in results["scores"].values():
        assert 0 <= scores["base"]["reference_first"] <= 1 <= scores["rl"]["reference_rank"]
    assert results["scores"]["es-fr"]["pivot"]["reference_first"] is None
    beam = json.loads((folder / "beam" / "evaluation.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in beam["systems"]] == names
    assert {c["metric"] for c in beam["comparisons"] if (c["system"], c["against"]) == ("rl", "base")} == {
        "bleu",
        "chrf",
    }
    assert (folder / "beam" / "report.html").stat().st_size > 0
    assert "ranked first" in (folder / "report.html").read_text(encoding="utf-8")


def test_each_round_of_the_control_learns_from_what_the_last_one_left(corpus, tmp_path, monkeypatch):
    folder, translate, translated_by, rounds = tmp_path / "run", Seq2SeqPolicy.translate, [], []

    def size(policy):
        return sum(p.detach().double().abs().sum().item() for p in policy.model.parameters())

    def spy(self, segments, *args):
        if segments[0].direction == "fr-es":
            translated_by.append(size(self))
        return translate(self, segments, *args)

    def train(policy, config, pairs, dev, *, stage, seconds, **_):
        assert set(pairs) == {"en-es", "es-fr back-translated"}
        began = size(policy)
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.mul_(1.01)  # another model, which still translates
        rounds.append((stage, began, size(policy), seconds))
        return Trained(steps=len(rounds), best_step=1, score=0.0, seconds=26.0, complete=True, reason="")

    monkeypatch.setattr(Seq2SeqPolicy, "translate", spy)
    monkeypatch.setattr(controls, "train_supervised", train)
    monkeypatch.setattr(controls._Control, "seconds", property(lambda self: 100.0, lambda *_: None), raising=False)
    run.start(settings(corpus, controls=["iterative_back_translation"]), folder)
    names, began, ended, seconds = zip(*rounds, strict=True)
    assert list(names) == [f"iterative_back_translation-{number}" for number in (1, 2, 3, 4)]
    assert began[1:] == ended[:-1] and len(set(began)) == 4
    assert list(dict.fromkeys(translated_by)) == list(began)
    making = [json.loads((folder / "synthetic" / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    assert all(part["pairs"]["es-fr back-translated"] for part in making)
    # What one took beyond its quarter the next does not have.
    spent = [sum(part["seconds"] for part in making[:number]) + 26 * (number - 1) for number in (1, 2, 3, 4)]
    assert seconds == pytest.approx([25 * number - before for number, before in enumerate(spent, 1)])
    results = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    (system,) = (s for s in results["systems"] if s["name"] == "iterative_back_translation")
    assert system["steps"] == 1 + 2 + 3 + 4
    assert system["seconds"] == pytest.approx(4 * 26 + sum(part["seconds"] for part in making), abs=0.06)


def test_back_translations_that_do_harm_leave_a_new_model_as_it_was(corpus, tmp_path):
    harm = {**BACK, "steps": 4, "evaluate_every": 2, "learning_rate": 1.0}
    run.start(settings(corpus, back_translation=harm, reinforce=None), tmp_path / "harmed")
    run.start(settings(corpus, reinforce=None), tmp_path / "alone")
    lines = (tmp_path / "harmed" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "dev"]
    first, second = ([r for r in rows if r["stage"] == s] for s in ("supervised", "supervised_back_translation"))
    assert 0 not in [row["step"] for row in first]  # random weights are not worth a look
    assert [(row["step"], row["selected"]) for row in second] == [(0, True), (2, False), (4, False)]
    assert same_weights(tmp_path / "harmed", tmp_path / "alone")


def test_stopped_in_the_back_translation_stage_and_resumed(corpus, tmp_path, monkeypatch):
    config = settings(corpus, back_translation={**BACK, "steps": 24}, reinforce=None)
    run.start(config, tmp_path / "whole")
    results = json.loads((tmp_path / "whole" / "evaluation.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in results["systems"]] == ["before", "supervised"]
    record = tmp_path / "stopped" / "stages" / "supervised.json"
    stopped(config, tmp_path / "stopped", monkeypatch, lambda *_: record.exists(), "'supervised_back_translation'")
    run.resume(tmp_path / "stopped")
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_no_text_to_translate_back_is_found_before_the_first_step(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "back_prompts", lambda *_: {})
    with pytest.raises(ConfigError, match=r"back_translation.synthetic': all text of the target languages"):
        run.start(settings(corpus, back_translation=BACK), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_synthetic_directions_must_be_named():
    with pytest.raises(ValueError, match="synthetic"):
        BackTranslationConfig(steps=3)


def test_a_task_works_on_back_translations_too(corpus, tmp_path, monkeypatch):
    """RL and its constant-reward control, in a whole run and in one that is stopped and goes on."""
    given = []
    init = PromptStream.__init__

    def spy(self, tasks, *args):
        if args[0] is not None:  # not those that are only shown
            given.append(tasks[0].prompts["en-es"])
        init(self, tasks, *args)

    monkeypatch.setattr(PromptStream, "__init__", spy)
    config = settings(
        corpus,
        data__max_pairs={"es": 50},
        reinforce__tasks=[TASK | {"back_translated": 20}],
        controls=["constant_reward"],
    )
    results = run.start(config, tmp_path / "whole")
    rl, constant = given
    assert rl == constant and len(rl) > 50
    real, made = rl[:50], rl[50:]
    assert len(made) <= 20 and {s.direction for s in made} == {"en-es"}
    assert not {s.reference for s in real} & {s.reference for s in made}
    assert {s.reference for s in made} <= {s.source for s in prepared(config, "es")}
    written = json.loads((tmp_path / "whole" / "synthetic" / "task-0.json").read_text(encoding="utf-8"))
    assert [row[3] for row in written["pairs"]["en-es back-translated"]] == [s.reference for s in made]
    trained = json.loads((tmp_path / "whole" / "stages" / "reinforce.json").read_text(encoding="utf-8"))
    assert results.system("rl").seconds == round(trained["seconds"] + written["seconds"], 1)

    stopped(config, tmp_path / "stopped", monkeypatch, lambda at, note: note.startswith("reward") and at == 4)
    run.resume(tmp_path / "stopped")
    assert given[2] == given[3] == rl
    assert same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_the_start_and_each_task_draw_texts_of_their_own(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Seq2SeqPolicy, "translate", lambda self, segments, *_: ["one"] * len(segments))
    tasks = [TASK | {"back_translated": 60}, TASK | {"name": "again", "back_translated": 60}]
    config = settings(
        corpus,
        data__max_pairs={"es": 50},
        supervised__steps=1,
        back_translation=BACK | {"synthetic": ["en-es"], "texts": 60, "steps": 1},
        reinforce__tasks=tasks,
        reinforce__steps=1,
        controls=["back_translation"],
    )
    run.start(config, tmp_path / "run")
    texts = {
        path.stem: [row[3] for row in json.loads(path.read_text(encoding="utf-8"))["pairs"]["en-es back-translated"]]
        for path in (tmp_path / "run" / "synthetic").glob("*.json")
    }
    assert sorted(texts) == ["back_translation", "start", "task-0", "task-1"]
    for one, other in itertools.combinations(texts.values(), 2):
        both = len(set(one[:60]) & set(other[:60]))
        assert both < 40  # of 226 texts: 16 expected, deviation 3


def prepared(config, language):
    """The text of a language as prompts, pairs of it or not."""
    dataset = prepare(config.data, config.data.split_seed)
    return [Segment(text, language, "en") for text in dataset.monolingual("train", language)]


def test_a_task_without_text_to_translate_back(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"tasks.0.back_translated': all text of the target languages stands in"):
        run.start(settings(corpus, reinforce__tasks=[TASK | {"back_translated": 20}]), tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "told"), [({"references": False, "mle": 0}, "references: true"), ({"joint": True}, "joint: false")]
)
def test_back_translations_are_references_of_single_directions(change, told):
    with pytest.raises(ValueError, match=f"set {told} or back_translated: 0"):
        TaskConfig(**TASK | {"back_translated": 20} | change)


def test_a_direction_without_pairs_lives_on_back_translations(corpus, tmp_path, monkeypatch):
    """The pivot stands beside it, supervised training has nothing to learn from, and silence is one sentence."""
    pairs = Dataset.pairs
    monkeypatch.setattr(
        Dataset,
        "pairs",
        lambda self, split, s, t: [] if (split, s, t) == ("train", "es", "fr") else pairs(self, split, s, t),
    )
    task = TASK | {"directions": ["es-fr"], "back_translated": 20}
    config = settings(corpus, reinforce__tasks=[task], controls=["supervised", "distillation"])
    told = io.StringIO()
    results = run.start(config, tmp_path / "run", Console(file=told, width=200))
    at_the_door, _, after = told.getvalue().partition("supervised training")
    assert "the control supervised is left out: no direction has sentence pairs" in at_the_door
    assert "control: distillation" in after and "control: supervised" not in after
    assert [s.name for s in results.systems] == ["base", "rl", "pivot", "distillation"]
    monkeypatch.setattr(run.RunContext, "translate", lambda self, segments: ["" for _ in segments])
    with pytest.raises(DataError, match="no sentence pairs for es-fr, and the start translates no text back"):
        run.start(config, tmp_path / "silent")


def test_the_reverse_direction_is_checked_at_the_door(corpus, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(Seq2SeqPolicy, "check_directions", lambda self, directions: seen.extend(directions))
    config = settings(corpus, data__max_pairs={"es": 50}, reinforce__tasks=[TASK | {"back_translated": 20}])
    config.supervised = None
    monkeypatch.setattr(stages, "texts_of_tasks", stop)
    with pytest.raises(StopIteration):
        run.start(config, tmp_path / "run")
    assert ("es", "en") in seen


def stop(*_):
    raise StopIteration
