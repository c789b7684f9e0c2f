import pytest
import torch

from eclectus.policies import head
from eclectus.policies.predicted import Predicted, label_ranks, scores
from eclectus.rollouts.limits import Limits


def capped(values, softcap):
    return values if softcap is None else softcap * torch.tanh(values / softcap)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_entropy_and_gradient_equal_the_plain_ones(case, temperature):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    incoming = torch.randn(333, dtype=torch.float64)
    ours = scores(Predicted(hidden, weight, bias), labels, temperature, entropy=True).entropy
    logits = (hidden @ weight.T)[:, 2:] / temperature
    plain = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(ours.double(), plain, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad((ours * incoming).sum(), [hidden, weight]),
        torch.autograd.grad((plain * incoming).sum(), [hidden, weight]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-4)


def test_ranks_are_places_in_the_sorted_distribution(case, monkeypatch):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 5000)
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    ours = label_ranks(Predicted(hidden, weight, bias), labels)
    order = (hidden @ weight.T + bias).argsort(dim=-1, descending=True)
    assert ours.tolist() == ((order == labels[:, None]).nonzero()[:, 1] + 1).tolist()
    assert not ours.requires_grad


def test_divergence_and_gradient_equal_the_plain_ones(case):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (333, 50))
    other = Predicted(other_hidden, other_head, bias)
    ours = scores(Predicted(hidden, weight, bias), labels, 1.3, anchor=other).divergence
    p = torch.distributions.Categorical(logits=(hidden @ weight.T)[:, 2:] / 1.3)
    q = torch.distributions.Categorical(logits=(other.hidden @ other.head.T)[:, 2:] / 1.3)
    plain = torch.distributions.kl_divergence(p, q)
    assert torch.allclose(ours.double(), plain, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad(ours.sum(), [hidden, weight], retain_graph=True),
        torch.autograd.grad(plain.sum(), [hidden, weight]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-4)
    # The anchor does not move.
    assert torch.autograd.grad(ours.sum(), [other_hidden, other_head], allow_unused=True) == (None, None)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_what_is_added_to_the_logits_counts(case, temperature):
    hidden, weight, labels = case
    bias, more = torch.randn(50, dtype=torch.float64), torch.randn(8, 50, dtype=torch.float64)
    bias[:2] = float("-inf")
    of = Predicted(hidden, weight, bias, 2.0, lambda states: states.sin() @ more)
    plain = torch.log_softmax((capped(hidden @ weight.T, 2.0) + bias + hidden.sin() @ more) / temperature, dim=-1)
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (333, 50))
    anchor = Predicted(other_hidden, other_head, bias)
    fixed = torch.log_softmax((other_hidden @ other_head.T + bias) / temperature, dim=-1).detach()
    found = scores(of, labels, temperature, entropy=True, anchor=anchor)
    said, fixed = plain[:, 2:], fixed[:, 2:]
    pairs = [
        (found.logprobs, plain[range(333), labels]),
        (found.entropy, -(said.exp() * said).sum(dim=-1)),
        (found.divergence, (said.exp() * (said - fixed)).sum(dim=-1)),
    ]
    for ours, wanted in pairs:
        assert torch.allclose(ours.double(), wanted, atol=1e-4)
        for a, b in zip(
            torch.autograd.grad(ours.sum(), [hidden, weight], retain_graph=True),
            torch.autograd.grad(wanted.sum(), [hidden, weight], retain_graph=True),
            strict=True,
        ):
            assert (a - b).abs().max() < 1e-4 * b.abs().max()
    assert torch.autograd.grad(found.divergence.sum(), [other_hidden], allow_unused=True) == (None,)
    assert scores(of, labels, temperature)[1:] == (None, None)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("only", [True, False])
