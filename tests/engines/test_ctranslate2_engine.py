"""CTranslate2 draws and translates with the policy's weights of the moment, and says what it drew with."""

import copy
import sys
import warnings

import pytest
import torch

from eclectus.config import Component, LoraConfig
from eclectus.engines import ctranslate2 as engines
from eclectus.engines.base import engine_of
from eclectus.errors import ConfigError, RunError
from eclectus.policies.causal import CausalPolicy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from eclectus.segment import Segment
from tests.policies.tiny_models import SEQ2SEQ, build
from tests.tiny import random_guide, segments, tiny_policy

library = pytest.importorskip("ctranslate2", reason="needs the extra ctranslate2")

ROWS = segments("en", "es")


def made(name, folder):
    if name == "eclectus":
        return tiny_policy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Seq2SeqPolicy(*build(name, folder))


def engine(policy, **options):
    return engine_of(Component(type="ctranslate2", **options), policy, "reinforce.engine")


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def directions(name):
    """The corpus into two languages where the model can be told, so that starts differ within a batch."""
    return ROWS if name in {"opus_mt_pair", "bart"} else [*ROWS, *segments("en", "fr")]


@pytest.mark.parametrize("name", ["eclectus", *SEQ2SEQ])
def test_every_family_gives_the_policys_own_tokens_and_probabilities(name, tmp_path):
    policy, rows = made(name, tmp_path), directions(name)
    settings = copy.deepcopy(policy.model.config.to_dict())
    engine_ = engine(policy)
    for length in (3, 9):
        ours = policy.sample(rows, 1, Sampling(0.0, length), None)
        theirs = engine_.sample(rows, 1, Sampling(0.0, length), None)
        assert torch.equal(theirs.tokens, ours.tokens) and torch.equal(theirs.finished, ours.finished)
        assert torch.allclose(theirs.logprobs, ours.logprobs, atol=2e-4)
        assert theirs.texts == ours.texts
        assert engine_.translate(rows, length) == policy.translate(rows, length)
    for temperature in (0.6, 1.0, 1.7):
        drawn = engine_.sample(rows, 5, Sampling(temperature, 7), seeded())
        exact = policy.token_logprobs(policy.tokenize_sources(rows), drawn.tokens, drawn.mask, temperature).detach()
        assert torch.allclose(drawn.logprobs, exact, atol=5e-4)
        assert drawn.tokens.shape == (len(rows), 5, 7) and (drawn.tokens[~drawn.mask] == policy.pad_id).all()
        ends = torch.isin(drawn.tokens, torch.tensor(policy.end_ids))
        assert torch.equal((ends & drawn.mask).any(dim=-1), drawn.finished)
        assert (drawn.mask.sum(dim=-1)[~drawn.finished] == 7).all()
        assert len({tuple(row) for row in drawn.tokens.flatten(0, 1).tolist()}) > len(rows)
    assert policy.model.config.to_dict() == settings


@pytest.mark.parametrize(("name", "temperature"), [("eclectus", 0.8), ("m2m100", 1.4), ("mbart25", 1.0)])
def test_samples_come_as_often_as_the_policy_says(name, temperature, tmp_path):
    policy, n = made(name, tmp_path), 8_000
    # An end that is likely, an empty translation included: first token and whether the second ends.
    policy._bias[policy.end_id] = 3.0
    source, words = ROWS[:1], policy.vocabulary
    tokens = torch.full((1, words, 2), policy.end_id)
    tokens[0, :, 0] = torch.arange(words)
    mask = torch.ones(1, words, 2, dtype=torch.bool)
    with torch.no_grad():
        scores = policy.token_logprobs(policy.tokenize_sources(source), tokens, mask, temperature)[0].exp()
    first, ends = scores[:, 0], scores[:, 1].clone()
    ends[policy.end_id] = 0.0
    drawn = engine(policy).sample(source, n, Sampling(temperature, 2), seeded(3))
    ended = drawn.finished[0] & (drawn.tokens[0, :, 0] != policy.end_id)
    found = torch.zeros(words, 2).index_put((drawn.tokens[0, :, 0], ended.long()), torch.tensor(1.0), accumulate=True)
    expected = torch.stack([first * (1 - ends), first * ends], dim=1) * n
    assert found[expected == 0].sum() == 0
    assert expected.sum() == pytest.approx(n, rel=1e-4)
    assert expected[policy.end_id, 0] > 0.01 * n
    # Cells too rare for the approximation go together.
    often = expected >= 5
    cells = torch.cat([expected[often], expected[~often].sum()[None]])
    counts = torch.cat([found[often], found[~often].sum()[None]])
    freedom = len(cells) - 1
    chi_square = float(((counts - cells) ** 2 / cells.clamp(min=1e-9))[cells > 5].sum())
    # Wilson and Hilferty 1931: the p = 0.001 quantile.
    assert chi_square < freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3


