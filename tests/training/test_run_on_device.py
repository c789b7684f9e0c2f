"""Whole runs on a device that is not there: they end, never mix it with the host, and learn what they learn here."""

import json

import pytest

from eclectus.policies.causal import CausalPolicy
from eclectus.policies.compat import OLD
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.training import run
from tests import device
from tests.policies.tiny_models import CAUSAL, build
from tests.tiny_run import lines, settings

pytestmark = pytest.mark.skipif(OLD, reason="transformers 4 takes weights on `meta`, which it stands on, for absent")

NEW = {
    "vocabulary": 120,
    "d_model": 16,
    "heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "ffn": 32,
    "dropout": 0.0,
}
TIMES = ("seconds", "tokens_per_second", "samples_per_second", "memory")
SHORT = {
    "supervised__steps": 2,
    "supervised__evaluate_every": 2,
    "supervised__warmup": 1,
    "reinforce__steps": 2,
    "reinforce__samples_every": 1,
}


def tasks(*terms, **options):
    gates = [{"type": "language"}]
    return [
        {"name": "old", "directions": ["en-es"], "references": True, "reward": {"terms": terms, "gates": gates}}
        | options
    ]


RUNS = {
    "beams and the references' tokens": {"evaluation__also_beams": 2, "evaluation__reference_tokens": True},
    "a critic": {
        "reinforce__algorithm": {"type": "ppo"},
        "reinforce__updates": 2,
        "reinforce__minibatches": 2,
        "reinforce__entropy": {"weight": 0.01, "target": 2.0},
        "reinforce__kl": {"estimator": "exact"},
    },
    "values": {
        "reinforce__algorithm": {"type": "q_learning"},
        "reinforce__explore": {"epsilon": 0.1},
        "reinforce__tasks": tasks({"type": "chrf", "dense": "increments"}),
    },
    "back-translations": {
        "data__max_pairs": {"es": 60},
        "reinforce__tasks": tasks(
            {"type": "round_trip"},
            {"type": "bleu"},
            back_translated=20,
            back_translated_refresh=1,
            mle=1,
            mle_segments=4,
        ),
    },
    "adapters of languages": {
        "start": "nllb",
        "policy__lora": {"rank": 2, "per_language": True},
        "policy__gradient_checkpointing": True,
    },
    "a decoder alone": {"start": "llama", "reinforce__truncate": {"top_p": 0.9}, "reinforce__min_length": 3},
    "a reward with a model": {"reinforce__tasks": tasks({"type": "causal_lm", "path": "LLAMA", "device": "DEVICE"})},
}


def measured(folder):
    """The numbers that a run wrote, but for time and memory."""
    return [
        {name: value for name, value in row.items() if isinstance(value, int | float) and not name.startswith(TIMES)}
        for row in lines(folder)
    ]


def said(folder):
    """The samples that a run wrote."""
    return [[sample["text"] for sample in row["samples"]] for row in lines(folder, "samples.jsonl")]


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_a_run_learns_there_what_it_learns_here(changes, corpus, tmp_path):
    changes = {"policy__new": NEW} | SHORT | changes
    for name in ("nllb", "llama"):
        (tmp_path / f"built-{name}").mkdir()
        kind = CausalPolicy if name in CAUSAL else Seq2SeqPolicy
        kind(*build(name, tmp_path / f"built-{name}")).save(tmp_path / name)
    if start := changes.pop("start", None):
        # Without supervised training, whose dropout is another on each device.
        changes = {k: v for k, v in changes.items() if not k.startswith("supervised")} | {"supervised": None}
        changes |= {"policy__new": None, "policy__path": str(tmp_path / start)}

    def went(place):
        text = json.dumps(changes).replace("LLAMA", str(tmp_path / "llama")).replace("DEVICE", place)
        run.start(settings(corpus, device=place, **json.loads(text)), tmp_path / place)
        return measured(tmp_path / place)

    here = went("cpu")
    with device.pretended():
        away = went(device.NAME)
    assert any(row.get("grad_norm", 0) > 0 and "reward" in row for row in here)
    assert said(tmp_path / "cpu") == said(tmp_path / device.NAME)
    for one, other in zip(here, away, strict=True):
        assert other == pytest.approx(one, rel=2e-3, abs=1e-4)
