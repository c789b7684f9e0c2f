"""Hub ids: taken from the library's cache, at the revision that is asked for; without a network one sentence."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from eclectus.errors import ModelError
from eclectus.policies.load import load_policy
from tests.tiny import tiny_policy

ASK = """
import sys
from eclectus.errors import ModelError
from eclectus.policies.load import load_policy
try:
    policy, seen = load_policy(sys.argv[1], revision=sys.argv[2] or None)
    print(policy.model.get_input_embeddings().weight[5, 0].item())
except ModelError as error:
    print(error)
"""

ADAPT = """
import json, sys
from pathlib import Path
from eclectus.policies.load import load_policy
from eclectus.training import run
from tests.tiny_run import settings
folder = Path(sys.argv[2])
policy = {"path": sys.argv[1], "revision": "v2", "lora": {"rank": 2, "merge": False}}
few = {"supervised__steps": 1, "supervised__evaluate_every": 1, "reinforce": None}
run.start(settings(folder / "numbers.tsv", policy=policy, **few), folder / "run")
again, _ = load_policy(str(folder / "run"))
again.save(folder / "twice")
found = []
for path in (folder / "run" / "model", folder / "twice"):
    policy, _ = load_policy(str(path))
    found.append(policy.model.get_input_embeddings().weight[5, 0].item())
    found.append(json.loads((path / "adapter_config.json").read_text())["revision"])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A cache of the hub with two revisions of one model, the weights of the second doubled."""
    root = tmp_path_factory.mktemp("hub")
    repository = root / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    for number, revision in enumerate(("main", "v2"), start=1):
        commit = str(number) * 40
        (repository / "refs" / revision).write_text(commit, encoding="utf-8")
        snapshot = repository / "snapshots" / commit
        tiny_policy().save(snapshot)
        weights = {key: value * number for key, value in load_file(snapshot / "model.safetensors").items()}
        save_file(weights, snapshot / "model.safetensors", metadata={"format": "pt"})
    return root


def ask(hub, name, further="", script=ASK):
    environment = os.environ | {"HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, name, further], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_hub_id_is_loaded_at_its_revision(hub):
    value = tiny_policy().model.get_input_embeddings().weight[5, 0].item()
    assert float(ask(hub, "owner/name")) == value
    assert float(ask(hub, "owner/name", "v2")) == 2 * value


def test_adapters_bring_the_revision_that_they_were_trained_on(hub, corpus):
    pytest.importorskip("peft")
    value = tiny_policy().model.get_input_embeddings().weight[5, 0].item()
    assert json.loads(ask(hub, "owner/name", str(corpus.parent), ADAPT)) == [2 * value, "v2", 2 * value, "v2"]


def test_a_hub_id_without_a_network_is_one_sentence(hub):
    message = ask(hub, "Helsinki-NLP/opus-mt-en-es")
    assert message == (
        "model: 'Helsinki-NLP/opus-mt-en-es' is no folder here, and the model hub cannot be reached to look for it"
        " there; connect to the network, or give a folder that holds the model"
    )


@pytest.mark.parametrize("name", ["runs/quickstart/model", "./model", "~/model", "nosuchfolder", "/tmp/no/such.gguf"])
def test_what_cannot_be_a_hub_id_is_not_looked_for(name):
    with pytest.raises(ModelError, match="no such folder"):
        load_policy(name)
