"""A whole run that takes seconds: the numbers it translates, its settings, how it is stopped, what it leaves."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from eclectus import config as cfg
from eclectus.training import run
from eclectus.training.tracking import Tracker

NUMBERS = {
    "en": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
    "es": ["uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"],
    "fr": ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"],
}


def settings(corpus, **changes):
    """Settings of the run, on the file `corpus`; a change in a part is `part__key=value`."""
    values = yaml.safe_load(f"""
        title: numbers
        seed: 5
        threads: 1
        device: cpu
        data: {{languages: [en, es, fr], corpora: [{{type: tsv, path: {corpus}, header: true}}], dev: 12, test: 12}}
        policy: {{new: {{vocabulary: 120, d_model: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, ffn: 32}}}}
        supervised: {{directions: ["en-*", "*-en"], steps: 12, batch_tokens: 200, warmup: 4, evaluate_every: 6}}
        reinforce:
          steps: 6
          segments: 6
          samples: 3
          max_length: 8
          evaluate_every: 3
          checkpoint_every: 2
          samples_every: 3
          tasks:
            - {{name: new, directions: [es-fr], select_by: reward, kl: 0.1, reward: {{terms: [{{type: pivot}}]}}}}
            - {{name: old, directions: [en-es], references: true, mle: 0.1, reward: {{terms: [{{type: chrf}}]}}}}
        evaluation: {{directions: [es-fr, en-es], dev_segments: 6, max_length: 8, resamples: 100}}
    """)
    for key, value in changes.items():
        target = values
        *parents, last = key.split("__")
        for part in parents:
            target = target[part]
        target[last] = value
    return cfg.RunConfig(**values)


def weights(folder):
    """Those of the model that a run leaves."""
    return load_file(folder / "model" / "model.safetensors")


def same_weights(one, two):
    """Whether two runs leave equal weights, to the bit."""
    a, b = weights(one), weights(two)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def stopped(config, folder, monkeypatch, when, told=None):
    """Start a run and have the user stop it where `when(at, note)` of a step's bar first says so."""
    advance = Tracker.advance

    def interrupt(self, at, note):
        advance(self, at, note)
        self.stop_requested = when(at, note)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "advance", interrupt)
        with pytest.raises(run.InterruptedRunError, match=told):
            run.start(config, folder)


def lines(folder, name="metrics.jsonl"):
    """What a run wrote into a file of JSON lines."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
