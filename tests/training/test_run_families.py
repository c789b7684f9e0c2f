"""Whole runs that start from tiny models of other families: trained, saved, used again; or refused at the door."""

import io

import pytest
import yaml
from rich.console import Console

from eclectus import inference
from eclectus.config import PolicyConfig
from eclectus.corpora.dataset import prepare
from eclectus.errors import ConfigError, ModelError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.segment import Segment
from eclectus.training import run
from eclectus.training.model_card import write_card
from tests.policies.tiny_models import build
from tests.tiny_run import lines, settings


def front(folder):
    """What a model hub reads of the card of a run's model."""
    return yaml.safe_load((folder / "model" / "README.md").read_text(encoding="utf-8").split("---")[1])


@pytest.mark.parametrize("name", ["nllb", "madlad", "llama", "gemma2"])
def test_a_run_trains_saves_and_is_used_again(corpus, tmp_path, name):
    causal = name in {"llama", "gemma2"}
    model, tokenizer = build(name, tmp_path)
    (CausalPolicy if causal else Seq2SeqPolicy)(model, tokenizer).save(tmp_path / "start")
    prompt = {"template": "{source_language}: {source}\n{target_language}:", "few_shot": {"k": 1}} if causal else {}
    config = settings(
        corpus,
        policy={"path": str(tmp_path / "start"), "prompt": prompt},
        supervised__steps=2,
        supervised__evaluate_every=2,
        supervised__warmup=1,
        reinforce__steps=2,
        reinforce__evaluate_every=2,
    )
    said = Console(record=True, width=200, file=io.StringIO())
    run.start(config, tmp_path / "run", said)
    steps = [row for row in lines(tmp_path / "run") if row["kind"] == "step"]
    assert len(steps) == 2
    assert all(row["grad_norm"] > 0 for row in steps)
    policy, seen = inference.load(str(tmp_path / "run"))
    assert seen is not None
    assert len(policy.translate([Segment("one two", "en", "es")], 8)) == 1
    if causal:
        source = policy.tokenize_sources([Segment("one two", "en", "es")])[0]
        assert (
            policy.tokenizer.decode(source.ids + source.start).count("anish:") == 2
        )  # the one example and the question
        unpaired = policy.tokenize_sources([Segment("uno dos", "es", "fr")])[0]
        prompt = policy.tokenizer.decode(unpaired.ids + unpaired.start)
        assert prompt.count("rench:") == 1  # nothing is shown where a task withholds references
        assert "nothing is shown in es-fr, whose references the tasks withhold" in said.export_text()


def test_a_pool_of_its_own_is_shown_and_saved(corpus, tmp_path):
    """Also in directions without training pairs, and not the training pairs."""
    CausalPolicy(*build("llama", tmp_path)).save(tmp_path / "start")
    (tmp_path / "pool.tsv").write_text("en\tes\nten two\tdiez dos\n", encoding="utf-8")
    pool = {"type": "tsv", "path": str(tmp_path / "pool.tsv"), "header": True}
    prompt = {"template": "{source} =", "few_shot": {"k": 2, "pool": pool}}
    few = {"supervised__steps": 1, "supervised__evaluate_every": 1, "reinforce": None}
    run.start(settings(corpus, policy={"path": str(tmp_path / "start"), "prompt": prompt}, **few), tmp_path / "run")
    policy, _ = inference.load(str(tmp_path / "run"))
    source = policy.tokenize_sources([Segment("one two", "en", "es")])[0]
    assert policy.tokenizer.decode(source.ids + source.start).endswith("ten two = diez dos\n\none two =")


def test_directions_and_languages_are_checked_before_any_training(corpus, tmp_path):
    for name, message in (("bart", "nothing tells it which of"), ("opus_mt_pair", "no language 'fr'")):
        (tmp_path / name).mkdir()
        model, tokenizer = build(name, tmp_path / name)
        Seq2SeqPolicy(model, tokenizer).save(tmp_path / name / "start")
        with pytest.raises(ModelError, match=message):
            run.start(settings(corpus, policy={"path": str(tmp_path / name / "start")}), tmp_path / name / "run")
        assert not (tmp_path / name / "run" / "checkpoints").exists()


def test_adapters_of_a_run_name_the_model_of_the_run_before(corpus, tmp_path):
    short = {"supervised__steps": 2, "supervised__evaluate_every": 2, "reinforce": None}
    first = settings(corpus, **short)
    run.start(first, tmp_path / "first")
    start = {"path": str(tmp_path / "first"), "lora": {"rank": 2, "merge": False}}
    run.start(settings(corpus, policy=start, **short), tmp_path / "second")
    policy, _ = inference.load(str(tmp_path / "second"))
    assert policy.translate([Segment("one two", "en", "es")], 8)


