"""Exported models score and translate as the policy does, in every encoder-decoder family."""

import sys
import warnings

import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from eclectus.cli.app import app
from eclectus.config import LoraConfig
from eclectus.errors import ModelError, RunError
from eclectus.export.ctranslate2 import export
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.load import load_policy
from eclectus.policies.new_language import add_languages
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.segment import Segment
from tests.policies.tiny_models import SEQ2SEQ, build
from tests.tiny import random_guide, segments, tiny_policy

ROWS = segments("en", "es")


def made(name, folder):
    if name == "eclectus":
        return tiny_policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Seq2SeqPolicy(*build(name, folder))


class Exported:
    """A policy's export, told the languages as the documentation says."""

    def __init__(self, policy, folder, quantization=None):
        library = pytest.importorskip("ctranslate2")
        export(policy, folder, quantization)
        self.policy, self.tokenizer = policy, AutoTokenizer.from_pretrained(folder)
        self.translator = library.Translator(str(folder), device="cpu", inter_threads=1, intra_threads=1)
        self.begins_with_language = type(policy.tokenizer).__name__ == "MBartTokenizer"

    def inputs(self, rows):
        """Tokens of sources, and those that translations begin with."""
        sources = self.policy.tokenize_sources(rows)
        first = 0 if self.begins_with_language else 1
        to_tokens = self.tokenizer.convert_ids_to_tokens
        return [to_tokens(s.ids) for s in sources], [to_tokens(s.start[first:]) for s in sources]

    def translate(self, rows, beams=1):
        sources, prefixes = self.inputs(rows)
        # Its count and its results include the prefix, but not what the decoder starts with.
        begin = len(prefixes[0]) - self.begins_with_language
        results = self.translator.translate_batch(
            sources, target_prefix=prefixes, beam_size=beams, max_decoding_length=12 + begin
        )
        texts = [row.hypotheses[0][begin:] for row in results]
        return self.policy.detokenize([self.tokenizer.convert_tokens_to_ids(text) for text in texts])

    def scores(self, rows, targets):
        """Log-probability of each token of the targets, end-of-sequence included."""
        sources, prefixes = self.inputs(rows)
        texts = [p + self.tokenizer.convert_ids_to_tokens(t) for p, t in zip(prefixes, targets, strict=True)]
        found = self.translator.score_batch(sources, texts)
        # What a translation starts from is not scored.
        before = len(prefixes[0]) - self.begins_with_language
        return [torch.tensor(row.log_probs[before:]) for row in found]


@pytest.mark.parametrize("name", ["eclectus", *SEQ2SEQ])
def test_scores_and_translations_are_the_policys_own(name, tmp_path):
    policy = made(name, tmp_path)
    exported = Exported(policy, tmp_path / "out")
    directions = [("en", "es")] if name in {"opus_mt_pair", "bart"} else [("en", "es"), ("en", "fr")]
    for source, target in directions:
        rows = [Segment(row.source, source, target) for row in ROWS]
        drawn = policy.sample(rows, 1, Sampling(1.0, 10), torch.Generator().manual_seed(5))
        ours = policy.token_logprobs(policy.tokenize_sources(rows), drawn.tokens, drawn.mask)[:, 0].detach()
        lengths = drawn.mask[:, 0].sum(dim=-1).tolist()
        ended = drawn.finished[:, 0].tolist()
        # Scoring ends every target by itself.
        targets = [
            drawn.tokens[i, 0, : n - 1 if end else n].tolist()
            for i, (n, end) in enumerate(zip(lengths, ended, strict=True))
        ]
        for row, scores, n in zip(ours, exported.scores(rows, targets), lengths, strict=True):
            assert torch.allclose(row[:n], scores[:n], atol=2e-4)
        assert sum(lengths) > 20
        assert exported.translate(rows) == policy.translate(rows, 12)


def test_a_language_that_was_added_is_exported(tmp_path):
    policy = add_languages(made("m2m100", tmp_path), {"pcm": "es"})
    exported = Exported(policy, tmp_path / "out")
    rows = [Segment(row.source, "en", "pcm") for row in ROWS]
    assert exported.translate(rows) == policy.translate(rows, 12)
    assert exported.inputs(rows)[1][0] == ["__pcm__"]


def test_quantised_weights_are_smaller_and_near(tmp_path):
    policy, _ = load_policy("base")
    whole, small = (Exported(policy, tmp_path / kind, kind) for kind in ("float32", "int8"))
    sizes = [(tmp_path / kind / "model.bin").stat().st_size for kind in ("float32", "int8")]
    assert sizes[1] < 0.3 * sizes[0]
    assert whole.translate(ROWS) == policy.translate(ROWS, 12)
    targets = policy.tokenize_targets([row.reference for row in ROWS])
    for a, b in zip(whole.scores(ROWS, targets), small.scores(ROWS, targets), strict=True):
        assert (a - b).abs().mean() < 0.2
        assert not torch.equal(a, b)


def test_decoder_only_models_are_refused(tmp_path):
    with pytest.raises(ModelError, match="models of type 'llama' are decoder-only"):
        export(CausalPolicy(*build("llama", tmp_path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_would_be_lost_is_refused(tmp_path):
    guided = tiny_policy()
    guided.follow(random_guide(guided))
    with pytest.raises(ModelError, match=r"export: the model follows values \(guide\.json\)"):
        export(guided, tmp_path / "out")
    pytest.importorskip("peft", reason="needs the extra lora")
    routed = tiny_policy()
    routed.adapt(LoraConfig(per_language=True), "x", ["es", "fr"], 1)
    with pytest.raises(ModelError, match="export: the model has an adapter for each language"):
        export(routed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_left_alone(tmp_path):
    with pytest.raises(RunError, match="exists; choose a new folder"):
        export(tiny_policy(), tmp_path)


def test_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    pytest.importorskip("ctranslate2")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("eclectus.export.ctranslate2.save_tokenizer", full)
    with pytest.raises(RunError, match=r"cannot write to .*no space left"):
        export(tiny_policy(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_without_ctranslate2_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.setitem(sys.modules, "ctranslate2.converters.converter", None)
    with pytest.raises(RunError, match=r"pip install 'eclectus\[ctranslate2\]'"):
        export(tiny_policy(), tmp_path / "out")


def test_on_the_command_line(tmp_path):
    pytest.importorskip("ctranslate2")
    tiny_policy().save(tmp_path / "model")
    done = CliRunner().invoke(
        app, ["export", "ctranslate2", str(tmp_path / "model"), str(tmp_path / "out"), "--quantization", "int8"]
    )
    assert done.exit_code == 0, done.output
    assert f"wrote {tmp_path / 'out'}" in done.output
    assert (tmp_path / "out" / "model.bin").exists()