def test_a_seed_means_the_same_samples():
    engine_ = engine(tiny_policy())
    one, two, other = (engine_.sample(ROWS, 4, Sampling(1.0, 8), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, two.tokens) and torch.equal(one.logprobs, two.logprobs)
    assert not torch.equal(one.tokens, other.tokens)


def test_the_weights_are_those_of_the_moment():
    policy = tiny_policy()
    engine_ = engine(policy)
    before = engine_.translate(ROWS, 6)
    with torch.no_grad():
        for parameter in policy.model.get_decoder().parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded()))
    assert engine_.translate(ROWS, 6) == policy.translate(ROWS, 6) != before


def test_an_adapter_is_part_of_the_weights():
    pytest.importorskip("peft", reason="needs the extra lora")
    policy = tiny_policy()
    plain = policy.translate(ROWS, 6)
    policy.adapt(LoraConfig(rank=2), "x", ["es"], 1)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=seeded())
    assert engine(policy).translate(ROWS, 6) == policy.translate(ROWS, 6) != plain


@pytest.mark.parametrize("name", ["eclectus", "m2m100", "t5"])
def test_beams_find_what_transformers_finds(name, tmp_path):
    policy = made(name, tmp_path)
    assert engine(policy).beam_search(ROWS, 3, 8) == policy.beam_search(ROWS, 3, 8)
    assert engine(policy).beam_search([], 3, 8) == []


def test_int8_draws_from_another_distribution_and_says_which():
    policy = tiny_policy()
    if "int8" not in library.get_supported_compute_types("cpu"):
        pytest.skip("CTranslate2 has no int8 on this processor")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad and parameter.dim() > 1:
                parameter.mul_(20)
    drawn = engine(policy, compute_type="int8").sample(ROWS, 50, Sampling(1.0, 8), seeded())
    sources = policy.tokenize_sources(ROWS)
    exact = policy.token_logprobs(sources, drawn.tokens, drawn.mask).detach()
    apart = (exact - drawn.logprobs)[drawn.mask]
    # Under 0.3 with VNNI, 0.5 on a processor without it, which adds products up in 16 bits.
    assert 1e-3 < apart.abs().mean() < 1.0
    # E_mu[log pi - log mu] = -KL(mu || pi) < 0: it is mu that is told, and what was drawn is drawn from it.
    assert apart.mean() < 0


def test_engines_that_cannot_run_a_policy_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"'reinforce\.engine': models of type 'llama' are decoder-only.*native"):
        engine(CausalPolicy(*build("llama", tmp_path)))
    guided = tiny_policy()
    guided.follow(random_guide(guided))
    with pytest.raises(ConfigError, match=r"follows values.*set it to \{type: native\}"):
        engine(guided)
    routed = tiny_policy()
    pytest.importorskip("peft", reason="needs the extra lora")
    routed.adapt(LoraConfig(per_language=True), "x", ["es", "fr"], 1)
    with pytest.raises(ConfigError, match="an adapter for each language"):
        engine(routed)
    with pytest.raises(ConfigError, match=r"unknown type 'ctranslate3'; did you mean 'ctranslate2'\?; 'native' is"):
        engine_of(Component(type="ctranslate3"), tiny_policy(), "evaluation.engine")
    with pytest.raises(ConfigError, match=r"'evaluation\.engine\.compute_type'.*'int4'"):
        engine_of(Component(type="ctranslate2", compute_type="int4"), tiny_policy(), "evaluation.engine")
    with pytest.raises(ConfigError, match=r"unknown key 'reinforce\.engine\.beams'"):
        engine_of(Component(type="native", beams=2), tiny_policy(), "reinforce.engine")
    monkeypatch.setattr(library, "get_supported_compute_types", lambda *_: {"float32", "int8"})
    with pytest.raises(ConfigError, match="does not compute in bfloat16 on this cpu; take one of float32, int8"):
        engine(tiny_policy(), compute_type="bfloat16")


def test_without_ctranslate2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(RunError, match=r"pip install 'eclectus\[ctranslate2\]'"):
        engine(tiny_policy())


def test_impossible_calls_are_refused():
    with pytest.raises(ValueError, match="needs a generator"):
        engine(tiny_policy()).sample(ROWS, 2, Sampling(1.0, 4), None)
    with pytest.raises(ValueError, match="ask for one"):
        engine(tiny_policy()).sample(ROWS, 2, Sampling(0.0, 4), None)


def test_a_model_goes_into_memory_only_where_it_has_room(tmp_path, monkeypatch):
    assert engines._folder(2**60) is None
    monkeypatch.setattr(engines, "_MEMORY", tmp_path)
    assert engines._folder(1000) == str(tmp_path)
    engine(tiny_policy()).sample([Segment("two", "en", "es")], 2, Sampling(1.0, 4), seeded())
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(engines, "_MEMORY", tmp_path / "none")
    assert engines._folder(1000) is None