@pytest.mark.parametrize("prompt", [{"few_shot": {"k": 2}}, {"stop": ["."]}, {"chat": "off"}])
def test_an_encoder_decoder_is_asked_by_its_template_alone(corpus, tmp_path, prompt):
    Seq2SeqPolicy(*build("t5", tmp_path)).save(tmp_path / "start")
    policy = {"path": str(tmp_path / "start"), "prompt": {"template": "{target_language}: {source}", **prompt}}
    with pytest.raises(ConfigError, match="asked by the template alone; leave chat, few_shot and stop out"):
        run.start(settings(corpus, policy=policy), tmp_path / "run")


def test_a_run_teaches_a_model_a_language_that_it_had_no_tag_for(corpus, tmp_path):
    pidgin = corpus.with_name("pidgin.tsv")
    pidgin.write_text(corpus.read_text(encoding="utf-8").replace("es", "pcm", 1), encoding="utf-8")
    model, tokenizer = build("nllb", tmp_path)
    Seq2SeqPolicy(model, tokenizer).save(tmp_path / "start")
    config = settings(
        pidgin,
        policy={"path": str(tmp_path / "start"), "add_languages": {"pcm": "es"}},
        data__languages=["en", "pcm", "fr"],
        supervised__steps=2,
        supervised__evaluate_every=2,
        reinforce__steps=2,
        reinforce__evaluate_every=2,
        evaluation__directions=["en-pcm"],
    )
    for task in config.reinforce.tasks:
        task.directions = [task.directions[0].replace("es", "pcm")]
    run.start(config, tmp_path / "run")
    policy, _ = inference.load(str(tmp_path / "run"))
    policy.check_languages(["pcm", "es"])
    head = policy.model.get_output_embeddings().weight
    assert not head[policy.family.token("pcm")].equal(head[policy.family.token("es")])
    before = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    run.resume(tmp_path / "run")
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == before

    config = config.model_copy(deep=True)
    config.policy.add_languages = {}
    with pytest.raises(ModelError, match=r"no language 'pcm'.*policy.add_languages adds one"):
        run.start(config, tmp_path / "again")


def test_the_model_card_holds_data_rewards_and_the_scores_of_every_system(corpus, tmp_path):
    config = settings(corpus, controls=["best_of_n"])
    results = run.start(config, tmp_path / "run")
    card = (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    for name, by_system in results.scores.items():
        assert len(by_system) > 1
        for system in (results.system(key) for key in by_system):
            row = next(line for line in card.splitlines() if line.startswith(f"| {name} ") and system.label in line)
            assert f" {by_system[system.name].chrf:.1f} |" in row
            assert ("**" in row) == (system.role == "system")
    assert {system.role for system in results.systems} >= {"base", "system", "control"}
    assert all(signature in card for signature in results.signatures.values())
    assert "tsv|" in card
    rewards = card.partition("## Rewards\n")[2].partition("\n## ")[0].split()
    assert rewards.count("-") == len(config.reinforce.tasks)
    assert any("[chrF2|" in signature for signature in rewards)
    assert "begun from `random weights`" in card
    found = front(tmp_path / "run")
    assert found["library_name"] == "transformers" and found["pipeline_tag"] == "translation"
    assert "base_model" not in found


def test_the_model_card_names_the_model_of_a_hub_that_a_run_began_from(corpus, tmp_path):
    config = settings(corpus, supervised__steps=1, supervised__evaluate_every=1, reinforce=None)
    results, dataset = run.start(config, tmp_path / "run"), prepare(config.data, config.seed)
    for path, base in (("owner/name", "owner/name"), ("base", None), (str(tmp_path), None)):
        other = config.model_copy(update={"policy": PolicyConfig(path=path)})
        write_card(tmp_path / "run" / "model", other, dataset, results, [])
        found = front(tmp_path / "run")
        assert found.get("base_model") == base and found["library_name"] == "transformers"


@pytest.mark.parametrize(("options", "alone"), [({}, False), ({"merge": False}, True), ({"per_language": True}, True)])
def test_the_model_card_of_adapters_names_peft_and_their_model(corpus, tmp_path, options, alone):
    pytest.importorskip("peft")
    CausalPolicy(*build("llama", tmp_path)).save(tmp_path / "start")
    config = settings(
        corpus,
        policy={"path": str(tmp_path / "start"), "lora": {"rank": 2} | options},
        supervised__steps=1,
        supervised__evaluate_every=1,
        reinforce=None,
    )
    run.start(config, tmp_path / "run")
    found = front(tmp_path / "run")
    assert found["library_name"] == ("peft" if alone else "transformers")
    assert found.get("base_model") == (str(tmp_path / "start") if alone else None)
    assert found["pipeline_tag"] == "text-generation"
