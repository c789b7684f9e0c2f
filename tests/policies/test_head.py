import pytest
import torch

from eclectus.policies import head
from tests import device

ON_EACH = pytest.mark.parametrize(("device", "limit"), [("cpu", "_PIECE_ELEMENTS"), ("cuda", "_DEVICE_PIECE_ELEMENTS")])


def token_logprobs(hidden, weight, bias, labels, temperature, softcap=None):
    return head.block_scores(hidden, weight, bias, labels, head.Asked(temperature, softcap))[0]


def capped(values, softcap):
    return values if softcap is None else softcap * torch.tanh(values / softcap)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_logprobs_and_gradient_equal_the_plain_ones(case, temperature, softcap):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    incoming = torch.randn(333, dtype=torch.float64)
    ours = token_logprobs(hidden, weight, bias, labels, temperature, softcap)
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


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_no_block_waits_for_a_device(case, monkeypatch, softcap):
    monkeypatch.setattr(head, "_DEVICE_PIECE_ELEMENTS", 5 * 333)
    monkeypatch.setattr(head, "_KEPT_BYTES", 2 * 5 * 333 * 4)  # others are made again
    hidden, weight, labels = case[0].detach().float(), case[1].detach().float(), case[2]
    incoming = torch.randn(333)

    def gradients(place):
        given = hidden.to(place).requires_grad_(), weight.to(place).requires_grad_()
        found = token_logprobs(*given, torch.zeros(50).to(place), labels.to(place), 0.7, softcap)
        return found, *torch.autograd.grad((found * incoming.to(place)).sum(), given)

    here = gradients("cpu")
    with device.pretended() as there:
        found = gradients(device.NAME)
        assert not there.waits
        for a, b in zip(here, found, strict=True):
            assert torch.allclose(a, b.cpu(), atol=1e-4)


def test_a_second_backward_pass_finds_the_same_gradient(case):
    hidden, weight, labels = case
    ours = token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 0.7).sum()
    first = torch.autograd.grad(ours, [hidden, weight], retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(ours, [hidden, weight]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_frozen_head_gets_no_gradient_and_frozen_states_none_either(case):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    both = torch.autograd.grad(token_logprobs(hidden, weight, bias, labels, 1.0).sum(), [hidden, weight])
    states = torch.autograd.grad(token_logprobs(hidden, weight.detach(), bias, labels, 1.0).sum(), [hidden])
    rows = torch.autograd.grad(token_logprobs(hidden.detach(), weight, bias, labels, 1.0).sum(), [weight])
    assert torch.allclose(states[0], both[0]) and torch.allclose(rows[0], both[1])


def test_half_precision_sums_in_single(case):
    """bfloat16 has 8 bits: gradients summed over many blocks in it would be off by percents."""
    hidden, weight, labels = case
    bias = torch.zeros(50)
    low_hidden, low_weight = (x.detach().bfloat16().requires_grad_() for x in (hidden, weight))
    loss, _ = head.smoothed_cross_entropy(low_hidden, low_weight, bias, labels, 0.1)
    ours = torch.autograd.grad(loss, [low_hidden, low_weight])
    exact_hidden, exact_weight = (x.detach().double().requires_grad_() for x in (low_hidden, low_weight))
    plain = torch.nn.functional.cross_entropy(
        exact_hidden @ exact_weight.T, labels, label_smoothing=0.1, reduction="sum"
    )
    for a, b in zip(ours, torch.autograd.grad(plain, [exact_hidden, exact_weight]), strict=True):
        assert a.dtype == torch.bfloat16
        assert (a.double() - b).norm() / b.norm() < 0.01


def test_a_capped_head_has_the_plain_gradient_in_single_precision_too(case):
    """There sums are made in place, and what the cap's slope is made of must outlast them."""
    hidden, weight, labels = (x.detach() for x in case)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [x.to(dtype).requires_grad_() for x in (hidden, weight)]
        bias = torch.linspace(-2, 2, 50, dtype=dtype)
        if dtype == torch.float32:
            values = token_logprobs(*leaves, bias, labels, 1.0, 2.0)
        else:
            logits = capped(leaves[0] @ leaves[1].T, 2.0) + bias
            values = -torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        found.append(torch.autograd.grad(values.sum(), leaves))
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a.double(), b, atol=1e-4)


@pytest.mark.parametrize(("room", "products"), [(9 * 333 * 4, 11), (9 * 333 * 4 - 1, 12), (10**9, 6), (0, 12)])
def test_blocks_that_are_kept_are_not_made_again(case, monkeypatch, room, products):
    """Six blocks; the first five have 9 columns in single precision each."""
    hidden, weight, labels = case
    made, plain = [], head.linear
    monkeypatch.setattr(head, "linear", lambda *inputs: (made.append(1), plain(*inputs))[1])
    monkeypatch.setattr(head, "_KEPT_BYTES", room)
    token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 1.0).sum().backward()
    assert len(made) == products


