"""Whole runs on a tiny model: they end, resume to the same weights, and refuse what cannot work."""

import io
import itertools
import json

import pytest
import torch
from rich.console import Console

from eclectus import parallel
from eclectus.corpora.dataset import prepare
from eclectus.corpora.seen import SeenText
from eclectus.errors import ConfigError, DataError, EclectusError, RunError
from eclectus.languages import direction, expand_directions
from eclectus.policies.distinct import Distinct
from eclectus.policies.load import load_policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rewards.base import Reward
from eclectus.rewards.composite.combine import CompositeReward, CompositeScores
from eclectus.rewards.fluency import Fluency
from eclectus.seeds import derive
from eclectus.segment import Segment
from eclectus.training import controls, run, supervised
from eclectus.training.batches import PairBatches
from eclectus.training.supervised import train_supervised
from eclectus.training.tracking import Tracker
from eclectus.training.validation import DevSet
from tests.tiny_run import lines, same_weights, settings, stopped, weights


@pytest.fixture
def finished(corpus, tmp_path):
    folder = tmp_path / "run"
    run.start(settings(corpus), folder)
    return folder


def test_a_run_leaves_everything_it_promises(finished):
    for name in ("config.yaml", "data.json", "evaluation.json", "translations.jsonl", "samples.jsonl", "report.html"):
        assert (finished / name).stat().st_size > 0, name
    for name in ("model.safetensors", "tokenizer.json", "config.json", "README.md", "training_text.npy"):
        assert (finished / "model" / name).stat().st_size > 0, name
    steps = [row for row in lines(finished) if row["kind"] == "step"]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    for key in (
        "reward",
        "reward/new",
        "parts/new/pivot",
        "entropy",
        "off_target",
        "zero_signal",
        "distinct",
        "samples_per_second",
    ):
        assert key in steps[0], key
    results = json.loads((finished / "evaluation.json").read_text(encoding="utf-8"))
    assert [s["name"] for s in results["systems"]] == ["base", "rl", "pivot"]
    assert set(results["scores"]) == {"es-fr", "en-es"}


def test_same_seed_same_weights_another_seed_others(corpus, finished, tmp_path):
    run.start(settings(corpus), tmp_path / "again")
    run.start(settings(corpus, seed=6), tmp_path / "other")
    assert same_weights(finished, tmp_path / "again")
    assert not same_weights(finished, tmp_path / "other")


def test_samples_that_are_not_merged_teach_the_same(corpus, finished, tmp_path, monkeypatch):
    asked, plain = set(), Distinct.of
    monkeypatch.setattr(Distinct, "of", lambda *rows, merge: (asked.add(merge), plain(*rows, merge=merge))[1])
    run.start(settings(corpus, policy__merge_samples=False), tmp_path / "apart")
    assert asked == {False}
    one, other = weights(finished), weights(tmp_path / "apart")
    assert max(float((one[key] - other[key]).abs().max()) for key in one) < 1e-5


