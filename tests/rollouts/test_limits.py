"""Tokens that are cut off are never drawn, and the others have exactly the probability that is left to them."""

import pytest
import torch

from eclectus.rollouts import limits as module
from eclectus.rollouts.base import Among, Rollouts, Sampling, joined
from eclectus.rollouts.limits import Limits, truncated
from eclectus.rollouts.native import draw
from tests.rollouts.fixed_decoder import END, PAD, START, TABLE, Fixed


def run(samples, sampling, table=TABLE, **options):
    return draw(
        Fixed(table, samples), 1, samples, sampling, start=[START], ends=[END], pad=PAD,
        generator=torch.Generator().manual_seed(3), **options,
    )  # fmt: skip


def left(row, top_k, top_p):
    """By hand: the likeliest, in order, until there are enough of them or of their probability."""
    kept, mass = [], 0.0
    for token in sorted(range(len(row)), key=lambda i: -row[i])[: top_k or len(row)]:
        if kept and (mass >= top_p or row[token] == 0):
            break
        kept.append(token)
        mass += row[token]
    return [row[i] / mass if i in kept else 0.0 for i in range(len(row))]


@pytest.mark.parametrize(
    ("row", "top_k", "top_p", "kept"),
    [
        ([0.5, 0.3, 0.2], 2, 1.0, [0, 1]),
        ([0.5, 0.3, 0.2], 0, 0.5, [0]),
        ([0.5, 0.3, 0.2], 0, 0.51, [0, 1]),
        ([0.5, 0.3, 0.2], 0, 0.9, [0, 1, 2]),
        ([0.5, 0.3, 0.2], 1, 0.9, [0]),
        ([0.2, 0.3, 0.5], 5, 0.1, [2]),
    ],
)
def test_what_is_left_by_hand(row, top_k, top_p, kept):
    tokens, scores = truncated(torch.tensor([row], dtype=torch.float64), top_k, top_p)
    found = {int(token): float(score.exp()) for token, score in zip(tokens[0], scores[0], strict=True) if score > -1e9}
    mass = sum(row[i] for i in kept)
    assert found == pytest.approx({i: row[i] / mass for i in kept})


