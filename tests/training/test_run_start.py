"""What a run begins with: the prompt that it was given, the weights that it is held to when it is resumed."""

import copy
import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from eclectus.config import PolicyConfig, PromptConfig
from eclectus.errors import RunError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.fingerprint import fingerprint
from eclectus.policies.load import load_policy
from eclectus.segment import Segment
from eclectus.training import run
from eclectus.training.tracking import Tracker
from tests.policies.tiny_models import build
from tests.tiny_run import lines, same_weights, settings, stopped


@pytest.fixture
def start(corpus, tmp_path):
    """A model that a run left, without the text that it knows."""
    run.start(settings(corpus, supervised__steps=4, supervised__evaluate_every=4, reinforce=None), tmp_path / "first")
    (tmp_path / "first" / "model" / "training_text.npy").unlink()
    return tmp_path / "first" / "model"


def from_start(corpus, start, **changes):
    return settings(corpus, policy={"path": str(start)}, supervised=None, **changes)


def replace_weights(start):
    weights = load_file(start / "model.safetensors")
    name = next(key for key, value in weights.items() if value.ndim == 2 and len(value) > 1)
    weights[name][1, 1] += 0.5
    save_file(weights, start / "model.safetensors", metadata={"format": "pt"})


def test_a_run_does_not_go_on_from_another_model(corpus, start, tmp_path, monkeypatch):
    folder, kept = tmp_path / "run", tmp_path / "kept"
    shutil.copytree(start, kept)
    stopped(from_start(corpus, start), folder, monkeypatch, lambda at, _: at >= 2)
    replace_weights(start)
    with pytest.raises(RunError, match=r"^resume: the model '.*' has other weights than when the run began") as caught:
        run.resume(folder)
    assert "\n" not in str(caught.value)
    # A folder of an earlier version has no fingerprint to compare with.
    begun = json.loads((folder / "begun.json").read_text())
    assert len(begun.pop("weights")) == 16
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    (old / "begun.json").write_text(json.dumps(begun))
    run.resume(old)
    shutil.rmtree(start)
    shutil.copytree(kept, start)
    run.resume(folder)
    run.start(from_start(corpus, start), tmp_path / "at once")
    assert same_weights(folder, tmp_path / "at once")


def test_a_model_of_the_runs_own_is_not_compared(corpus, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    stopped(settings(corpus), folder, monkeypatch, lambda at, _: at >= 2)
    assert json.loads((folder / "begun.json").read_text())["weights"] is None
    run.resume(folder)


def test_every_weight_counts_and_no_name():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 3), torch.nn.Embedding(5, 0))
    model[1].register_buffer("bias_of_words", torch.randn(1, 3))
    known = fingerprint(model)
    assert len(known) == 16 and fingerprint(copy.deepcopy(model)) == known
    assert fingerprint(torch.nn.ModuleDict({"b": model[1], "a": model[0], "c": model[2]})) == known
    for name, tensor in model.state_dict().items():
        for place in range(tensor.numel()):
            other = copy.deepcopy(model)
            other.state_dict()[name].view(-1)[place] += 1e-4
            assert fingerprint(other) != known


def test_large_models_are_read_in_part(monkeypatch):
    monkeypatch.setattr("eclectus.policies.fingerprint._MOST", 10)
    model = torch.nn.Linear(20, 1, bias=False)
    known = fingerprint(model)
    model.weight.data[0, 1] += 1  # every second value is read
    assert fingerprint(model) == known
    model.weight.data[0, 2] += 1
    assert fingerprint(model) != known


@pytest.mark.parametrize("trained", [True, False])
def test_the_rate_of_controls_may_change_until_one_has_trained(corpus, start, tmp_path, trained):
    folder = tmp_path / "run"
    config = from_start(corpus, start, reinforce__steps=2)
    control = "supervised" if trained else "constant_reward"
    run.start(config.model_copy(update={"controls": [control]}), folder)
    path = folder / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["control_learning_rate"] = 1e-3
    path.write_text(yaml.safe_dump(values))
    if not trained:
        run.resume(folder)
        return
    with pytest.raises(RunError, match=r"resume: 'control_learning_rate' in .* is not what the run began with"):
        run.resume(folder)
    begun = json.loads((folder / "begun.json").read_text())
    del begun["control_learning_rate"]  # as in earlier versions
    (folder / "begun.json").write_text(json.dumps(begun))
    run.resume(folder)


def test_a_prompt_that_is_given_counts_though_it_is_the_default(corpus, tmp_path):
    model, tokenizer = build("llama", tmp_path)
    own = PromptConfig(few_shot={"k": 1}, template="{source} =")
    CausalPolicy(model, tokenizer, own, {"es-fr": [("uno", "un")]}).save(tmp_path / "start")
    asked = {}
    for name, prompt in (("given", {"few_shot": {"k": 0}}), ("brought", None)):
        policy = PolicyConfig(path=str(tmp_path / "start"), prompt=prompt)
        few = {"supervised": None, "reinforce__steps": 1, "reinforce__evaluate_every": 1}
        run.start(settings(corpus, policy=policy.model_dump(exclude_unset=True), **few), tmp_path / name)
        found, _ = load_policy(str(tmp_path / name))
        source = found.tokenize_sources([Segment("dos", "es", "fr")])[0]
        asked[name] = found.tokenizer.decode(source.ids + source.start, skip_special_tokens=True)
        stated = yaml.safe_load((tmp_path / name / "config.yaml").read_text())["policy"]["prompt"]
        assert (stated is None) == (prompt is None)
    assert asked == {"given": "Spanish: dos\nFrench:", "brought": "uno = un\n\ndos ="}


def test_a_run_of_an_earlier_version_keeps_the_prompt_that_its_model_brought(corpus, tmp_path):
    """Its config.yaml states the defaults, which it was not given."""
    model, tokenizer = build("llama", tmp_path)
    CausalPolicy(model, tokenizer, PromptConfig(template="{source} =")).save(tmp_path / "start")
    folder, few = tmp_path / "run", {"supervised": None, "reinforce__steps": 1, "reinforce__evaluate_every": 1}
    run.start(settings(corpus, policy={"path": str(tmp_path / "start")}, **few), folder)
    default = PromptConfig().model_dump(mode="json")
    for name in ("config.yaml", "begun.json"):
        values = yaml.safe_load((folder / name).read_text())
        values["policy"]["prompt"] = default
        values.pop("weights", None)
        (folder / name).write_text(json.dumps(values))
    run.resume(folder)
    assert json.loads((folder / "model" / "prompt.json").read_text())["prompt"]["template"] == "{source} ="


def test_pairs_that_are_left_out_for_their_length_are_told(corpus, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Tracker, "warn", lambda self, text: said.append(text))
    path = tmp_path / "long.tsv"
    long = "\t".join(" ".join([word] * 20) for word in ("nine", "nueve", "neuf"))
    path.write_text(corpus.read_text(encoding="utf-8") + f"{long}\n", encoding="utf-8")
    config = settings(path, supervised__steps=2, supervised__evaluate_every=2, reinforce=None)
    new = config.policy.new.model_copy(update={"max_positions": 16})
    run.start(config.model_copy(update={"policy": PolicyConfig(new=new)}), tmp_path / "run")
    assert lines(tmp_path / "run")
    assert [text for text in said if "longer than the model" in text] == [
        "supervised: 4 pairs or texts are left out, being longer than the model reads or writes (14 tokens); give"
        " one sentence a line to use them"
    ]
