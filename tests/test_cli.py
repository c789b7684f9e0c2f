"""The command line as a user meets it: every command on a tiny corpus, and every mistake as one sentence."""

import copy
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from safetensors import SafetensorError

from eclectus import inference, recipes
from eclectus.training import checkpoint, run
from eclectus.training.tracking import Tracker
from tests.commands import eclectus, heavy_imports, refused

NUMBERS = {
    "en": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    "es": ["uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"],
}
CONFIG = """
title: numbers
seed: 5
threads: 1
device: cpu
data: {languages: [en, es], corpora: [{type: tsv, path: PATH, columns: [en, es]}], dev: 8, test: 8}
policy: {new: {vocabulary: 120, d_model: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, ffn: 32}}
supervised: {steps: 8, batch_tokens: 200, warmup: 2, evaluate_every: 4}
reinforce:
  steps: 5
  segments: 4
  samples: 3
  max_length: 8
  evaluate_every: 2
  checkpoint_every: 2
  tasks: [{name: pairs, directions: ["*-*"], references: true, reward: {terms: [{type: chrf}]}}]
evaluation: {dev_segments: 4, max_length: 8, resamples: 100}
"""


def write_pairs(path, first=0, last=300):
    """Pairs of three-digit numbers in words."""
    lines = []
    for number in range(first, last):
        digits = [number // 100, number // 10 % 10, number % 10]
        lines.append("\t".join(" ".join(words[digit] for digit in digits) for words in NUMBERS.values()))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_config(folder, corpus, **changes):
    values = yaml.safe_load(CONFIG.replace("PATH", str(corpus)))
    path = folder / "numbers.yaml"
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return path


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that was trained from a TSV through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    config = write_config(folder, write_pairs(folder / "numbers.tsv"))
    outcome = eclectus("train", config, "--output", folder / "run", "--quiet")
    assert outcome.code == 0, outcome
    assert str(folder / "run" / "report.html") in outcome.out.replace("\n", "")
    return folder / "run"


@pytest.fixture
def corpus(tmp_path):
    return write_pairs(tmp_path / "numbers.tsv")


@pytest.fixture
def config(tmp_path, corpus):
    return write_config(tmp_path, corpus)


# Help, version, recipes


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_language_is_printed_whatever_the_terminal_writes(tmp_path, encoding):
    script = (
        "import sys; from eclectus.cli import app; app._write_any_language(); print('تحيات, Grüße', file=sys.stderr)"
    )
    known = {**os.environ, "PYTHONIOENCODING": encoding}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, env=known, check=True)
    said = ended.stderr.decode(encoding)
    assert said.startswith("\\u062a") and ("Grüße" in said or encoding == "ascii")


def test_help_and_recipes_need_nothing_heavy(tmp_path):
    commands = [["--help"], ["--version"], ["train", "--help"], ["recipe", "list"], ["recipe", "show", "quickstart"]]
    # A mistake in a configuration shows at once as well.
    commands += [["train", "my-corpus", "--set", "seed=x"], ["train", "nosuch"], ["train"]]
    ended = heavy_imports(tmp_path, commands)
    assert ended.stdout == "[]\n"
    assert ended.stderr.count("eclectus: ") == 3
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["quickstart", "train", "evaluate", "translate", "report", "recipe"])
def test_every_command_explains_itself(command):
    outcome = eclectus(command, "--help")
    assert outcome.code == 0
    assert "Usage: eclectus" in outcome.out
    assert command in eclectus("--help").out


def test_the_list_of_commands_cuts_no_summary():
    assert "..." not in eclectus("--help").out.partition("Commands:")[2]


def test_recipes_are_listed_and_shown():
    listed = eclectus("recipe", "list").out
    assert [line.split()[0] for line in listed.splitlines()] == recipes.names()
    assert eclectus("recipe", "show", "my-corpus").out == recipes.read("my-corpus")
    assert "did you mean 'quickstart'" in refused("recipe", "show", "quikstart")


