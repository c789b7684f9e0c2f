import pytest
import torch

from eclectus.policies import head
from eclectus.rollouts.limits import Limits


# Nothing of the forward pass is kept for the backward one, two of the six blocks, all of them.
@pytest.fixture(params=[0, 2 * 9 * 333 * 4, 10**9], ids=["none-kept", "some-kept", "all-kept"])
def case(monkeypatch, request):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 9 * 333)  # several pieces
    monkeypatch.setattr(head, "_KEPT_BYTES", request.param)
    monkeypatch.setattr(head, "_KEPT_SHARE", 0)
    torch.manual_seed(0)
    hidden = torch.randn(333, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    return hidden, weight, torch.randint(2, 50, (333,))


def capped(values, softcap):
    return values if softcap is None else softcap * torch.tanh(values / softcap)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
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
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    incoming = torch.randn(333, dtype=torch.float64)
    ours = head.scores(head.Predicted(hidden, weight, bias), labels, temperature, entropy=True).entropy
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
    ours = head.label_ranks(head.Predicted(hidden, weight, bias), labels)
    order = (hidden @ weight.T + bias).argsort(dim=-1, descending=True)
    assert ours.tolist() == ((order == labels[:, None]).nonzero()[:, 1] + 1).tolist()
    assert not ours.requires_grad


def test_divergence_and_gradient_equal_the_plain_ones(case):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    bias[:2] = float("-inf")
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (333, 50))
    other = head.Predicted(other_hidden, other_head, bias)
    ours = head.scores(head.Predicted(hidden, weight, bias), labels, 1.3, anchor=other).divergence
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


def test_a_second_backward_pass_finds_the_same_gradient(case):
    hidden, weight, labels = case
    ours = head.token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 0.7).sum()
    first = torch.autograd.grad(ours, [hidden, weight], retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(ours, [hidden, weight]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_frozen_head_gets_no_gradient_and_frozen_states_none_either(case):
    hidden, weight, labels = case
    bias = torch.zeros(50, dtype=torch.float64)
    both = torch.autograd.grad(head.token_logprobs(hidden, weight, bias, labels, 1.0).sum(), [hidden, weight])
    states = torch.autograd.grad(head.token_logprobs(hidden, weight.detach(), bias, labels, 1.0).sum(), [hidden])
    rows = torch.autograd.grad(head.token_logprobs(hidden.detach(), weight, bias, labels, 1.0).sum(), [weight])
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
            values = head.token_logprobs(*leaves, bias, labels, 1.0, 2.0)
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
    head.token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 1.0).sum().backward()
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
    head.token_logprobs(hidden, weight, torch.zeros(50, dtype=torch.float64), labels, 1.0).sum().backward()
    assert len(made) == products


def test_nothing_is_kept_where_nothing_wants_a_gradient(case, monkeypatch):
    monkeypatch.setattr(head, "_KEPT_BYTES", 7)
    assert [head._room(case[1], *wants) for wants in ((False, False), (True, False), (False, True))] == [0, 7, 7]


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_what_is_added_to_the_logits_counts(case, temperature):
    hidden, weight, labels = case
    bias, more = torch.randn(50, dtype=torch.float64), torch.randn(8, 50, dtype=torch.float64)
    bias[:2] = float("-inf")
    of = head.Predicted(hidden, weight, bias, 2.0, lambda states: states.sin() @ more)
    plain = torch.log_softmax((capped(hidden @ weight.T, 2.0) + bias + hidden.sin() @ more) / temperature, dim=-1)
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (333, 50))
    anchor = head.Predicted(other_hidden, other_head, bias)
    fixed = torch.log_softmax((other_hidden @ other_head.T + bias) / temperature, dim=-1).detach()
    found = head.scores(of, labels, temperature, entropy=True, anchor=anchor)
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
    assert head.scores(of, labels, temperature)[1:] == (None, None)


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
    of = head.Predicted(hidden, weight, bias, softcap, limited=limited)
    logs = torch.log_softmax((capped(hidden @ weight.T, softcap) + bias).masked_fill(out, float("-inf")) / 0.7, dim=-1)
    finite = logs.masked_fill(out, 0.0)
    other_hidden, other_head = (torch.randn(n, 8, dtype=torch.float64) for n in (333, 50))
    anchor = head.Predicted(other_hidden, other_head, bias, softcap, limited=limited)
    others = capped(other_hidden @ other_head.T, softcap) + bias
    fixed = torch.log_softmax(others.masked_fill(out, float("-inf")) / 0.7, dim=-1)
    found = head.scores(of, labels, 0.7, entropy=True, anchor=anchor)
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
    of = head.Predicted(hidden, weight, bias)
    with torch.no_grad():
        anchor = head.Predicted(hidden * 1.0, weight * 1.0, bias)
    divergence = head.scores(of, labels, 0.7, anchor=anchor).divergence
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
    anchor = head.Predicted(hidden.detach() + 1, weight.detach(), bias)
    found = head.scores(head.Predicted(hidden, weight, bias), labels, 1.0, entropy=True, anchor=anchor)
    sum(found).sum().backward()
    assert len(made) == products


