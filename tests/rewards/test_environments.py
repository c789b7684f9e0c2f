"""install: what is written runs as a program of `process`; the metrics' own libraries are played by small ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, RunError
from eclectus.rewards.environments import METRICS, install
from eclectus.rewards.process import Process
from eclectus.segment import Segment

COMET = '''
print("a library that talks")

def download_model(name):
    return "/hub/" + name

def load_from_checkpoint(path):
    print("loading", path)
    return Model(path)

class Model:
    """Scores the share of the reference's (else the source's) length; knows how the program must call it."""

    def __init__(self, path):
        self.path = path

    def predict(self, samples, batch_size, gpus, num_workers, progress_bar):
        assert (batch_size, gpus, num_workers, progress_bar) == (4, 0, 0, False)
        assert self.path == "/hub/Unbabel/wmt22-comet-da" or self.path == "my.ckpt", self.path
        print("predicting")
        scores = [len(s["mt"]) / len(s["ref"] if "ref" in s else s["src"]) for s in samples]
        return {"scores": scores, "system_score": 0.0}
'''
TORCH = """
class cuda:
    is_available = staticmethod(lambda: False)

class no_grad:
    def __enter__(self): pass
    def __exit__(self, *error): pass

class Tensor(list):
    float = lambda self: self
    tolist = lambda self: list(self)
"""
TRANSFORMERS = """
class Inputs(dict):
    to = lambda self, device: self

class AutoTokenizer:
    @staticmethod
    def from_pretrained(name):
        assert name == "google/mt5-large"
        return AutoTokenizer()

    def __call__(self, texts, max_length, truncation):
        return {"input_ids": [[*text.encode(), 1][:max_length] for text in texts]}

    def pad(self, rows, return_tensors):
        assert not any(1 in row for row in rows["input_ids"])  # no end of sequence
        return Inputs(input_ids=rows["input_ids"], attention_mask=[])
"""
METRICX = """
import types, torch

class MT5ForRegression:
    @staticmethod
    def from_pretrained(name):
        return MT5ForRegression()
    to = lambda self, device: self
    eval = lambda self: self

    def __call__(self, input_ids, attention_mask):
        texts = [bytes(row).decode() for row in input_ids]
        assert all(t.startswith("source: uno candidate: ") for t in texts), texts
        scores = [20.0 if t.endswith(" bad") else 10.0 if t.endswith(" reference: one") else 5.0 for t in texts]
        return types.SimpleNamespace(predictions=torch.Tensor(scores))
"""


def reward_of(text, folder, python_path, extra=(), **changes):
    """Build the reward that the printed YAML describes, run by this Python instead of the environment's."""
    config = RewardConfig(**yaml.safe_load(text[text.index("\nterms:") :]))
    options = dict(config.terms[0].options)
    python, *rest = options["command"]
    assert Path(python).parts[-3] == ".venv" and Path(python).parent.parent.parent == folder.resolve()
    options["command"] = [sys.executable, *rest, *extra]
    return Process(Process.Options(**{**options, "environment": {"PYTHONPATH": str(python_path)}, **changes}))


def write(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_comet(tmp_path):
    folder, fakes = tmp_path / "comet metric", tmp_path / "fakes"
    text = install("comet", folder)
    assert f'python "{folder}/make_environment.py"' in text.replace("\\", "/")
    write(fakes, comet=COMET)
    reward = reward_of(text, folder, fakes, ["--batch", "4"])
    segments = [Segment("uno", "es", "en", reference="0123456789"), Segment("dos", "es", "en", reference="01234")]
    assert reward.requires == {"reference"}
    assert reward.signature == "process|wmt22-comet-da|range:0..1|references:yes"
    assert reward(segments, ["abc", "abc"]) == [0.3, 0.6]
    assert reward(segments, ["ab", "abc"]) == [0.2, 0.6]
    reward.close()


def test_comet_without_references_and_from_a_file(tmp_path):
    folder = tmp_path / "kiwi"
    text = install("cometkiwi", folder, model="my.ckpt")
    write(tmp_path, comet=COMET)
    reward = reward_of(text, folder, tmp_path, ["--batch", "4"])
    assert reward.requires == frozenset()
    assert reward([Segment("0123456789", "es", "en", reference="x")], ["abc"]) == [0.3]
    reward.close()


def test_an_error_inside_the_metric_is_shown(tmp_path):
    text = install("comet", tmp_path / "comet")
    write(tmp_path, comet=COMET)
    reward = reward_of(text, tmp_path / "comet", tmp_path, on_failure="stop")  # the batch size is not 4
    with pytest.raises(RunError, match="AssertionError"):
        reward([Segment("uno", "es", "en", reference="one")], ["a"])


@pytest.mark.parametrize(("references", "expected"), [(False, [0.8, 0.2]), (True, [0.6, 0.6])])
def test_metricx(tmp_path, references, expected):
    folder = tmp_path / "metricx"
    text = install("metricx", folder)
    assert "git clone https://github.com/google-research/metricx" in text
    write(tmp_path / "fakes", torch=TORCH, transformers=TRANSFORMERS)
    write(folder, metricx__metricx24__models=METRICX)
    reward = reward_of(text, folder, tmp_path / "fakes", ["--batch", "1"], references=references)
    segment = Segment("uno", "es", "en", reference="one")
    assert reward([segment] * 2, ["ok", "bad"]) == expected
    reward.close()


@pytest.mark.parametrize("name", METRICS)
def test_requirements_are_pinned(tmp_path, name):
    install(name, tmp_path / name)
    assert {"score.py", "protocol.py", "make_environment.py", "requirements.txt"} == {
        path.name for path in (tmp_path / name).iterdir()
    }
    lines = (tmp_path / name / "requirements.txt").read_text().splitlines()
    needed = [line for line in lines if not line.startswith("#")]
    assert needed and all("==" in line or "<" in line for line in needed)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match="is not empty"):
        install("comet", tmp_path)
    with pytest.raises(RunError, match="cannot write"):
        install("comet", tmp_path / "notes.txt" / "x")
    with pytest.raises(ConfigError, match=r"unknown metric 'commet'; did you mean 'comet'\?"):
        install("commet", tmp_path / "new")


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(("python", "reason"), [(None, "No such file"), ("exit 1", "exit status 1")])
def test_an_environment_that_cannot_be_made_is_one_sentence(tmp_path, python, reason):
    """As without a network, where pip fails, or with a Python that has no ensurepip."""
    folder = tmp_path / "comet"
    install("comet", folder)
    if python is not None:
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\n{python}\n")
        (folder / ".venv" / "bin" / "python").chmod(0o755)
    code = (
        "import runpy, venv; venv.create = lambda *a, **k: None; "
        "runpy.run_path('make_environment.py', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("make_environment: ") and ended.stderr.count("\n") == 1
    assert reason in ended.stderr and "check the network" in ended.stderr