@pytest.mark.parametrize("name", ["ddp", "fsdp", "deepspeed"])
def test_configurations_of_accelerate_are_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"--config_file {name}.yaml -m eclectus train" in eclectus("recipe", "accelerate", name).out
    written = (tmp_path / f"{name}.yaml").read_text(encoding="utf-8")
    assert written == recipes.read_accelerate(name) and yaml.safe_load(written)["num_processes"] == 2
    assert "exists" in refused("recipe", "accelerate", name)
    assert "did you mean 'fsdp'" in refused("recipe", "accelerate", "fdsp")


def test_recipe_copy_refuses_to_overwrite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "eclectus train my-corpus.yaml" in eclectus("recipe", "copy", "my-corpus").out
    path = tmp_path / "my-corpus.yaml"
    path.write_text("mine", encoding="utf-8")
    assert "exists" in refused("recipe", "copy", "my-corpus")
    assert path.read_text(encoding="utf-8") == "mine"
    assert eclectus("recipe", "copy", "my-corpus", "other.yaml").code == 0
    assert (tmp_path / "other.yaml").read_text(encoding="utf-8") == recipes.read("my-corpus")


# The way of a user's own corpus: train, evaluate, translate, report


def test_train_says_what_came_out(finished):
    results = json.loads((finished / "evaluation.json").read_text(encoding="utf-8"))
    assert set(results["scores"]) == {"en-es", "es-en"}
    weights, config = ((finished / "model" / name).stat() for name in ("model.safetensors", "config.json"))
    assert weights.st_size > 0 and weights.st_mode == config.st_mode  # whoever may read one may read the other


def test_evaluate_prints_scores_with_signatures(finished, tmp_path):
    unseen = tmp_path / "unseen.tsv"
    # More columns than the two languages, and text that the run never met.
    unseen.write_text("en\tfr\tes\nten ten ten\tdix dix dix\tdiez diez diez\n", encoding="utf-8")
    outcome = eclectus("evaluate", finished, unseen, "--from", "en", "--to", "es", "--save", tmp_path / "made.txt")
    assert outcome.code == 0, outcome
    assert "BLEU|nrefs:1" in outcome.out
    assert "chrF++|nrefs:1" in outcome.out
    assert "Not held out" not in outcome.out
    assert len((tmp_path / "made.txt").read_text(encoding="utf-8").splitlines()) == 1


def test_evaluate_says_that_text_was_trained_on(finished, corpus):
    outcome = eclectus("evaluate", finished, corpus, "--from", "en", "--to", "es", "--columns", "en,es")
    assert outcome.code == 0, outcome
    assert "Not held out" in outcome.out


def test_evaluate_reads_jsonl_and_a_model_folder(finished, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"en": "ten one", "es": "diez uno"}\n{"en": "ten"}\n', encoding="utf-8")
    outcome = eclectus("evaluate", finished / "model", path, "--from", "es", "--to", "en", "--beams", 2)
    assert outcome.code == 0, outcome
    assert "es-en" in outcome.out


def test_evaluate_keeps_the_codes_of_a_memory(finished, tmp_path):
    seg = "<tuv xml:lang='{}'><seg>{}<ph>%s</ph></seg></tuv>".format
    body = f"<header/><body><tu>{seg('en', 'one two ')}{seg('es', 'uno dos ')}</tu></body>"
    path = tmp_path / "a.tmx"
    path.write_text(f"<tmx version='1.4'>{body}</tmx>", encoding="utf-8")
    words = ("evaluate", finished, path, "--from", "en", "--to", "es")
    told = "codes that look like placeholders (%s, {name}) were dropped, 2 in 2 texts; set --codes keep"
    outcome = eclectus(*words)
    assert outcome.code == 0 and told in " ".join(outcome.out.split()), outcome
    outcome = eclectus(*words, "--codes", "keep")
    assert outcome.code == 0 and "placeholders" not in outcome.out, outcome
    path = tmp_path / "a.tsv"
    path.write_text("en\tes\none\tuno\n", encoding="utf-8")
    outcome = eclectus("evaluate", finished, path, "--from", "en", "--to", "es", "--codes", "keep")
    assert outcome.code == 2 and "--codes is for TMX and XLIFF" in outcome.err