def test_of_a_large_vocabulary_only_what_could_be_drawn_is_made(case, monkeypatch):
    hidden, weight, labels = case
    sizes, plain = [], head.linear
    monkeypatch.setattr(head, "linear", lambda *inputs: (sizes.append(len(inputs[1])), plain(*inputs))[1])
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 10**6)
    ids = torch.stack([labels % 3 + 7, labels % 5 + 9, torch.full_like(labels, -1)], dim=1).to(torch.int32)
    of = head.Predicted(hidden, weight, torch.zeros(50, dtype=torch.float64), limited=(Limits(ids, True), ids))
    head.scores(of, ids[:, 0].to(torch.int64), 1.0).logprobs.sum().backward()
    assert set(sizes) == {7}  # 7 to 13
    assert weight.grad[7:14].abs().min() > 0
    assert not weight.grad[:7].any() and not weight.grad[14:].any()


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "sizes"),
    [(10, 250, [100, 100, 50]), (1, 1500, [1000, 500]), (2000, 3, [1, 1, 1]), (0, 5, [5])],
)
def test_blocks_of_the_vocabulary_are_as_large_as_fits_and_hold_each_word_once(monkeypatch, tokens, vocabulary, sizes):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", 1000)
    parts = head._columns(tokens, vocabulary)
    assert [part.stop - part.start for part in parts] == sizes
    assert [word for part in parts for word in range(vocabulary)[part]] == list(range(vocabulary))


@pytest.mark.parametrize(("elements", "sizes"), [(1000, [64, 64, 22]), (5025, [100, 50]), (10**6, [150])])
def test_pieces_are_as_large_as_fits_and_hold_each_token_once(monkeypatch, elements, sizes):
    monkeypatch.setattr(head, "_PIECE_ELEMENTS", elements)
    parts = head._pieces(150, 50)
    assert [part.stop - part.start for part in parts] == sizes
    assert [token for part in parts for token in range(150)[part]] == list(range(150))


def test_nothing_to_score_is_an_empty_answer(case):
    _, weight, _ = case
    empty = head.Predicted(torch.zeros(0, 8, dtype=torch.float64), weight, torch.zeros(50, dtype=torch.float64))
    found = head.scores(empty, torch.zeros(0, dtype=torch.int64), 1.0, entropy=True, anchor=empty)
    assert [values.shape for values in found] == [(0,)] * 3


def test_the_bias_is_not_rounded_under_autocast():
    hidden, weight = torch.full((3, 8), 0.5), torch.full((5, 8), 0.25)
    bias = torch.tensor([5.001, 0.0, -3.003, 7.7, 1.0])
    with torch.autocast("cpu", torch.bfloat16):
        found = head.biased(hidden, weight, bias)
    assert torch.equal(found, torch.full((3, 5), 1.0) + bias)  # 1 is exact in bfloat16, 6.001 is not
    assert torch.equal(head.biased(hidden, weight, bias), found)
