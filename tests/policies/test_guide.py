"""A policy that follows values: saved, loaded, copied and searched as what it is; any vocabulary, any family."""

import json
from dataclasses import replace

import pytest
import torch

from eclectus.errors import ModelError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.guide import SETTINGS, WEIGHTS, Guide, GuideShape
from eclectus.policies.load import load_policy
from eclectus.rollouts.base import Sampling
from tests.policies.tiny_models import build
from tests.tiny import random_guide, segments, tiny_policy


@pytest.fixture
def guided():
    policy = tiny_policy()
    policy.follow(random_guide(policy))
    return policy


def test_the_value_of_one_token_is_that_of_all_and_v_drops_out_of_what_is_added():
    guide = Guide(GuideShape(5, 7, 3, 11), 2.0)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.copy_(torch.randn_like(parameter))
    states, tokens = torch.randn(4, 5), torch.tensor([3, 0, 10, 3])
    values = guide.values(states)
    assert torch.allclose(guide.values_of(states, tokens), values.gather(1, tokens[:, None]).squeeze(1), atol=1e-5)
    difference = values - guide(states) / 2
    assert torch.allclose(difference, difference[:, :1].expand_as(difference), atol=1e-5)


def test_a_new_guide_values_all_tokens_alike_and_changes_nothing():
    policy = tiny_policy()
    before = policy.translate(segments("en", "es"), 8)
    policy.follow(Guide(GuideShape(policy.width, 24, 8, policy.vocabulary), 5.0))
    assert (policy.guide.values(torch.randn(3, policy.width)) == 0).all()
    assert policy.translate(segments("en", "es"), 8) == before


def test_only_the_guide_is_trained(guided):
    assert {n.partition(".")[0] for n, p in guided.model.named_parameters() if p.requires_grad} == {"guide"}
    copied = guided.copy(trainable=True)
    assert {n.partition(".")[0] for n, p in copied.model.named_parameters() if p.requires_grad} == {"guide"}
    assert copied.guide is not guided.guide
    assert not any(p.requires_grad for p in guided.copy().model.parameters())


def test_256_000_tokens_cost_17_million_parameters():
    with torch.device("meta"):
        guide = Guide(GuideShape(1024, 256, 64, 256_000))
    assert sum(p.numel() for p in guide.parameters()) < 17e6


def test_saved_loaded_and_translated_the_same(guided, tmp_path):
    rows = segments("en", "es")
    plain = tiny_policy().translate(rows, 12)
    guided.save(tmp_path)
    loaded, _ = load_policy(str(tmp_path))
    assert guided.translate(rows, 12) == loaded.translate(rows, 12) != plain
    draws = [p.sample(rows, 4, Sampling(1.0, 8), torch.Generator().manual_seed(1)) for p in (guided, loaded)]
    assert torch.equal(draws[0].logprobs, draws[1].logprobs)
    assert guided.beam_search(rows, 3, 12) == loaded.beam_search(rows, 3, 12) != tiny_policy().beam_search(rows, 3, 12)
    # What plain transformers reads is the model at the start.
    for path in (SETTINGS, WEIGHTS):
        (tmp_path / path).unlink()
    assert load_policy(str(tmp_path))[0].translate(rows, 12) == plain


def test_the_librarys_search_follows_too(guided):
    """One beam of the library is our own greedy search."""
    rows = segments("en", "es")
    assert guided.beam_search(rows, 1, 12) == guided.translate(rows, 12)
    assert guided.translate(rows, 12) != tiny_policy().translate(rows, 12)
    # Nothing stays behind that would add the values a second time.
    assert not guided.model._forward_hooks and not guided.model.get_output_embeddings()._forward_pre_hooks


def test_scores_are_those_that_samples_were_drawn_with(guided):
    rows = segments("en", "fr")
    drawn = guided.sample(rows, 4, Sampling(0.8, 8), torch.Generator().manual_seed(1))
    scores = guided.token_scores(guided.tokenize_sources(rows), drawn.tokens, drawn.mask, 0.8, anchor=guided.copy())
    assert torch.allclose(scores.logprobs, drawn.logprobs, atol=1e-4)
    assert scores.divergence.abs().max() < 1e-5


@pytest.mark.parametrize("name", ["qwen2", "gemma2"])
def test_a_decoder_only_model_follows_too(name, tmp_path):
    """Gemma 2 squashes its logits; values are added behind that, in the library's search as in ours."""
    policy = CausalPolicy(*build(name, tmp_path))
    rows = segments("en", "es")
    plain = policy.translate(rows, 8)
    policy.follow(random_guide(policy))
    drawn = policy.sample(rows, 3, Sampling(1.0, 8), torch.Generator().manual_seed(1))
    sources = policy.tokenize_sources(rows)
    assert torch.allclose(policy.token_logprobs(sources, drawn.tokens, drawn.mask), drawn.logprobs, atol=1e-3)
    translated = policy.translate(rows, 8)
    assert policy.beam_search(rows, 1, 8) == translated != plain
    policy.save(tmp_path / "guided")
    assert load_policy(str(tmp_path / "guided"))[0].translate(rows, 8) == translated


def test_damaged_or_foreign_values_are_refused_in_one_sentence(guided, tmp_path):
    guided.save(tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text(encoding="utf-8"))
    for changed, message in [
        ({**settings, "rank": 9}, "are damaged"),
        ({k: v for k, v in settings.items() if k != "beta"}, "are damaged"),
    ]:
        (tmp_path / SETTINGS).write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(ModelError, match=message):
            load_policy(str(tmp_path))
    (tmp_path / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
    other = Guide(replace(guided.guide.shape, tokens=settings["tokens"] + 1))
    other.save(tmp_path)
    with pytest.raises(ModelError, match="the folder mixes files of two models"):
        load_policy(str(tmp_path))
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=f"{WEIGHTS} is missing"):
        load_policy(str(tmp_path))


def test_a_second_guide_is_refused(guided):
    with pytest.raises(ModelError, match="follows values already"):
        guided.follow(random_guide(guided))