def test_evaluate_compares_with_the_first_of_several_translations(finished, tmp_path):
    path, saved = tmp_path / "pairs.jsonl", tmp_path / "out.txt"
    rows = [
        {"en": "ten one", "es": ["diez uno", "diez y uno"]},
        {"en": "\u200b", "es": "uno"},
        {"en": "six", "es": "\u200b"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outcome = eclectus("evaluate", finished, path, "--from", "en", "--to", "es", "--save", saved)
    assert outcome.code == 0, outcome
    assert len(saved.read_text(encoding="utf-8").splitlines()) == 1


def test_evaluate_takes_a_source_in_lines_of_its_own_once(finished, tmp_path):
    shown = []
    for name, further in (("once", ""), ("twice", "ten one\tdiez y uno\nten  one\tuno\n")):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "pairs.tsv"
        path.write_text(f"en\tes\nten one\tdiez uno\nsix\tseis\n{further}", encoding="utf-8")
        saved = tmp_path / f"{name}.txt"
        outcome = eclectus("evaluate", finished, path, "--from", "en", "--to", "es", "--save", saved)
        assert outcome.code == 0, outcome
        shown.append((outcome.out, saved.read_text(encoding="utf-8")))
    assert shown[0] == shown[1]
    assert len(shown[0][1].splitlines()) == 2


def test_half_a_character_is_left_out(finished, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"en": "ten \\ud83d", "es": "diez"}\n', encoding="utf-8")
    assert eclectus("evaluate", finished, path, "--from", "en", "--to", "es").code == 0
    whole = eclectus("translate", finished, "--from", "en", "--to", "es", "ten ")
    assert eclectus("translate", finished, "--from", "en", "--to", "es", "ten \udcff").out == whole.out


def test_evaluate_reads_a_translation_memory(finished, tmp_path):
    path = tmp_path / "memory.tmx"
    variants = '<tuv xml:lang="en-US"><seg>ten one</seg></tuv><tuv xml:lang="es-ES"><seg>diez uno</seg></tuv>'
    path.write_text(f"<tmx><body><tu>{variants}</tu></body></tmx>", encoding="utf-8")
    outcome = eclectus("evaluate", finished, path, "--from", "en", "--to", "es")
    assert outcome.code == 0, outcome
    assert "en-es, memory.tmx" in outcome.out


def test_what_was_cut_is_told(finished, tmp_path):
    direction = ("--from", "en", "--to", "es")
    assert not eclectus("translate", finished, *direction, "one two").err
    long = eclectus("translate", finished, *direction, "one two", "one two " * 400)
    assert "1 of 2 texts are longer than the model reads and were cut; give one sentence a line" in long.err
    short = eclectus("translate", finished, *direction, "--max-length", 1, "one two three")
    assert len(short.out.split()) <= 1
    path = tmp_path / "long.tsv"
    path.write_text("en\tes\n" + "one two " * 400 + "\tuno dos\n", encoding="utf-8")
    assert "1 of 1 texts are longer" in eclectus("evaluate", finished, path, *direction).out


def test_translate_keeps_lines_in_step(finished, tmp_path):
    direction = ("--from", "en", "--to", "es")
    given = eclectus("translate", finished, *direction, "one two", "three").out
    assert len(given.splitlines()) == 2
    # A blank line stays one, and a line separator inside a text ends none.
    text = "one two\n\nthree\r\nfour\u2028five\n"
    piped = eclectus("translate", finished, *direction, stdin=text).out.split("\n")
    assert len(piped) == 5
    assert (piped[0], piped[1], piped[2]) == (given.split("\n")[0], "", given.split("\n")[1])
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text(text, encoding="utf-8")
    assert eclectus("translate", finished, *direction, "--input", source, "--output", target).code == 0
    assert target.read_text(encoding="utf-8").split("\n") == piped


def test_report_is_written_again(finished):
    (finished / "report.html").unlink()
    assert "report.html" in eclectus("report", finished).out
    assert "numbers" in (finished / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(("every", "controls"), [(2, []), (100, ["supervised"])])
def test_a_finished_run_resumed_gives_the_same(tmp_path, corpus, every, controls):
    folder = tmp_path / "run"
    config = write_config(tmp_path, corpus, controls=controls)
    changes = ("--set", f"reinforce.checkpoint_every={every}")
    assert eclectus("train", config, "--output", folder, "--quiet", *changes).code == 0
    model = (folder / "model" / "model.safetensors").read_bytes()
    scores = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["scores"]
    shutil.rmtree(folder / "outputs")  # made again, from the weights that were kept of each system
    outcome = eclectus("train", "--resume", folder, "--quiet")
    assert outcome.code == 0, outcome
    assert (folder / "model" / "model.safetensors").read_bytes() == model
    assert json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["scores"] == scores


# Bad input: one sentence, exit status 2, nothing overwritten


BROKEN_FILES = [
    (None, "no file '.*numbers.tsv'"),
    (b"", "is empty"),
    (b"\n \n", "is empty"),
    ("uno\tniño\n".encode("latin-1"), "not UTF-8 .*line 1.*iconv -f LATIN1"),
    ("one\tuno\n".encode("utf-16"), "not UTF-8 .*iconv -f UTF-16"),
    (b"one\tuno\ntwo\tdos\tdeux\n", "line 2 has 3 columns instead of 2"),
    (b"one\tuno\ntwo dos\n", "line 2 has 1 columns instead of 2"),
    (b"!\t?\n", "no corpus holds any English text"),
    (b"one\tuno\n", "has no dev segments|has no test segments"),
]


@pytest.mark.parametrize(("data", "message"), BROKEN_FILES)
def test_train_on_a_broken_corpus(tmp_path, config, corpus, data, message):
    corpus.unlink()
    if data is not None:
        corpus.write_bytes(data)
    assert re.search(message, refused("train", config, "--output", tmp_path / "run"))
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.languages=[en, spa]"], "write 'es' \\(Spanish\\) instead of 'spa'"),
        (["data.languages=[en, spanish]"], "unknown language 'spanish'; did you mean 'es'"),
        (["data.languages=[en, xyzzy]"], "unknown language 'xyzzy'"),
        (["data.languages=[en, fr]"], "has 'es', which is not in data.languages"),
        (["data.languages=[en, es, fr]"], "no corpus holds any French text"),
        (
            ["data.max_chars=2"],
            r"English text that was not left out \(\d+ longer than data.max_chars: 2\); add",
        ),
        (["data.corpora.².path=x"], "'²' must be an index below 1"),
        (["data.max_pairs={fr: 3}"], "'fr' is not among data.languages"),
        (["data.corpora.0.colums=[en, es]"], "unknown key 'data.corpora.0.colums'; did you mean 'columns'"),
        (["data.corpora.0.type=csv"], "unknown type 'csv'; did you mean 'tsv'"),
        (["reinforce.stepz=3"], "unknown key 'reinforce.stepz'; did you mean 'steps'"),
        (["reinforce.steps=many"], "'reinforce.steps'.*got 'many'"),
        (["reinforce.tasks.0.reward.terms.0.type=chrff"], "unknown type 'chrff'; did you mean 'chrf'"),
        (["reinforce.tasks.0.reward.terms.0.word=2"], "unknown key .*word'; did you mean 'words'"),
        (["reinforce.tasks.0.references=false"], "'chrf' needs references"),
        (["evaluation.directions=[en-fr]"], "'fr', which is not among the run's languages"),
        (["device=cuda:99"], "device: 'cuda:99' cannot be used here"),
        (["policy.path=/no/such/model", "policy.new=null"], "cannot load '/no/such/model'"),
        (["seed"], "not of the form"),
    ],
)
def test_train_with_a_mistake_in_the_configuration(tmp_path, config, changes, message):
    settings = [part for change in changes for part in ("--set", change)]
    assert re.search(message, refused("train", config, "--output", tmp_path / "run", *settings))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_train_without_a_usable_configuration(tmp_path):
    (tmp_path / "broken.yaml").write_text("data: [1\nb: }", encoding="utf-8")
    (tmp_path / "latin.yaml").write_bytes("title: niño".encode("latin-1"))
    assert "no file" in refused("train", tmp_path / "none.yaml")
    assert "not valid YAML at line 2" in refused("train", tmp_path / "broken.yaml")
    assert "cannot read" in refused("train", tmp_path / "latin.yaml")
    assert "no packaged recipe 'my_corpus'; did you mean 'my-corpus'" in refused("train", "my_corpus")
    assert "--resume continues a run as it was begun" in refused("train", "my-corpus", "--resume", tmp_path)


def test_train_with_a_language_that_the_model_lacks(tmp_path, corpus, finished):
    values = {"languages": ["en", "it"], "corpora": [{"type": "tsv", "path": str(corpus), "columns": ["en", "it"]}]}
    config = write_config(tmp_path, corpus, data=values, policy={"path": str(finished / "model")}, supervised=None)
    message = refused("train", config, "--output", tmp_path / "run")
    assert "model: it has no language 'it'; known: en, es" in message


def test_train_on_a_leak(tmp_path, corpus):
    held = write_pairs(tmp_path / "held.tsv", 290, 310)
    files = [
        {"type": "tsv", "path": str(corpus), "columns": ["en", "es"], "split": "train"},
        {"type": "tsv", "path": str(held), "columns": ["en", "es"], "split": "test"},
    ]
    config = write_config(tmp_path, corpus, data={"languages": ["en", "es"], "corpora": files})
    message = refused("train", config, "--output", tmp_path / "run")
    assert "10 test entries of 'held.tsv' also stand in train" in message
    assert "held.tsv:1" in message
    assert "data.leaks: remove" in message


@pytest.mark.parametrize("there", ["file", "folder"])
def test_train_into_something_that_exists(tmp_path, config, there):
    output = tmp_path / "run"
    if there == "file":
        output.write_text("precious", encoding="utf-8")
    else:
        output.mkdir()
        (output / "mine.txt").write_text("precious", encoding="utf-8")
    before = contents(tmp_path)
    assert "exists; choose another --output" in refused("train", config, "--output", output)
    assert contents(tmp_path) == before


def test_a_mistake_corrected_can_be_run_into_the_same_folder(tmp_path, config):
    output = ("--output", tmp_path / "run")
    refused("train", config, *output, "--set", "evaluation.directions=[en-fr]")
    message = refused("train", config, *output, "--set", "evaluation.directions=[en-de]")
    assert "'de', which is not among" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("reinforce.algorithm.type=rlooo", "did you mean 'rloo'"),
        ("reinforce.tasks.0.reward.terms.0.type=blue", "did you mean 'bleu'"),
        ("reinforce.direction_sampling.type=ucb", "did you mean 'ucb1'"),
    ],
)
def test_what_is_misspelt_is_told_before_the_text_is_read(tmp_path, config, change, message):
    corpus = f"data.corpora=[{{type: tsv, path: {tmp_path / 'none.tsv'}, columns: [en, es]}}]"
    assert message in refused("train", config, "--output", tmp_path / "run", "--set", corpus, "--set", change)