@pytest.mark.parametrize(
    ("share", "wants_head", "products"),
    # Three blocks of 11,988 bytes fit into twelve times the weight's 3,200, none where the weight is frozen.
    [(12, True, 9), (12, False, 12), (3.7, True, 12)],
)
def test_a_large_weight_that_is_trained_lets_more_blocks_be_kept(case, monkeypatch, share, wants_head, products):
    hidden, weight, labels = case
    made, plain = [], head.linear
    monkeypatch.setattr(head, "linear", lambda *inputs: (made.append(1), plain(*inputs))[1])
    monkeypatch.setattr(head, "_KEPT_BYTES", 0)
    monkeypatch.setattr(head, "_KEPT_SHARE", share)
    weight = weight.detach().requires_grad_(wants_head)
    token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 1.0).sum().backward()
    assert len(made) == products


def test_nothing_is_kept_where_nothing_wants_a_gradient(case, monkeypatch):
    monkeypatch.setattr(head, "_KEPT_BYTES", 7)
    assert [head._room(case[1], *wants) for wants in ((False, False), (True, False), (False, True))] == [0, 7, 7]


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "sizes"),
    [(10, 250, [100, 100, 50]), (1, 1500, [1000, 500]), (2000, 3, [1, 1, 1]), (0, 5, [5])],
)
@ON_EACH
def test_blocks_of_the_vocabulary_are_as_large_as_fits_and_hold_each_word_once(
    monkeypatch, tokens, vocabulary, sizes, device, limit
):
    monkeypatch.setattr(head, limit, 1000)
    parts = head._columns(tokens, vocabulary, torch.device(device))
    assert [part.stop - part.start for part in parts] == sizes
    assert [word for part in parts for word in range(vocabulary)[part]] == list(range(vocabulary))


@pytest.mark.parametrize(("elements", "sizes"), [(1000, [64, 64, 22]), (5025, [100, 50]), (10**6, [150])])
@ON_EACH
def test_pieces_are_as_large_as_fits_and_hold_each_token_once(monkeypatch, elements, sizes, device, limit):
    monkeypatch.setattr(head, limit, elements)
    parts = head._pieces(150, 50, torch.device(device))
    assert [part.stop - part.start for part in parts] == sizes
    assert [token for part in parts for token in range(150)[part]] == list(range(150))


def test_the_bias_is_not_rounded_under_autocast():
    hidden, weight = torch.full((3, 8), 0.5), torch.full((5, 8), 0.25)
    bias = torch.tensor([5.001, 0.0, -3.003, 7.7, 1.0])
    with torch.autocast("cpu", torch.bfloat16):
        found = head.biased(hidden, weight, bias)
    assert torch.equal(found, torch.full((3, 5), 1.0) + bias)  # 1 is exact in bfloat16, 6.001 is not
    assert torch.equal(head.biased(hidden, weight, bias), found)