def test_what_could_not_be_drawn_has_no_part_in_value_or_gradient(case, only, softcap, monkeypatch):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 5000)
    hidden, weight, labels = case
    bias = torch.randn(50, dtype=torch.float64)
    ids = torch.stack([torch.randperm(50)[:6] for _ in range(333)]).to(torch.int32)
    ids[:, 3:][torch.rand(333, 3) < 0.5] = -1
    if only:
        labels = ids[:, 0].to(torch.int64)
    else:
        labels = torch.where((labels[:, None] == ids).any(dim=1), (ids.amax(dim=1) + 1) % 50, labels)
        ids[(labels[:, None] == ids)] = -1
    limited = (Limits(ids, only), ids)
    mask = torch.zeros(333, 51, dtype=torch.bool).scatter_(1, ids.to(torch.int64) % 51, True)[:, :50]
    out = ~mask if only else mask
    of = Predicted(hidden, weight, bias, softcap, limited=limited)
    logs = torch.log_softmax((capped(hidden @ weight.T, softcap) + bias).masked_fill(out, float("-inf")) / 0.7, dim=-1)
    finite = logs.masked_fill(out, 0.0)
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64) for n in (333, 50))
    anchor = Predicted(other_hidden, other_head, bias, softcap, limited=limited)
    others = capped(other_hidden @ other_head.T, softcap) + bias
    fixed = torch.log_softmax(others.masked_fill(out, float("-inf")) / 0.7, dim=-1)
    found = scores(of, labels, 0.7, entropy=True, anchor=anchor)
    pairs = [
        (found.logprobs, logs[range(333), labels]),
        (found.entropy, -(logs.exp() * finite).sum(dim=-1)),
        (found.divergence, (logs.exp() * (finite - fixed.masked_fill(out, 0.0))).sum(dim=-1)),
    ]
    incoming = torch.randn(333, dtype=torch.float64)
    together = [sum((k + 1) * values for k, values in enumerate(side)) for side in zip(*pairs, strict=True)]
    for ours, plain in [*pairs, together]:
        assert torch.allclose(ours.double(), plain, atol=1e-4)
        for a, b in zip(
            torch.autograd.grad((ours * incoming).sum(), [hidden, weight], retain_graph=True),
            torch.autograd.grad((plain * incoming).sum(), [hidden, weight], retain_graph=True),
            strict=True,
        ):
            assert (a - b).abs().max() < 1e-5 * b.abs().max()


def test_a_model_is_no_way_from_itself(case):
    hidden, weight, labels = (x.detach().requires_grad_(x.is_floating_point()) for x in case)
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    of = Predicted(hidden, weight, bias)
    with torch.no_grad():
        anchor = Predicted(hidden * 1.0, weight * 1.0, bias)
    divergence = scores(of, labels, 0.7, anchor=anchor).divergence
    assert not divergence.any()
    for grad in torch.autograd.grad(divergence.sum(), [hidden, weight]):
        assert grad.abs().max() < 1e-6


@pytest.mark.parametrize(("kept", "products"), [(0, 6 + 6 + 6 + 6), (10**9, 6 + 6)], ids=["none-kept", "all-kept"])
def test_one_pass_serves_all_scores(case, monkeypatch, kept, products):
    """Six blocks each of the policy and of its anchor, made again where nothing is kept."""
    hidden, weight, labels = case
    made, plain = [], head.linear
    monkeypatch.setattr(head, "linear", lambda *inputs: (made.append(1), plain(*inputs))[1])
    monkeypatch.setattr(head, "_KEPT_BYTES", kept)
    bias = torch.zeros(50, dtype=torch.float64)
    anchor = Predicted(hidden.detach() + 1, weight.detach(), bias)
    found = scores(Predicted(hidden, weight, bias), labels, 1.0, entropy=True, anchor=anchor)
    sum(found).sum().backward()
    assert len(made) == products


def test_of_a_large_vocabulary_only_what_could_be_drawn_is_made(case, monkeypatch):
    hidden, weight, labels = case
    sizes, plain = [], head.linear
    monkeypatch.setattr(head, "linear", lambda *inputs: (sizes.append(len(inputs[1])), plain(*inputs))[1])
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 10**6)
    ids = torch.stack([labels % 3 + 7, labels % 5 + 9, torch.full_like(labels, -1)], dim=1).to(torch.int32)
    of = Predicted(hidden, weight, torch.zeros(50, dtype=torch.float64), limited=(Limits(ids, True), ids))
    scores(of, ids[:, 0].to(torch.int64), 1.0).logprobs.sum().backward()
    assert set(sizes) == {7}  # 7 to 13
    assert weight.grad[7:14].abs().min() > 0
    assert not weight.grad[:7].any() and not weight.grad[14:].any()


def test_nothing_to_score_is_an_empty_answer(case):
    _, weight, _ = case
    empty = Predicted(torch.zeros(0, 8, dtype=torch.float64), weight, torch.zeros(50, dtype=torch.float64))
    found = scores(empty, torch.zeros(0, dtype=torch.int64), 1.0, entropy=True, anchor=empty)
    assert [values.shape for values in found] == [(0,)] * 3
    assert label_ranks(empty, torch.zeros(0, dtype=torch.int64)).shape == (0,)
