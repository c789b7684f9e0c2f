"""Weights in the order of the processor's matrix units: the same samples, from every layer but the embeddings."""

import pytest
import torch

from eclectus.policies.causal import CausalPolicy
from eclectus.policies.packed import GRID, PackedLinear, packs
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.rollouts.base import Sampling
from tests.policies.tiny_models import CAUSAL, build
from tests.tiny import segments, tiny_policy

pytestmark = pytest.mark.skipif(
    not packs(torch.bfloat16, torch.device("cpu")), reason="this processor or torch does not pack bfloat16 weights"
)


@pytest.mark.parametrize("name", ["nllb", "t5", "opus_mt", "mbart50", "llama", "gemma2", "qwen3"])
def test_packed_weights_give_the_same_samples(tmp_path, name):
    policy = (CausalPolicy if name in CAUSAL else Seq2SeqPolicy)(*build(name, tmp_path))
    plain, packed = policy.rounded(torch.bfloat16), policy.rounded(torch.bfloat16).packed()
    layers = [m for m in plain.model.modules() if type(m) is torch.nn.Linear]
    assert sum(isinstance(m, PackedLinear) for m in packed.model.modules()) == len(layers) - 1 > 10
    rows = segments("en", "es")
    one, other = (p.sample(rows, 20, Sampling(1.3, 6), torch.Generator().manual_seed(1)) for p in (plain, packed))
    # Sums are made in another order, which may change a last bit and so, rarely, a token.
    same = (one.tokens == other.tokens).all(dim=-1) if one.tokens.shape == other.tokens.shape else torch.zeros(1)
    assert float(same.float().mean()) > 0.9
    assert float((one.logprobs - other.logprobs)[same].abs().max()) < 0.05
    assert plain.grid == packed.grid == GRID and policy.grid == 1


def test_the_head_of_packed_weights_knows_what_is_never_said():
    packed = tiny_policy().rounded(torch.bfloat16).packed()
    # Large, so that the logits differ by far more than their rounding.
    states = (50 * torch.randn(5, packed.width, generator=torch.Generator().manual_seed(1))).bfloat16()
    logits = packed.next_logits(states)
    assert packed._packed_head is not None and logits[:, packed.never_said].isneginf().all()
    plain = tiny_policy().rounded(torch.bfloat16).next_logits(states)
    assert torch.equal(plain.isneginf(), logits.isneginf())
    finite = plain.isfinite()
    assert finite.float().mean() > 0.5 and plain[finite].float().std() > 1
    assert torch.allclose(plain[finite].float(), logits[finite].float(), rtol=0.02, atol=0.02)
