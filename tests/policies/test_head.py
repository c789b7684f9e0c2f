import pytest
import torch

from eclectus.policies import head


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 64 * 50)  # several pieces
    torch.manual_seed(0)
    hidden = torch.randn(333, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    return hidden, weight, torch.randint(2, 50, (333,))


def capped(values, softcap):
    return values if softcap is None else softcap * torch.tanh(values / softcap)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_logprobs_and_gradient_equal_the_plain_ones(case, temperature, softcap):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    incoming = torch.randn(333, dtype=torch.float64)
    ours = head.token_logprobs(hidden, weight, bias, labels, temperature, softcap)
    plain = (
        torch.log_softmax((capped(hidden @ weight.T, softcap) + bias) / temperature, -1)
        .gather(1, labels[:, None])
        .squeeze(1)
    )
    assert torch.allclose(ours.double(), plain, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad((ours * incoming).sum(), [hidden, weight]),
        torch.autograd.grad((plain * incoming).sum(), [hidden, weight]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_loss_and_gradient_equal_the_plain_ones(case, smoothing, softcap):
    hidden, weight, labels = case
    bias = torch.randn(50, dtype=torch.float64)
    loss, likelihood = head.smoothed_cross_entropy(hidden, weight, bias, labels, smoothing, softcap)
    logits = capped(hidden @ weight.T, softcap) + bias
    plain = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    nll = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    assert likelihood.item() == pytest.approx(nll.item(), rel=1e-6)
    assert not likelihood.requires_grad  # it is for the log; the gradient belongs to the loss
    for a, b in zip(
        torch.autograd.grad(loss / 7, [hidden, weight]), torch.autograd.grad(plain / 7, [hidden, weight]), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_entropy_and_gradient_equal_the_plain_ones(case, temperature):
    hidden, weight, _ = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    incoming = torch.randn(333, dtype=torch.float64)
    ours = head.entropies(head.Predicted(hidden, weight, bias), temperature)
    logits = (hidden @ weight.T)[:, 2:] / temperature
    plain = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(ours.double(), plain, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad((ours * incoming).sum(), [hidden, weight]),
        torch.autograd.grad((plain * incoming).sum(), [hidden, weight]),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-4)


def test_divergence_and_gradient_equal_the_plain_ones(case):
    hidden, weight, _ = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (333, 50))
    other = head.Predicted(other_hidden, other_head, bias)
    ours = head.divergences(head.Predicted(hidden, weight, bias), other, 1.3)
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


@pytest.mark.parametrize(("elements", "sizes"), [(1000, [64, 64, 22]), (5025, [100, 50]), (10**6, [150])])
def test_pieces_are_as_large_as_fits_and_hold_each_token_once(monkeypatch, elements, sizes):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", elements)
    parts = head._pieces(150, 50)
    assert [part.stop - part.start for part in parts] == sizes
    assert [token for part in parts for token in range(150)[part]] == list(range(150))


def test_nothing_to_score_is_an_empty_answer(case):
    _, weight, _ = case
    empty = head.Predicted(torch.zeros(0, 8, dtype=torch.float64), weight, torch.zeros(50, dtype=torch.float64))
    assert head.entropies(empty, 1.0).shape == (0,)
