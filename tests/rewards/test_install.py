"""install: what is written runs as a program of `process`; the metrics' own libraries are played by small ones."""

import os
import shlex
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from eclectus.config import RewardConfig
from eclectus.errors import ConfigError, RunError
from eclectus.rewards.bridges.install import METRICS, install
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
    text = install("comet", folder, files_only=True)
    assert f"{sys.executable} -m venv --clear {shlex.quote(str(folder / '.venv'))}\n" in text
    assert f" -m pip install --no-input --disable-pip-version-check -r '{folder / 'requirements.txt'}'\n" in text
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
    text = install("cometkiwi", folder, model="my.ckpt", files_only=True)
    write(tmp_path, comet=COMET)
    reward = reward_of(text, folder, tmp_path, ["--batch", "4"])
    assert reward.requires == frozenset()
    assert reward([Segment("0123456789", "es", "en", reference="x")], ["abc"]) == [0.3]
    reward.close()


def test_an_error_inside_the_metric_is_shown(tmp_path):
    text = install("comet", tmp_path / "comet", files_only=True)
    write(tmp_path, comet=COMET)
    reward = reward_of(text, tmp_path / "comet", tmp_path, on_failure="stop")  # the batch size is not 4
    with pytest.raises(RunError, match="AssertionError"):
        reward([Segment("uno", "es", "en", reference="one")], ["a"])


@pytest.mark.parametrize(("references", "expected"), [(False, [0.8, 0.2]), (True, [0.6, 0.6])])
def test_metricx(tmp_path, references, expected):
    folder = tmp_path / "metricx"
    text = install("metricx", folder, files_only=True)
    assert "git clone https://github.com/google-research/metricx" in text
    write(tmp_path / "fakes", torch=TORCH, transformers=TRANSFORMERS)
    write(folder, metricx__metricx24__models=METRICX)
    reward = reward_of(text, folder, tmp_path / "fakes", ["--batch", "1"], references=references)
    segment = Segment("uno", "es", "en", reference="one")
    assert reward([segment] * 2, ["ok", "bad"]) == expected
    reward.close()


@pytest.mark.parametrize("name", METRICS)
def test_requirements_are_pinned(tmp_path, name):
    install(name, tmp_path / name, files_only=True)
    assert {"score.py", "protocol.py", "requirements.txt"} == {path.name for path in (tmp_path / name).iterdir()}
    lines = (tmp_path / name / "requirements.txt").read_text().splitlines()
    needed = [line for line in lines if not line.startswith("#")]
    assert needed and all("==" in line or "<" in line for line in needed)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match="is not empty"):
        install("comet", tmp_path, files_only=True)
    with pytest.raises(RunError, match="cannot write"):
        install("comet", tmp_path / "notes.txt" / "x", files_only=True)
    with pytest.raises(ConfigError, match=r"unknown metric 'commet'; did you mean 'comet'\?"):
        install("commet", tmp_path / "new")


def wheel(folder, name, version, **files):
    """Write a wheel that pip installs without a network and without a build."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {f"{module}.py": text for module, text in files.items()}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


def test_the_whole_way_to_a_metric_in_its_own_environment(tmp_path, monkeypatch, capfd):
    """The real command, venv and pip; small packages of the pinned names and versions play COMET and torch."""
    monkeypatch.chdir(tmp_path)
    wheel(tmp_path / "wheels", "unbabel_comet", "2.2.7", comet=COMET)
    wheel(tmp_path / "wheels", "torch", "2.5.1", torch=TORCH)
    wheel(tmp_path / "wheels", "setuptools", "80.0.0", setuptools="")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setitem(METRICS, "comet", replace(METRICS["comet"], newest=(3, 99)))  # these run with any Python
    text = install("comet")
    shown = capfd.readouterr()
    assert "Successfully installed" in shown.err and "unbabel_comet-2.2.7" in shown.err.replace("-comet", "_comet")
    assert shown.out == ""
    assert "venv" not in text[: text.index("terms:")]  # nothing is left to do
    options = dict(RewardConfig(**yaml.safe_load(text)).terms[0].options)
    assert options["command"][0] == str(tmp_path / "programs" / "comet" / ".venv" / "bin" / "python")
    reward = Process(Process.Options(**{**options, "command": [*options["command"], "--batch", "4"]}))
    assert reward([Segment("uno", "es", "en", reference="0123456789")], ["abc"]) == [0.3]
    reward.close()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(("venv", "pip", "failed"), [("exit 3", "", "venv"), ("", "echo no network; exit 1", "pip")])
def test_an_environment_that_cannot_be_made_is_one_sentence(tmp_path, capfd, venv, pip, failed):
    """A Python without ensurepip, and a machine without a network."""
    folder, fake = tmp_path / "comet", tmp_path / "python"
    inner = folder / ".venv" / "bin" / "python"
    fake.write_text(
        f"#!/bin/sh\nif [ $1 = -c ]; then echo 3 11; exit; fi\n{venv}\n"
        f"mkdir -p {inner.parent}; printf '#!/bin/sh\\n{pip}\\n' > {inner}; chmod +x {inner}\n"
    )
    fake.chmod(0o755)
    with pytest.raises(RunError, match=rf"{failed} failed \(exit status [13]\).*check the network") as caught:
        install("comet", folder, python=str(fake))
    message = str(caught.value)
    assert "\n" not in message
    again = message.rpartition("run: ")[2]
    assert again.startswith(str(fake) if failed == "venv" else str(inner)) and again.endswith("requirements.txt")
    assert ("no network" in capfd.readouterr().err) == (failed == "pip")
    assert (folder / "score.py").exists()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Python is a shell script")
@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("comet", "echo 3 13", r"comet runs with Python 3\.9 to 3\.12, and '.*' is 3\.13; name another by --python"),
        ("metricx", "echo 3 12", r"metricx runs with Python 3\.9 to 3\.11"),
        ("comet", "echo 3 8", r"is 3\.8"),
        ("comet", "exit 1", "is no Python that runs"),
        ("comet", "echo hello", "is no Python that runs"),
    ],
)
def test_a_python_that_will_not_do_is_refused_before_anything_is_written(tmp_path, name, said, message):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{said}\n")
    fake.chmod(0o755)
    with pytest.raises(ConfigError, match=message):
        install(name, tmp_path / "new", python=str(fake))
    with pytest.raises(ConfigError, match="is no Python that runs"):
        install(name, tmp_path / "new", python=str(tmp_path / "none"))
    assert not (tmp_path / "new").exists()