@pytest.mark.parametrize(("kind", "step"), [("supervised", 5), ("reinforce", 3), ("reinforce", 4)])
def test_interrupted_and_resumed_equals_uninterrupted(corpus, finished, tmp_path, monkeypatch, kind, step):
    folder = tmp_path / "stopped"

    def when(at, note):
        return (kind == "supervised") == note.startswith("loss") and at >= step

    stopped(settings(corpus), folder, monkeypatch, when, "--resume")
    assert not (folder / "model").exists()
    run.resume(folder)
    assert same_weights(finished, folder)
    steps = [row["step"] for row in lines(folder) if row["kind"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 6]
    spent, again = (
        [(r["stage"], r["step"], r["tokens"]) for r in lines(f) if r["kind"] == "dev"] for f in (finished, folder)
    )
    assert spent == again


def test_a_finished_stage_keeps_no_more_than_a_resumed_run_reads(finished):
    kept = sorted(path.relative_to(finished / "checkpoints") for path in finished.glob("checkpoints/*/*/*.safetensors"))
    assert [path.parts[0] for path in kept] == ["reinforce", "supervised"]
    assert {path.name for path in kept} == {"best.safetensors"}


def test_a_training_that_only_harms_keeps_the_loaded_model(corpus, finished, tmp_path):
    config = settings(corpus, policy={"path": str(finished / "model")}, supervised__learning_rate=3.0, reinforce=None)
    run.start(config, tmp_path / "harmed")
    dev = [row for row in lines(tmp_path / "harmed") if row["kind"] == "dev"]
    assert [(row["step"], row["selected"]) for row in dev] == [(0, True), (6, False), (12, False)]
    assert (dev[0]["seconds"], dev[0]["tokens"]) == (0, 0) and dev[1]["tokens"] > 0
    assert same_weights(finished, tmp_path / "harmed")
    results = json.loads((tmp_path / "harmed" / "evaluation.json").read_text(encoding="utf-8"))
    assert [(s["name"], s["role"]) for s in results["systems"]] == [("loaded", "base"), ("supervised", "system")]
    assert all(scores["loaded"] == scores["supervised"] for scores in results["scores"].values())


def test_chosen_directions_choose_the_supervised_checkpoint(corpus, tmp_path):
    config = settings(corpus, supervised__dev_directions=["*-fr"], reinforce=None)
    run.start(config, tmp_path / "run")
    policy, _ = load_policy(str(tmp_path / "run" / "model"))
    dataset = prepare(config.data, config.data.split_seed)
    dev = DevSet({f"{s}-fr": dataset.pairs("dev", s, "fr")[:6] for s in ("en", "es")}, dataset.languages)
    best = max(row["score"] for row in lines(tmp_path / "run") if row["kind"] == "dev")
    assert dev.score(dev.translate(policy, 8)).chrf == pytest.approx(best, abs=1e-5) and best > 0


def test_dev_records_count_the_tokens_that_were_trained_on(corpus, tmp_path):
    config = settings(corpus, reinforce__steps=1, supervised__steps=2, supervised__evaluate_every=1)
    run.start(config, tmp_path / "run")
    policy, _ = load_policy(str(tmp_path / "run" / "model"))
    dataset = prepare(config.data, config.data.split_seed)
    pairs = {
        direction(s, t): dataset.pairs("train", s, t)
        for s, t in expand_directions(config.supervised.directions, config.data.languages)
    }
    batches = PairBatches(policy, pairs, 200, config.supervised.temperature, derive(config.seed, "supervised"))
    counts = [sum(len(pair.source.ids) + len(pair.target) for pair in batches.next()) for _ in range(2)]
    dev = {(r["stage"], r["step"]): r["tokens"] for r in lines(tmp_path / "run") if r["kind"] == "dev"}
    assert [dev["supervised", 1], dev["supervised", 2]] == [counts[0], sum(counts)]
    (step,) = [row for row in lines(tmp_path / "run") if row["kind"] == "step"]
    # 6 sources, 3 samples of each; `length` is the mean length of a sample.
    assert dev["reinforce", 0] == 0
    assert dev["reinforce", 1] > round(18 * step["length"]) + 6


def test_models_of_the_rewards_are_saved_and_judge_again(corpus, tmp_path):
    task = {"name": "new/one", "directions": ["es-fr", "fr-es"], "reward": {"terms": [{"type": "fluency"}]}}
    run.start(settings(corpus, reinforce__tasks=[task], evaluation__directions=["es-fr"]), tmp_path / "run")
    saved = tmp_path / "run" / "rewards" / "0-new_one" / "fluency"
    assert sorted(path.name for path in saved.iterdir()) == ["es.npz", "fr.npz"]
    reward = Fluency(Fluency.Options(path=saved))
    good, bad = reward([Segment("", "es", "fr")] * 2, ["deux trois un", "xuort kfl"])
    assert good > 0.2 and bad < 0.01


def test_killed_between_checkpoints_resumes_to_the_same_weights(corpus, finished, tmp_path, monkeypatch):
    folder = tmp_path / "killed"
    advance = Tracker.advance

    def die(self, at, note):
        advance(self, at, note)
        if note.startswith("reward") and at == 5:  # the checkpoint is of step 4
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "advance", die)
        with pytest.raises(MemoryError):
            run.start(settings(corpus), folder)
    run.resume(folder)
    assert same_weights(finished, folder)
    assert [row["step"] for row in lines(folder) if row["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_resuming_a_finished_run_changes_nothing(finished):
    before = weights(finished)
    run.resume(finished)
    assert all(torch.equal(before[k], v) for k, v in weights(finished).items())


def test_controls_stand_beside_the_result(corpus, tmp_path):
    asked = ["constant_reward", "supervised", "distillation", "best_of_n"]
    run.start(settings(corpus, controls=asked), tmp_path / "run")
    results = json.loads((tmp_path / "run" / "evaluation.json").read_text(encoding="utf-8"))
    names = ["base", "rl", "pivot", "constant_reward", "supervised_continued", "distillation", "best_of_n"]
    assert [s["name"] for s in results["systems"]] == names
    assert set(results["scores"]["es-fr"]) == set(names)
    assert "best_of_n" not in results["scores"]["en-es"]  # its reward knows the reference
    told = {s["name"]: s["description"] for s in results["systems"]}
    for name in ("rl", "constant_reward", "supervised_continued", "distillation"):
        stage = "reinforce" if name == "rl" else name
        step = json.loads((tmp_path / "run" / "stages" / f"{stage}.json").read_text(encoding="utf-8"))["best_step"]
        kept = f"the weights of step {step} were kept" if step else "than the start, which was kept"
        assert told[name].endswith(kept), name


@pytest.mark.parametrize(("own", "peak"), [(None, 1e-3), (0.02, 0.02)])
def test_controls_that_train_on_pairs_have_their_own_rate(corpus, tmp_path, monkeypatch, own, peak):
    used = []

    def watched(policy, config, *rest, **options):
        used.append(config.learning_rate)
        return train_supervised(policy, config, *rest, **options)

    monkeypatch.setattr(controls, "train_supervised", watched)
    changes = {
        "supervised__learning_rate": 3e-3,
        "control_learning_rate": own,
        "controls": ["supervised", "distillation"],
    }
    config = settings(corpus, **changes)
    run.start(config, tmp_path / "run")
    assert used == [pytest.approx(peak)] * 2
    loaded = config.model_copy(update={"supervised": None})
    assert controls.continued(loaded).learning_rate == (own or loaded.reinforce.learning_rate)


def test_without_pairs_and_translations_controls_have_nothing_to_do(corpus, tmp_path, monkeypatch):
    said = Console(record=True, width=200, file=io.StringIO())
    asked = ["distillation", "back_translation", "iterative_back_translation"]
    task = {"name": "new", "directions": ["es-fr"], "select_by": "reward", "reward": {"terms": [{"type": "constant"}]}}
    monkeypatch.setattr(run.RunContext, "translate", lambda self, segments: [""] * len(segments))
    monkeypatch.setattr(Seq2SeqPolicy, "translate", lambda self, segments, max_length: [""] * len(segments))
    run.start(settings(corpus, controls=asked, reinforce__tasks=[task]), tmp_path / "run", said)
    assert said.export_text().count("every translation is empty") == 2 + controls._ROUNDS


def test_a_reward_that_only_compares_samples_chooses_no_checkpoint_and_has_no_dev_value(corpus, tmp_path):
    task = {
        "name": "new",
        "directions": ["es-fr"],
        "reward": {"terms": [{"type": "consensus"}], "gates": [{"type": "nonempty"}]},
    }
    chosen = settings(corpus, reinforce__tasks=[task | {"select_by": "reward"}])
    with pytest.raises(ConfigError, match=r"tasks.0.select_by': the reward only compares .* set select_by: reference"):
        run.start(chosen, tmp_path / "chosen")
    assert not (tmp_path / "chosen" / "config.yaml").exists()
    run.start(settings(corpus, reinforce__tasks=[task], controls=[]), tmp_path / "run")
    dev = [record for record in lines(tmp_path / "run") if record["kind"] == "dev" and record["stage"] == "reinforce"]
    assert dev and not any("reward/new" in record for record in dev)
    alone = {"terms": [{"type": "consensus"}, {"type": "fluency"}]}
    both = task | {"select_by": "reward", "reward": alone}
    run.start(settings(corpus, reinforce__tasks=[both], controls=[]), tmp_path / "both")


def test_training_without_any_pair_is_refused_in_a_sentence(corpus, tmp_path):
    config = settings(corpus, supervised__directions=["en-es"], data__max_pairs={"es": 0}, reinforce=None)
    with pytest.raises(DataError, match="no sentence pairs to train on in en-es"):
        run.start(config, tmp_path / "run")


def test_best_of_n_judges_all_languages_of_a_joint_task_together(corpus, tmp_path, monkeypatch):
    asked = []

    def judged(self, segments, hypotheses, **options):
        asked.append(({s.direction for s in segments}, options.get("finished") is not None))
        return score_groups(self, segments, hypotheses, **options)

    score_groups = CompositeReward.score_groups
    monkeypatch.setattr(CompositeReward, "score_groups", judged)
    reward = {"terms": [{"type": "joint"}]}
    tasks = [{"name": "all", "directions": ["en-es", "en-fr"], "joint": True, "reward": reward}]
    config = settings(corpus, controls=["best_of_n"], reinforce__tasks=tasks, evaluation__directions=["en-es", "en-fr"])
    run.start(config, tmp_path / "run")
    assert asked[-1] == ({"en-es", "en-fr"}, True)


def test_what_nobody_judged_is_not_the_best(corpus, tmp_path, monkeypatch):
    """Rewards may lie below zero, and a sample without any is chosen only where there is nothing else."""
    score_groups, third = CompositeReward.score_groups, []

    def judged(self, segments, hypotheses, **options):
        if len(hypotheses[0]) != controls._BEST_OF:
            return score_groups(self, segments, hypotheses, **options)
        third.extend(group[2] for group in hypotheses)
        return CompositeScores([[None, -5.0, -3.0, *[None] * 5]] * len(segments), {})

    monkeypatch.setattr(CompositeReward, "score_groups", judged)
    run.start(settings(corpus, controls=["best_of_n"]), tmp_path / "run")
    outputs = json.loads((tmp_path / "run" / "outputs" / "best_of_n.json").read_text(encoding="utf-8"))
    assert third and outputs["outputs"]["es-fr"] == third


def test_controls_that_train_on_pairs_go_on_as_the_run_trains(corpus):
    changes = {"supervised__label_smoothing": 0.05, "supervised__denoising": {"languages": ["es"]}}
    config = settings(corpus, reinforce__optimizer="adamw_8bit", **changes)
    found = controls.continued(config)
    assert (found.batch_tokens, found.label_smoothing, found.optimizer) == (200, 0.05, "adamw")
    assert found.denoising is None  # they are given pairs alone
    assert controls.continued(config.model_copy(update={"supervised": None})).optimizer == "adamw_8bit"


def test_controls_are_judged_as_often_as_reinforcement_learning_and_warm_up_in_a_tenth_of_their_time(
    corpus, tmp_path, monkeypatch
):
    ticks, rates = itertools.count(), []

    def scheduled(peak, step, steps, warmup, floor):
        if steps != 12:  # the run's own supervised part
            rates.append((step, steps, warmup))
        return peak

    monkeypatch.setattr(parallel, "now", lambda: next(ticks) * 0.01)
    monkeypatch.setattr(supervised, "scheduled", scheduled)
    monkeypatch.setattr(controls, "_ROUNDS", 2)
    changes = {"controls": ["supervised", "iterative_back_translation"]}
    config = settings(corpus, reinforce__steps=60, reinforce__evaluate_every=15, **changes)
    run.start(config, tmp_path / "run")
    judged = {}
    for row in lines(tmp_path / "run"):
        if row["kind"] == "dev" and row["step"]:
            judged.setdefault(row["stage"], []).append(row["seconds"])
    whole = judged["supervised_continued"]
    assert judged["reinforce"][0] == pytest.approx(0.15)  # fifteen steps of a tick, the one that is judged included
    assert len(judged["reinforce"]) == len(whole) == 4
    assert [at / whole[-1] for at in whole] == [pytest.approx(part, abs=0.06) for part in (0.25, 0.5, 0.75, 1)]
    assert [len(judged[f"iterative_back_translation-{number}"]) for number in (1, 2)] == [2, 2]
    # Its pace is known once a step is done.
    assert all(warmup == min(50, steps // 10) for step, steps, warmup in rates if step > 1)
    assert max(warmup for step, _, warmup in rates if step > 3) < 25


def test_a_run_that_kept_its_start_says_so(corpus, tmp_path):
    said = Console(record=True, width=200, file=io.StringIO())
    task = {"name": "new", "directions": ["es-fr"], "select_by": "reward", "reward": {"terms": [{"type": "constant"}]}}
    results = run.start(settings(corpus, reinforce__tasks=[task]), tmp_path / "run", said)
    sentence = "no step did better on dev than the start, which was kept"
    assert results.system("rl").description == f"all steps done; {sentence}"
    assert f"reinforce: {sentence}" in said.export_text()


def test_constant_reward_gives_no_policy_gradient(corpus, tmp_path):
    run.start(settings(corpus, controls=["constant_reward"]), tmp_path / "run")
    rows = [r for r in lines(tmp_path / "run") if r["stage"] == "constant_reward" and r["kind"] == "step"]
    assert len(rows) == 6
    assert all(row["zero_signal"] == 1.0 and row["reward"] == 1.0 for row in rows)


def shown(self, segments):
    """Demonstrations of a reward; it has none for 'uno'."""
    return ["" if "uno" in s.source else f"un {s.source}" for s in segments]


def test_tasks_learn_from_what_their_rewards_compare_with(corpus, tmp_path, monkeypatch):
    """Each prompt from its own, in RL and in the control that rewards everything alike."""
    from eclectus.rewards.pivot import Pivot
    from eclectus.training import reinforce

    learnt, of_step = [], reinforce.demonstrations

    def spy(tasks, owners, segments, step):
        learnt.append((owners, segments, of_step(tasks, owners, segments, step)))
        return learnt[-1][2]

    monkeypatch.setattr(reinforce, "demonstrations", spy)
    monkeypatch.setattr(Pivot, "demonstrations", shown)
    pivot = {"terms": [{"type": "pivot", "refresh": 2}], "gates": [{"type": "nonempty"}]}
    new = {
        "name": "new",
        "directions": ["es-fr"],
        "select_by": "reward",
        "mle": 0.5,
        "mle_of": "pivot",
        "reward": pivot,
    }
    chrf = {"terms": [{"type": "chrf"}]}
    old = {"name": "old", "directions": ["en-es"], "references": True, "mle": 0.1, "reward": chrf}
    plain = {"name": "plain", "directions": ["fr-es"], "reward": {"terms": [{"type": "fluency"}]}}
    config = settings(corpus, reinforce__tasks=[new, old, plain], controls=["constant_reward"])
    run.start(config, tmp_path / "run")
    assert len(learnt) == 12
    texts = [(owner, s, text) for step in learnt for owner, s, text in zip(*step, strict=True)]
    assert all(text == (shown(None, [s])[0] or None) for owner, s, text in texts if owner == 0)
    assert {text is None for owner, _, text in texts if owner == 0} == {False, True}
    assert all(text == (s.reference if owner == 1 else None) for owner, s, text in texts if owner > 0)
    rows = lines(tmp_path / "run")
    assert [r["reward"] == 1.0 for r in rows if r["kind"] == "step"] == [False] * 6 + [True] * 6
    rl, control = (
        [r for r in rows if r["kind"] == "dev" and r["stage"] == s] for s in ("reinforce", "constant_reward")
    )
    for key in ("score", "reward/new", "reward/old", "chrf/old"):
        assert rl[0][key] == control[0][key], key  # the same weights, judged by the same measure


class Teacher(Reward):
    """A user's own reward that makes translations."""

    def __call__(self, segments, hypotheses):
        return [float(h == d) for h, d in zip(hypotheses, shown(self, segments), strict=True)]

    demonstrations = shown


def test_a_reward_of_the_users_own_teaches_by_its_type(corpus, tmp_path):
    task = {"name": "new", "directions": ["es-fr"], "mle": 0.5, "mle_of": f"{__name__}:Teacher"}
    task["reward"] = {"terms": [{"type": f"{__name__}:Teacher"}]}
    run.start(settings(corpus, reinforce__tasks=[task], controls=["constant_reward"]), tmp_path / "run")
    assert all(r["mle_loss"] > 0 for r in lines(tmp_path / "run") if r["kind"] == "step")


def test_a_reward_without_translations_of_its_own_teaches_nothing(corpus, tmp_path):
    task = {"name": "new", "directions": ["es-fr"], "mle": 0.5, "mle_of": "fluency"}
    task["reward"] = {"terms": [{"type": "pivot"}, {"type": "fluency"}]}
    for kind in ("fluency", "round_trip"):
        with pytest.raises(ConfigError, match=rf"'reinforce.tasks.0': mle_of: '{kind}' is no part of the reward that"):
            run.start(settings(corpus, reinforce__tasks=[task | {"mle_of": kind}]), tmp_path / kind)


@pytest.mark.parametrize("part", ["reinforce", "supervised"])
def test_a_direction_without_dev_text_is_found_before_any_training(part, tmp_path, corpus):
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    rows = [line.split("\t") for line in corpus.read_text(encoding="utf-8").splitlines()]
    one.write_text("\n".join("\t".join(row[:2]) for row in rows) + "\n", encoding="utf-8")
    two.write_text("fr\n" + "\n".join(row[2] for row in rows[1:]) + "\n", encoding="utf-8")
    apart = [{"type": "tsv", "path": str(path), "header": True} for path in (one, two)]
    told = {"data__corpora": apart, "evaluation__directions": ["en-es"]}
    if part == "supervised":
        told |= {"supervised__directions": ["en-es"], "supervised__dev_directions": ["fr-es"]}
        told["reinforce__tasks"] = [{"name": "old", "directions": ["en-es"], "reward": {"terms": [{"type": "pivot"}]}}]
    else:
        told["supervised__directions"] = ["en-es"]
    with pytest.raises(DataError, match=r"direction '(es-fr|fr-es)' has no dev segments"):
        run.start(settings(corpus, **told), tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_dev_text_that_the_loaded_model_was_trained_on_chooses_no_checkpoint(corpus, finished, tmp_path, monkeypatch):
    """Another split holds out what the model has learnt, which looks perfect."""
    again = settings(corpus, policy={"path": str(finished)}, data__split_seed=9, supervised=None)
    rows = prepare(again.data, 9).pairs("dev", "es", "fr")
    _, seen = load_policy(str(finished / "model"))
    known = [row for row in rows if row.source in seen or row.reference in seen]
    assert known and len(known) < len(rows)
    translate, used = DevSet.translate, []

    def watched(self, *rest):
        used.append(self.segments["es-fr"])
        return translate(self, *rest)

    monkeypatch.setattr(DevSet, "translate", watched)
    run.start(again, tmp_path / "again")
    assert used and used[0] == [row for row in rows if row not in known][:6]
    data = prepare(again.data, 9)
    every = SeenText.of(row.source for row in rows)
    with pytest.raises(DataError, match="all 12 dev segments of es-fr are in the text that the model was trained on"):
        data.held_out("dev", [("es", "fr")], every)


def test_references_of_withheld_tasks_reach_no_reward(corpus, tmp_path, monkeypatch):
    from eclectus.rewards.composite.combine import CompositeReward

    seen = []
    score = CompositeReward.score_groups

    def spy(self, segments, hypotheses, **step):
        seen.extend(segments)
        return score(self, segments, hypotheses, **step)

    monkeypatch.setattr(CompositeReward, "score_groups", spy)
    run.start(settings(corpus), tmp_path / "run")
    assert {s.direction for s in seen} == {"es-fr", "en-es"}
    assert all(s.reference is None for s in seen if s.direction == "es-fr")
    assert all(s.reference is not None for s in seen if s.direction == "en-es")


def test_a_second_run_holds_out_what_the_first_model_saw(corpus, finished, tmp_path):
    config = settings(corpus, policy={"path": str(finished / "model")}, supervised=None, data__split_seed=2)
    run.start(config, tmp_path / "second")
    results = json.loads((tmp_path / "second" / "evaluation.json").read_text(encoding="utf-8"))
    # Another split seed draws mostly text that the model was trained on; only what it never met is scored.
    assert all(scores["base"]["n"] < 12 for scores in results["scores"].values())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"reinforce__algorithm": {"type": "rlo"}}, ConfigError, "unknown type 'rlo'; did you mean 'rloo'"),
        ({"reinforce__algorithm": {"type": "grpo", "clip": 1}}, ConfigError, "unknown key 'reinforce.algorithm.clip'"),
        ({"reinforce__samples": 1}, ConfigError, "'rloo' compares the samples of one source .* at least 2, not 1"),
        ({"reinforce__algorithm": {"type": "mixer"}}, ConfigError, "learns from references, which the task 'new'"),
        ({"device": "cuda:99"}, RunError, "device: 'cuda:99' cannot be used"),
        ({"evaluation__directions": ["es-it"]}, ConfigError, "'it', which is not among the run's languages"),
        ({"supervised__dev_directions": ["en-it"]}, ConfigError, "'it', which is not among the run's languages"),
        ({"policy": {"path": "/nothing/here"}, "supervised": None}, EclectusError, "cannot load '/nothing/here'"),
    ],
)
def test_mistakes_are_found_before_the_first_step(corpus, tmp_path, changes, error, message):
    folder = tmp_path / "run"
    with pytest.raises(error, match=message):
        run.start(settings(corpus, **changes), folder)
    assert not (folder / "checkpoints").exists()


def test_reward_that_needs_references_in_a_task_without_them(corpus, tmp_path):
    config = settings(corpus)
    config.reinforce.tasks[0].reward.terms[0].type = "bleu"
    with pytest.raises(ConfigError, match=r"reinforce.tasks.0.reward.*needs references"):
        run.start(config, tmp_path / "run")


def test_existing_output_is_not_touched(corpus, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(RunError, match=r"exists; choose another --output"):
        run.start(settings(corpus), folder)
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]


def test_language_without_text_is_named(corpus, tmp_path):
    with pytest.raises(DataError, match="German"):
        run.start(settings(corpus, data__languages=["en", "es", "fr", "de"]), tmp_path / "run")


def test_resume_of_something_else_is_one_sentence(tmp_path):
    with pytest.raises(RunError, match="is no run"):
        run.resume(tmp_path)


def test_what_will_be_left_out_is_said_before_any_training(corpus, tmp_path):
    """300 texts are enough for `fluency` in three languages, unless it is told otherwise."""
    told = io.StringIO()
    reward = {"terms": [{"type": "fluency", "min_texts": 1000}]}
    tasks = [{"name": "old", "directions": ["en-es"], "references": True, "reward": reward}]
    config = settings(corpus, reinforce__tasks=tasks, controls=["best_of_n"])
    results = run.start(config, tmp_path / "run", Console(file=told, width=200))
    at_the_door, _, after = told.getvalue().partition("supervised training")
    assert "task 'old': 'fluency' judges no translation into 'es': it has 276 distinct texts" in at_the_door
    assert "the control best_of_n is left out: every task uses references" in at_the_door
    assert "control: best" not in after and [s.name for s in results.systems] == ["base", "rl"]
