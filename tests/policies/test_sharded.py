"""Layers split over two processes (gloo, on the CPU) draw, learn and copy as whole ones do, of every family."""

import json

import pytest

from eclectus.config import LoraConfig
from eclectus.errors import ModelError
from eclectus.policies.causal import CausalPolicy
from tests.policies.tiny_models import CAUSAL, SEQ2SEQ, build
from tests.processes import ROOT, finished

ADAPTED = ["llama with adapters", "nllb with adapters"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    script = ROOT / "tests" / "policies" / "splitting.py"
    outcome = finished(folder, "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, folder)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL, *ADAPTED])
def test_split_layers_do_what_whole_ones_do(found, name):
    one = found[name]
    assert one["split"] and one["same"] and one["outside"] and one["unsplit"]
    assert max(one[key] for key in ("gradient", "uneven", "recomputed", "twin")) < 1e-5, one
    assert one["copied"] == one["loaded"] == 0
    assert sum(one["kept"]) > one["of"] > max(one["kept"])  # what is not in a layer is whole in both


def test_an_adapter_for_each_language_is_not_split(tmp_path):
    pytest.importorskip("peft")
    policy = CausalPolicy(*build("llama", tmp_path))
    policy.adapt(LoraConfig(rank=2, per_language=True), "llama", ["en", "es"], 1)
    with pytest.raises(ModelError, match=r"adapter for each language.*do not split: policy\.fsdp: false"):
        policy.shard()