def test_no_space_for_the_checkpoint_loses_nothing(tmp_path, config, finished, monkeypatch):
    folder = tmp_path / "run"
    save, calls = checkpoint.save_file, []

    def full(tensors, path):
        calls.append(path)
        if "step-0000004" in str(path) and "reinforce" in str(path):
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        message = refused("train", config, "--output", folder, "--quiet")
    assert calls
    assert "No space left on device" in message
    assert "--resume" in message
    assert [p.name for p in (folder / "checkpoints" / "reinforce").iterdir()] == ["step-0000002"]
    assert eclectus("train", "--resume", folder, "--quiet").code == 0
    same = "model/model.safetensors"
    assert (folder / same).read_bytes() == (finished / same).read_bytes()


def test_no_space_for_the_metrics_is_one_sentence(tmp_path, config, monkeypatch):
    def full(self, name, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Tracker, "_append", full)
    message = refused("train", config, "--output", tmp_path / "run", "--quiet")
    assert "no space left on the disk" in message
    assert "None" not in message


def test_no_space_for_the_model_is_one_sentence(tmp_path, config, monkeypatch):
    from eclectus.policies.seq2seq import MarianMTModel

    def full(self, path, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(MarianMTModel, "save_pretrained", full)
    message = refused("train", config, "--output", tmp_path / "run", "--quiet")
    assert re.search("[Nn]o space left", message)


def test_output_folder_that_cannot_be_made(tmp_path, config):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "output: cannot write to" in refused("train", config, "--output", tmp_path / "file" / "run")


def test_resume_and_report_of_what_is_no_run(tmp_path):
    assert "is no run" in refused("train", "--resume", tmp_path)
    assert str(tmp_path / "none") in refused("report", tmp_path / "none")


VARIETIES = (
    b"<tmx><body>"
    b'<tu><tuv xml:lang="en-US"><seg>one</seg></tuv><tuv xml:lang="es-MX"><seg>uno</seg></tuv></tu>'
    b'<tu><tuv xml:lang="es-ES"><seg>dos</seg></tuv></tu></body></tmx>'
)


@pytest.mark.parametrize(
    ("name", "data", "options", "message"),
    [
        ("none.tsv", None, [], "no file"),
        ("a.tsv", b"", [], "is empty"),
        ("a.tsv", "en\tes\nuno\tniño\n".encode("latin-1"), [], "not UTF-8"),
        ("a.tsv", b"en\tes\none\n", [], "line 2 has 1 columns instead of 2"),
        ("a.tsv", b"en\tes\n", [], "a header and no text"),
        ("a.tsv", b"one\tuno\n", [], "the first line of .* has no column 'en'; .*--columns en,es"),
        ("a.tsv", b"one\tuno\n", ["--columns", "en,fr"], "--columns has no column 'es'"),
        ("a.tsv", b"en\tes\none\tuno\n", ["--columns", "en,es"], "names the columns .* or leave --columns out"),
        ("a.jsonl", b'{"x": "one", "y": "uno"}\n', ["--columns", "x,y"], "gives no key of en and es; write en=source,"),
        ("a.jsonl", b'{"x": "one", "y": "uno"}\n', ["--columns", "en=x"], "gives no key of en and es"),
        ("a.tmx", b"<tmx/>", ["--columns", "en,es"], "names no tag of en or es; .* leave it out, or write es=TAG"),
        ("a.tmx", VARIETIES, ["--columns", "en=en-US,es=es-AR"], "has no 'es-AR' for es; it has 'en-US', 'es-MX'"),
        ("a.tmx", VARIETIES, [], "no pair of en and es; .* es-MX is not read as es, .* --columns es=es-ES,es=es-MX to"),
        ("a.tmx", VARIETIES.replace(b"<tmx>", b"<tmx>\xed"), [], r"not UTF-8 \(byte 5, line 1\); convert it"),
        ("a.tsv", b"one,uno\n", ["--columns", "en,es"], "separate them with one tab each, not with commas"),
        ("a.txt", b"source\ttarget\none\tuno\n", ["--columns", "en,es"], "line 1 .* names the columns .* take it out"),
        ("a.tsv", b"one\tuno\n", ["--columns", "en,es,fr"], "line 1 has 2 columns instead of 3"),
        ("a.tsv", b"en\tes\none\t\n", [], "holds no pair of en and es"),
        ("a.jsonl", b"{}\n", [], "under any of the keys en, es; name them by --columns en=source,es=target$"),
        ("a.jsonl", b"one\n", [], "line 1 is not JSON"),
        ("a.jsonl", b'{"en": ' + b"9" * 5000 + b"}\n", [], "line 1 cannot be read"),
        ("a.jsonl", b'{"en": ' + b"[" * 200_000 + b"\n", [], "line 1 cannot be read"),
        ("a.tmx", b"<tmx/>", [], "no text in en, es; it has no unit with text"),
        ("a.XLF", b"<xliff/>", [], "no text in en, es; it has no unit with text"),
    ],
)
def test_evaluate_on_a_broken_file(tmp_path, finished, name, data, options, message):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    assert re.search(message, refused("evaluate", finished, path, "--from", "en", "--to", "es", *options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "en", "--to", "it", "one"], "model: it has no language 'it'; known: en, es"),
        (["--from", "en", "--to", "spa", "one"], "write 'es' \\(Spanish\\) instead of 'spa'"),
        (["--from", "en", "--to", "qqqq", "one"], "unknown language 'qqqq'"),
        (["--from", "en", "--to", "es", "--input", "latin.txt", "one"], "got texts and --input"),
        (["--from", "en", "--to", "es", "--input", "none.txt"], "cannot read 'none.txt'"),
        (["--from", "en", "--to", "es", "--input", "."], "cannot read '.'"),
        (["--from", "en", "--to", "es", "--input", "empty.txt"], "'empty.txt' is empty"),
        (["--from", "en", "--to", "es", "--input", "latin.txt"], "'latin.txt' is not UTF-8 .byte 2, line 1.;"),
        (["--from", "en", "--to", "es"], "'standard input' is empty"),
        (["--from", "en", "--to", "es", "--output", "latin.txt", "one"], "'latin.txt' exists"),
        (["--from", "en", "--to", "es", "--output", "none/out.txt", "one"], "no folder 'none'"),
    ],
)
def test_translate_with_a_mistake(tmp_path, monkeypatch, finished, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("niño\n".encode("latin-1"))
    before = contents(tmp_path)
    assert re.search(message, refused("translate", finished, *options))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["none", "runs/none", "./none", "/none/at/all", "a/b/c"])