def test_top_p_alone_leaves_no_more_than_can_be_written_down(monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    tokens, scores = truncated(torch.full((2, 9), 1 / 9), 0, 0.99)
    assert tokens.shape == (2, 3) and scores.exp().tolist() == [pytest.approx([1 / 3] * 3)] * 2


def test_rows_that_need_many_tokens_find_them_beside_rows_that_need_few():
    logits = torch.randn(40, 500, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.2, 8, 40)[:, None]
    probabilities = logits.softmax(dim=-1)
    tokens, scores = truncated(probabilities, 0, 0.9)
    counts = scores.isfinite().sum(dim=-1)
    assert counts.min() < module._FEW < counts.max()
    for row, ids, found in zip(probabilities.tolist(), tokens.tolist(), scores.exp().tolist(), strict=True):
        wanted = left(row, module.MOST, 0.9)
        assert {i: p for i, p in zip(ids, found, strict=True) if p} == pytest.approx(
            {i: p for i, p in enumerate(wanted) if p}, rel=1e-4
        )


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
@pytest.mark.parametrize(
    ("top_k", "top_p", "least"), [(2, 1.0, 0), (0, 0.85, 0), (3, 0.8, 0), (1, 1.0, 0), (0, 1.0, 2), (2, 0.9, 2)]
)
def test_sequences_come_with_their_exact_probabilities(temperature, top_k, top_p, least):
    n = 40_000
    drawn = run(n, Sampling(temperature, 2, top_k=top_k, top_p=top_p, min_length=least))
    table = []
    for position in range(2):
        powered = torch.tensor(TABLE) ** (1 / temperature)
        if position + 1 < least:
            powered[:, END] = 0.0
        powered[1] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # nothing follows an end
        powered /= powered.sum(dim=1, keepdim=True)
        table.append(torch.tensor([left(row, top_k, top_p) for row in powered.tolist()]))
    first, second = drawn.tokens[0, :, 0], drawn.tokens[0, :, -1]
    expected, observed = [table[0][START, END]], [(first == END).sum()]
    for a in (2, 3):
        for b in (1, 2, 3):
            expected.append(table[0][START, a] * table[1][a, b])
            observed.append(((first == a) & (second == b)).sum())
    expected, observed = torch.stack(expected) * n, torch.stack(observed)
    assert int(observed.sum()) == n and not observed[expected == 0].any()
    possible = expected > 0
    # 0.001 of a chi-square with as many degrees of freedom
    bound = {1: 0.0, 2: 10.83, 3: 13.82, 4: 16.27, 5: 18.47, 6: 20.52, 7: 22.46}[int(possible.sum())]
    assert ((observed - expected)[possible] ** 2 / expected[possible]).sum() <= bound + 1e-3
    assert torch.allclose(drawn.logprobs[0, :, 0].exp(), table[0][START][first], atol=1e-6)


def test_what_could_be_drawn_is_written_down_for_each_token_and_nothing_after_the_end():
    drawn = run(200, Sampling(1.0, 5, top_p=0.85))
    kept = {0: {2, 3}, 2: {1, 3, 2}, 3: {1, 2}}  # 0.6 + 0.3; 0.5 + 0.3 + 0.2; 0.7 + 0.2
    for tokens, mask, ids in zip(drawn.tokens[0], drawn.mask[0], drawn.limits.ids[0], strict=True):
        before = [START, *tokens.tolist()]
        for position, inside in enumerate(mask.tolist()):
            found = set(ids[position].tolist()) - {-1}
            assert found == (kept[before[position]] if inside else set())
    assert drawn.limits.only and drawn.limits.ids.dtype == torch.int32


@pytest.mark.parametrize("least", [2, 4, 7])
def test_no_end_comes_before_the_least_length(least):
    drawn = run(300, Sampling(1.0, 6, min_length=least))
    lengths = drawn.mask.sum(dim=-1)
    assert int(lengths.min()) == min(least, 6)
    assert bool(drawn.finished.any()) == (least < 7)
    assert not drawn.limits.only
    early = torch.arange(drawn.tokens.shape[2]) + 1 < least
    assert ((drawn.limits.ids[0, :, :, 0] == END) == early).all()


def test_where_nothing_is_cut_off_nothing_is_written_down_and_greedy_knows_no_limits():
    assert run(5, Sampling(1.0, 4, min_length=1)).limits is None
    greedy = draw(Fixed(TABLE, 1), 1, 1, Sampling(0.0, 4, top_k=1), start=[START], ends=[END], pad=PAD)
    assert greedy.limits is None and greedy.tokens[0, 0].tolist() == [2, END]


@pytest.mark.parametrize("changes", [{"epsilon": 0.1}, {"prefixes": [[2]]}])
def test_what_exploration_adds_or_a_prefix_gives_is_not_cut_off(changes):
    prefixes = changes.pop("prefixes", None)
    with pytest.raises(ValueError, match="neither with epsilon nor with prefixes"):
        run(2, Sampling(1.0, 4, top_k=2, **changes), prefixes=prefixes)


def test_logits_outside_are_gone_and_the_others_untouched():
    logits = torch.arange(8.0).view(2, 4)
    ids = torch.tensor([[0, 2], [3, -1]], dtype=torch.int32)
    none = float("-inf")
    assert Limits(ids, only=True).applied(logits, ids).tolist() == [[0, none, 2, none], [none, none, none, 7]]
    assert Limits(ids, only=False).applied(logits, ids).tolist() == [[none, 1, none, 3], [4, 5, 6, none]]


def test_they_go_with_their_samples_into_parts_and_back():
    whole = torch.arange(3 * 2 * 4 * 2, dtype=torch.int32).view(3, 2, 4, 2)

    def part(rows, width):
        shape = len(rows), 2, width
        return Rollouts(
            torch.zeros(shape), torch.zeros(shape), torch.ones(shape, dtype=torch.bool), torch.ones(shape[:2]),
            [[""] * 2] * len(rows), limits=Limits(whole[rows, :, :width], only=False),
        )  # fmt: skip

    found = joined([part([0, 2], 4), part([1], 3)], [[0, 2], [1]], pad=0)
    assert torch.equal(found.limits.ids[[0, 2]], whole[[0, 2]]) and not found.limits.only
    assert torch.equal(found.limits.ids[1, :, :3], whole[1, :, :3]) and (found.limits.ids[1, :, 3] == -1).all()
    assert torch.equal(found.only([2]).limits.ids, whole[[2]])
    assert torch.equal(found.limits.of([2, 0], 2).ids, whole[[2, 0], :, :2])
    assert torch.equal(found.to("cpu").limits.ids, found.limits.ids)


def test_samples_drawn_among_others_are_the_same():
    sampling = Sampling(1.0, 4, top_k=2, min_length=3)
    options = {"start": [START] * 3, "ends": [END], "pad": PAD}
    together = draw(Fixed(TABLE, 12), 3, 4, sampling, **options, generator=torch.Generator().manual_seed(1))
    options["start"] = [START]
    alone = draw(
        Fixed(TABLE, 4), 1, 4, sampling, **options, generator=torch.Generator().manual_seed(1), among=Among([1], 3)
    )
    width = alone.tokens.shape[2]
    assert torch.equal(alone.tokens[0], together.tokens[1, :, :width])
    assert torch.equal(alone.limits.ids[0], together.limits.ids[1, :, :width])