def test_a_model_that_is_not_there_is_not_looked_for_on_the_network(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert f"cannot load '{name}' (no such folder)" in refused("translate", name, "--from", "en", "--to", "es", "one")


def test_a_folder_that_cannot_be_written_in_is_found_before_the_work(tmp_path, monkeypatch, finished):
    (tmp_path / "a.tsv").write_text("en\tes\none\tuno\n", encoding="utf-8")
    asked = ["--from", "en", "--to", "es"]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    for words in (
        ("translate", finished, *asked, "--output", tmp_path / "out.txt", "one"),
        ("evaluate", finished, tmp_path / "a.tsv", *asked, "--save", tmp_path / "out.txt"),
        ("recipe", "copy", "quickstart", tmp_path / "own.yaml"),
    ):
        assert f"nothing can be written in '{tmp_path}'" in refused(*words)


def test_two_runs_never_share_a_folder(tmp_path, config, finished):
    """Each would write into the metrics, checkpoints and report of the other."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    with FileLock(folder / ".lock"):
        assert "another run is at work in" in refused("train", "--resume", folder)
    new = tmp_path / "new"
    new.mkdir()
    with FileLock(new / ".lock"):
        assert "another run is at work in" in refused("train", config, "--output", new)
    assert eclectus("train", "--resume", folder, "--quiet").code == 0
    assert not (folder / ".lock").exists()


def test_settings_that_changed_since_a_run_began_do_not_go_on(tmp_path, finished):
    """The report would tell of settings that nothing was trained with."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "config.yaml"
    before = yaml.safe_load(path.read_text(encoding="utf-8"))
    for change, key in (
        (lambda c: c["reinforce"].update(steps=9), "reinforce.steps"),
        (lambda c: c["reinforce"]["tasks"][0].update(kl=0.9), "reinforce.tasks.0.kl"),
        (lambda c: c["supervised"].update(steps=9), "supervised.steps"),
        (lambda c: c["data"]["languages"].append("fr"), "data.languages"),
        (lambda c: c["reinforce"]["algorithm"].update(clip=0.5), "reinforce.algorithm.clip"),
        (lambda c: c["data"]["max_pairs"].update(es=100), "data.max_pairs.es"),
        (lambda c: c["evaluation"].update(dev_segments=3), "evaluation.dev_segments"),
        (lambda c: c["evaluation"].update(max_length=7), "evaluation.max_length"),
    ):
        changed = copy.deepcopy(before)
        change(changed)
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        assert f"resume: '{key}' in '{path}' is not what the run began with" in refused("train", "--resume", folder)
    changed = copy.deepcopy(before) | {"threads": 2, "title": "another"}
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert eclectus("train", "--resume", folder, "--quiet").code == 0
    # Another version may have keys that this one has not; what both have must still be the same.
    begun = json.loads((folder / "begun.json").read_text(encoding="utf-8"))
    begun["eclectus"] = "0.0.1"
    begun["reinforce"]["a_key_of_old"] = 1
    (folder / "begun.json").write_text(json.dumps(begun), encoding="utf-8")
    assert eclectus("train", "--resume", folder, "--quiet").code == 0
    begun["reinforce"]["steps"] = 99
    (folder / "begun.json").write_text(json.dumps(begun), encoding="utf-8")
    assert "resume: 'reinforce.steps' in" in refused("train", "--resume", folder)


def test_all_systems_of_a_table_are_translated_alike(tmp_path, finished):
    """Translations that are kept from before another number of beams are made again."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "config.yaml"
    changed = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in (("beams", 3), ("directions", ["en-es"])):
        kept = {file.name: file.read_text(encoding="utf-8") for file in (folder / "outputs").glob("*.json")}
        assert eclectus("train", "--resume", folder, "--quiet").code == 0
        assert kept == {file.name: file.read_text(encoding="utf-8") for file in (folder / "outputs").glob("*.json")}
        changed["evaluation"][key] = value
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        assert eclectus("train", "--resume", folder, "--quiet").code == 0
        for file in (folder / "outputs").glob("*.json"):
            assert json.loads(file.read_text(encoding="utf-8"))["decoding"][key] == value


def test_ctrl_c_says_what_is_left(tmp_path, monkeypatch, config):
    def stop(*_, **__):
        raise KeyboardInterrupt

    folder = tmp_path / "my run"
    with monkeypatch.context() as patch:
        patch.setattr(run, "prepare", stop)
        first = eclectus("train", config, "--output", folder, "--quiet")
    assert (first.code, first.err) == (
        130,
        "eclectus: stopped before anything was saved; the same command begins again\n",
    )
    with monkeypatch.context() as patch:
        patch.setattr(run, "_train_start", stop)
        second = eclectus("train", config, "--output", folder, "--quiet")
    assert second.code == 130 and f"`eclectus train --resume '{folder}'`" in second.err
    with monkeypatch.context() as patch:
        patch.setattr(inference, "load", stop)
        third = eclectus("translate", "base", "--from", "en", "--to", "es", "one")
    assert (third.code, third.err) == (130, "eclectus: stopped\n")


def test_text_that_changed_since_a_run_began_does_not_go_on(tmp_path, config, finished):
    """Its translations of the test set are kept, and would stand beside other references."""
    path = Path(yaml.safe_load((finished / "config.yaml").read_text())["data"]["corpora"][0]["path"])
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(before.replace("uno", "una"), encoding="utf-8")
        assert re.search(
            r"resume: the text is not what the run began with \(tsv\|path:", refused("train", "--resume", finished)
        )
    finally:
        path.write_text(before, encoding="utf-8")
    assert eclectus("train", "--resume", finished, "--quiet").code == 0


def test_a_base_from_scratch_runs_where_the_demo_is_told_to(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(run, "start", lambda config, folder, _: begun.append((config, folder.name)))
    monkeypatch.setattr("eclectus.cli.train._finish", lambda *_: None)
    changes = ["threads=1", "device=cpu", "reinforce.steps=3", "title=mine"]
    told = [part for change in changes for part in ("--set", change)]
    outcome = eclectus("quickstart", "--from-scratch", "--output", tmp_path / "q", "--seed", "4", "--quiet", *told)
    assert outcome.code == 0
    assert [(c.threads, c.device, c.seed, name) for c, name in begun] == [(1, "cpu", 4, "base"), (1, "cpu", 4, "rl")]
    (base, _), (demo, _) = begun
    assert demo.title == "mine" != base.title and demo.reinforce.steps == 3 and base.reinforce is None


def test_a_run_is_a_model_to_begin_with(tmp_path, config, finished):
    more = ["--set", "policy.new=null", "--set", "supervised=null", "--set", f"policy.path={finished}"]
    assert eclectus("train", config, "--output", tmp_path / "run", "--quiet", *more).code == 0
    revision = ["--set", "policy.revision=main"]
    assert "has no revision 'main'" in refused("train", config, "--output", tmp_path / "two", *more, *revision)
    shown = ["--set", "policy.prompt.few_shot.k=2"]
    assert "is told its languages by tags" in refused("train", config, "--output", tmp_path / "two", *more, *shown)


def test_a_run_without_a_model_points_to_resume(tmp_path):
    (tmp_path / "config.yaml").write_text("", encoding="utf-8")
    assert "train --resume" in refused("translate", tmp_path, "--from", "en", "--to", "es", "one")


def test_damaged_weights_are_one_sentence(tmp_path, finished):
    folder = tmp_path / "model"
    shutil.copytree(finished / "model", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    message = refused("translate", folder, "--from", "en", "--to", "es", "one")
    assert str(folder) in message
