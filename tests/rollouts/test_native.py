import math
from itertools import pairwise

import pytest
import torch

from eclectus.errors import RunError
from eclectus.rollouts.base import Among, Rollouts, Sampling, exploring
from eclectus.rollouts.choice import inverse_cdf
from eclectus.rollouts.native import draw
from tests.rollouts.fixed_decoder import END, PAD, START, TABLE, Fixed


def run(temperature=1.0, sources=1, samples=1, length=4, seed=1, table=TABLE, epsilon=0.0, top_k=0, **options):
    generator = torch.Generator().manual_seed(seed)
    stepper = Fixed(table, sources * samples)
    drawn = draw(
        stepper,
        sources,
        samples,
        Sampling(temperature, length, epsilon, top_k),
        start=[START] * sources,
        ends=[END],
        pad=PAD,
        generator=generator,
        **options,
    )
    return drawn, stepper


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_sequences_come_with_their_exact_probabilities(temperature):
    n = 40_000
    drawn, _ = run(temperature, samples=n, length=2)
    powered = torch.tensor(TABLE) ** (1 / temperature)
    table = powered / powered.sum(dim=1, keepdim=True)
    expected, observed = [], []
    first, second = drawn.tokens[0, :, 0], drawn.tokens[0, :, 1]
    expected.append(table[START, END])
    observed.append((first == END).sum())
    for a in (2, 3):
        for b in (1, 2, 3):
            expected.append(table[START, a] * table[a, b])
            observed.append(((first == a) & (second == b)).sum())
    expected, observed = torch.stack(expected) * n, torch.stack(observed)
    assert int(observed.sum()) == n
    chi_square = ((observed - expected) ** 2 / expected).sum()
    assert chi_square < 22.46  # 6 degrees of freedom, p = 0.001
    assert torch.allclose(drawn.logprobs[0, :, 0].exp(), table[START][first], atol=1e-6)


def test_logprobs_are_those_of_the_drawn_tokens():
    drawn, _ = run(samples=50, length=3)
    table = torch.tensor(TABLE).log()
    for g in range(50):
        last = START
        for t in range(drawn.tokens.shape[2]):
            if not drawn.mask[0, g, t]:
                assert drawn.logprobs[0, g, t] == 0
                continue
            token = int(drawn.tokens[0, g, t])
            assert drawn.logprobs[0, g, t] == pytest.approx(float(table[last, token]), abs=1e-6)
            last = token


def test_mask_holds_the_end_and_nothing_after_it():
    drawn, _ = run(samples=200, length=4)
    for tokens, mask, finished in zip(drawn.tokens[0], drawn.mask[0], drawn.finished[0], strict=True):
        inside = tokens[mask].tolist()
        assert mask.tolist() == [True] * len(inside) + [False] * (len(mask) - len(inside))
        assert (inside[-1] == END) == bool(finished)
        assert END not in inside[:-1]
        assert (tokens[~mask] == PAD).all()


def test_length_limit_leaves_rows_unfinished():
    drawn, _ = run(samples=10, length=3, table=[[0, 0, 0.5, 0.5]] * 4)
    assert not drawn.finished.any()
    assert drawn.mask.all()


def test_greedy_takes_the_likeliest_and_needs_no_generator():
    drawn = draw(Fixed(TABLE, 1), 1, 1, Sampling(0.0, 4), start=[START], ends=[END], pad=PAD)
    assert drawn.tokens[0, 0].tolist() == [2, END]
    assert drawn.logprobs[0, 0].exp().tolist() == pytest.approx([0.6, 0.5])


def test_finished_sources_leave_the_batch():
    _, stepper = run(sources=40, samples=1, length=4)
    assert stepper.seen[0] == 40
    assert stepper.seen == sorted(stepper.seen, reverse=True)
    assert stepper.seen[-1] < 40


def test_same_seed_same_samples_another_seed_others():
    one, two, other = run(samples=30)[0], run(samples=30)[0], run(samples=30, seed=2)[0]
    assert torch.equal(one.tokens, two.tokens)
    assert not torch.equal(one.tokens, other.tokens)


def test_a_token_of_probability_zero_is_never_drawn():
    drawn, _ = run(samples=20_000, length=1)
    assert not (drawn.tokens == 0).any()


def test_entropy_is_the_mean_over_the_positions_met():
    drawn, _ = run(samples=1, length=1, with_entropy=True)
    row = torch.tensor(TABLE[START][1:])
    assert drawn.entropy.item() == pytest.approx(float(-(row * row.log()).sum()), abs=1e-6)


def test_entropy_that_nobody_asked_for_is_not_measured():
    assert not run(samples=5)[0].entropy.any()


def test_logits_of_another_type_are_read_in_single_precision():
    class Half(Fixed):
        def step(self, tokens):
            return super().step(tokens).bfloat16()

    def drawn(kind, table):
        options = {"start": [START], "ends": [END], "pad": PAD, "generator": torch.Generator().manual_seed(1)}
        return draw(kind(table, 50), 1, 50, Sampling(1.0, 4), **options)

    rounded = torch.tensor(TABLE).log().bfloat16().double().exp().tolist()
    half, single = drawn(Half, TABLE), drawn(Fixed, rounded)
    assert torch.equal(half.tokens, single.tokens) and half.logprobs.dtype == torch.float32
    assert torch.allclose(half.logprobs, single.logprobs, atol=1e-6)


def test_entropy_leaves_out_what_comes_after_the_end():
    drawn, _ = run(sources=20, samples=5, length=4, with_entropy=True)
    rows = torch.tensor(TABLE)
    each = -(rows * rows.clamp(min=1e-30).log()).sum(dim=1)
    assert len(drawn.mask.sum(dim=-1).unique()) > 2
    for tokens, mask, found in zip(
        drawn.tokens.flatten(0, 1), drawn.mask.flatten(0, 1), drawn.entropy.flatten(), strict=True
    ):
        met = [START, *tokens[mask].tolist()[:-1]]
        assert found.item() == pytest.approx(float(each[met].mean()), abs=1e-5)


def test_after_the_end_everything_is_empty_also_for_sources_that_left_the_batch():
    drawn, stepper = run(sources=30, samples=2, length=6, epsilon=0.3, top_k=2, prefixes=[[3]] * 30)
    assert stepper.seen[-1] < stepper.seen[0] and not drawn.mask.all()
    for values in (drawn.logprobs, drawn.floor, drawn.forced, drawn.tokens):
        assert not values[~drawn.mask].any()  # the padding is token 0
    assert (drawn.logprobs[drawn.mask] < 0).all()
    for mask in drawn.mask.flatten(0, 1).tolist():
        assert mask == sorted(mask, reverse=True)


class Own:
    """A decoder whose rows differ: each says token 2 for some steps more, then the end. It must be kept up."""

    def __init__(self, left):
        self.left = left

    def step(self, tokens):
        assert len(tokens) == len(self.left)
        wanted = torch.tensor([2 if steps > 0 else END for steps in self.left])
        self.left = [steps - 1 for steps in self.left]
        return torch.full((len(tokens), 4), -1e9).scatter(1, wanted[:, None], 0.0)

    def keep(self, rows):
        self.left = [self.left[row] for row in rows.tolist()]


def test_the_decoder_is_told_which_rows_go_on():
    steps = [2, 5, 0, 1, 3, 0, 1, 4]
    drawn = draw(Own([*steps]), 4, 2, Sampling(0.0, 6), start=[START] * 4, ends=[END], pad=PAD)
    assert drawn.mask.sum(dim=-1).flatten().tolist() == [count + 1 for count in steps]


def test_samples_of_a_source_do_not_depend_on_when_the_others_end():
    def samples(first):
        generator = torch.Generator().manual_seed(4)
        starts = [first, START, START]
        drawn = draw(
            Fixed([[0.0, 0.1, 0.6, 0.3], [0.0, 1.0, 0.0, 0.0], *TABLE[2:]], 60),
            3,
            20,
            Sampling(1.0, 5),
            start=starts,
            ends=[END],
            pad=PAD,
            generator=generator,
        )
        return torch.nn.functional.pad(drawn.tokens[1:], (0, 5 - drawn.tokens.shape[2]))

    assert torch.equal(samples(START), samples(END))  # from END the first source ends at once


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 1), (0.4999, 1), (0.5, 2), (1 - 1e-12, 2), (1.0, 2)])
def test_the_ends_of_the_unit_interval_give_tokens_that_can_be(uniform, token):
    probabilities = torch.tensor([[0.0, 0.5, 0.5, 0.0]])
    assert inverse_cdf(probabilities, torch.tensor([0]), torch.tensor([uniform], dtype=torch.float64)).tolist() == [
        token
    ]


def test_a_word_at_the_edge_of_a_block_is_the_first_that_exceeds():
    """Blocks have 64 words; a sum that is just reached is not exceeded."""
    halves, second = torch.zeros(2, 128)
    halves[10] = halves[70] = 0.5
    second[70] = 1.0
    uniform = torch.tensor([0.4999, 0.5, 0.0], dtype=torch.float64)
    assert inverse_cdf(torch.stack([halves, second]), torch.tensor([0, 0, 1]), uniform).tolist() == [10, 70, 70]


def test_a_prefix_may_hold_the_first_token_of_the_vocabulary():
    drawn, _ = run(samples=50, length=2, table=[[0.1, 0.3, 0.3, 0.3]] * 4, prefixes=[[0]])
    assert not drawn.tokens[0, :, 0].any() and drawn.forced[0, :, 0].all()


def test_actions_are_the_tokens_that_were_drawn():
    mask = torch.tensor([[[True, True, False]]])
    made = Rollouts(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), mask, torch.tensor([[True]]), [[""]])
    assert torch.equal(made.actions, mask)
    made.forced = torch.tensor([[[True, False, False]]])
    assert made.actions.tolist() == [[[False, True, False]]]


def test_some_of_the_sources_keep_all_that_is_known_of_them():
    values = torch.arange(6.0).view(3, 1, 2)
    made = Rollouts(values, values, values > 0, torch.ones(3, 1, dtype=torch.bool), [["a"], ["b"], ["c"]], values)
    part = made.only([2, 0])
    assert part.texts == [["c"], ["a"]] and part.forced is None
    assert torch.equal(part.floor, values[[2, 0]]) and torch.equal(part.mask, made.mask[[2, 0]])


def test_sampling_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="needs a generator"):
        draw(Fixed(TABLE, 1), 1, 1, Sampling(1.0, 4), start=[START], ends=[END], pad=PAD)


def mixed(table, epsilon, k):
    """(1 - epsilon) * p + epsilon / k on the k likeliest, by hand."""
    rows = []
    for row in table:
        best = sorted(range(len(row)), key=lambda i: -row[i])[:k]
        best = [i for i in best if row[i] > 0]
        rows.append([(1 - epsilon) * p + (epsilon / len(best) if i in best else 0) for i, p in enumerate(row)])
    return torch.tensor(rows)


# from START the four tokens have probability 0, 0.1, 0.6, 0.3; a k of 0 is all that can be said
@pytest.mark.parametrize(
    ("temperature", "epsilon", "k"), [(1.0, 0.4, 2), (0.7, 0.4, 2), (1.0, 0.4, 0), (1.0, 0.9, 1), (1.0, 0.05, 3)]
)
def test_exploring_samples_come_with_their_exact_probabilities(temperature, epsilon, k):
    n = 40_000
    drawn, _ = run(temperature, samples=n, length=2, epsilon=epsilon, top_k=k)
    powered = torch.tensor(TABLE) ** (1 / temperature)
    own = powered / powered.sum(dim=1, keepdim=True)
    table = mixed(own.tolist(), epsilon, k or 4)
    first, second = drawn.tokens[0, :, 0], drawn.tokens[0, :, 1]
    expected, observed = [table[START, END]], [(first == END).sum()]
    for a in (2, 3):
        for b in (1, 2, 3):
            expected.append(table[START, a] * table[a, b])
            observed.append(((first == a) & (second == b)).sum())
    expected, observed = torch.stack(expected) * n, torch.stack(observed)
    assert int(observed.sum()) == n
    assert ((observed - expected) ** 2 / expected).sum() < 22.46  # 6 degrees of freedom, p = 0.001
    assert torch.allclose(drawn.logprobs[0, :, 0].exp(), table[START][first], atol=1e-6)
    plain = own[START][first] * (1 - epsilon)
    assert torch.allclose(drawn.floor[0, :, 0], table[START][first] - plain, atol=1e-6)


def test_exploration_of_tokens_that_cannot_be_said_never_happens():
    drawn, _ = run(samples=5_000, length=1, epsilon=0.9, top_k=4)
    assert not (drawn.tokens == 0).any()


def test_nothing_is_added_after_the_end_of_a_row_that_stays_in_the_batch():
    drawn, stepper = run(samples=64, length=8, table=[[0.0, 0.05, 0.6, 0.35]] * 4, epsilon=0.05, top_k=3)
    assert stepper.seen[2] == 64 and not drawn.mask[0, :, 2].all()
    assert drawn.floor[drawn.mask].all() and not drawn.floor[~drawn.mask].any()


def test_without_exploration_nothing_is_added_and_samples_are_the_same():
    plain, _ = run(samples=50)
    again, _ = run(samples=50, epsilon=0.0, top_k=3)
    assert plain.floor is None and torch.equal(plain.tokens, again.tokens)


def test_samples_begin_with_their_prefix_and_go_on_by_themselves():
    drawn, _ = run(sources=3, samples=200, length=3, prefixes=[[3], [2, END], []])
    assert (drawn.tokens[0, :, 0] == 3).all()
    assert len(drawn.tokens[0, :, 1].unique()) == 3
    assert (drawn.tokens[1] == torch.tensor([2, END, PAD])).all()
    assert drawn.forced.sum(dim=-1).tolist() == [[1] * 200, [2] * 200, [0] * 200]
    assert drawn.logprobs[0, :, 0].exp().tolist() == pytest.approx([0.3] * 200)
    assert drawn.finished[1].all()
    # what is drawn after the prefix has the policy's own distribution: from 3, probabilities 0.7, 0.2, 0.1
    counts = torch.stack([(drawn.tokens[0, :, 1] == token).sum() for token in (1, 2, 3)])
    expected = torch.tensor([140.0, 40.0, 20.0])
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # 2 degrees of freedom, p = 0.001


def test_a_prefix_ends_at_a_token_that_can_never_be_said():
    drawn, _ = run(samples=20, length=3, prefixes=[[2, 0, 3]])
    assert (drawn.tokens[0, :, 0] == 2).all()
    assert drawn.forced.sum(dim=-1).tolist() == [[1] * 20]
    assert torch.isfinite(drawn.logprobs).all()


def test_a_prefix_longer_than_the_limit_is_cut_and_unfinished():
    drawn, _ = run(samples=2, length=2, prefixes=[[2, 2, 3, END]])
    assert drawn.tokens[0].tolist() == [[2, 2], [2, 2]]
    assert not drawn.finished.any()


def test_exploring_logprobs_in_training_are_those_of_sampling():
    drawn, _ = run(samples=100, length=1, epsilon=0.4, top_k=2)
    policy = torch.tensor(TABLE)[START][drawn.tokens].log()
    assert torch.allclose(exploring(policy, drawn.floor, 0.4), drawn.logprobs, atol=1e-6)


def twice(token):
    """What finds a token that comes twice in a row."""

    def found(rows, since):
        places = (range(max(1, since), len(row)) for row in rows)
        return [
            next((at for at in own if list(row[at - 1 : at + 1]) == [token] * 2), None)
            for row, own in zip(rows, places, strict=True)
        ]

    return found


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_several_tokens_and_a_text_can_end_a_row_and_are_kept(stride):
    generator = torch.Generator().manual_seed(1)
    table = [[0.0, 0.1, 0.6, 0.3], [1.0, 0.0, 0.0, 0.0], [0.0, 0.1, 0.6, 0.3], [0.0, 0.5, 0.3, 0.2]]
    stepper = Fixed(table, 200)
    options = {"start": [START] * 2, "ends": [END, 3], "pad": PAD, "generator": generator}
    drawn = draw(stepper, 2, 100, Sampling(1.0, 6), **options, stopped=twice(2), stride=stride)
    rows = [row[mask].tolist() for row, mask in zip(drawn.tokens.view(200, -1), drawn.mask.view(200, -1), strict=True)]
    assert {tuple(row) for row in rows} == {(1,), (3,), (2, 1), (2, 3), (2, 2)}
    assert drawn.finished.all()
    plain = torch.tensor(table).log()
    for row, logprobs in zip(rows, drawn.logprobs.view(200, -1), strict=True):
        expected = [plain[a, b] for a, b in zip([START, *row], row, strict=False)]
        assert logprobs[: len(row)].tolist() == pytest.approx([float(value) for value in expected], abs=1e-6)
        assert not logprobs[len(row) :].any()


def test_each_source_starts_from_its_own_token():
    table = [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    drawn = draw(Fixed(table, 2), 2, 1, Sampling(0.0, 3), start=[0, 2], ends=[END], pad=PAD)
    assert drawn.tokens[:, 0].tolist() == [[END, PAD], [3, END]]


def test_rows_leave_alone_and_the_others_stay_what_they_were():
    sources, samples, length = 6, 7, 12
    drawn, stepper = run(sources=sources, samples=samples, length=length, seed=3)
    assert min(stepper.seen) < samples
    # every row by itself, in double precision, with the numbers that were drawn for it
    uniform = torch.rand(length, sources, samples, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    cumulative = torch.tensor(TABLE, dtype=torch.float64).cumsum(dim=1)
    for b in range(sources):
        for g in range(samples):
            expected, last = [], START
            while len(expected) < length and last != END:
                last = int((cumulative[last] > uniform[len(expected), b, g]).nonzero()[0])
                expected.append(last)
            assert drawn.tokens[b, g][drawn.mask[b, g]].tolist() == expected
            assert bool(drawn.finished[b, g]) == (expected[-1] == END)


@pytest.mark.parametrize("vocabulary", [1, 63, 64, 65, 200, 640])
def test_the_drawn_word_is_the_first_whose_cumulative_probability_exceeds(vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    weights = torch.rand(400, vocabulary, generator=generator, dtype=torch.float64)
    weights[torch.rand(weights.shape, generator=generator) < 0.6] = 0.0
    weights[:, vocabulary // 2] += 0.1
    probabilities = weights / weights.sum(dim=1, keepdim=True)
    uniform = torch.rand(400, generator=generator, dtype=torch.float64)
    uniform[:2] = torch.tensor([0.0, 1.0 - 2.0**-53])
    expected = torch.searchsorted(probabilities.cumsum(dim=1), uniform[:, None], right=True).squeeze(1)
    found = inverse_cdf(probabilities.float(), torch.arange(len(uniform)), uniform)
    assert (found == expected)[2:].all()
    assert (probabilities.gather(1, found[:, None]) > 0).all()
    assert found[0] == probabilities[0].nonzero()[0] and found[1] == probabilities[1].nonzero()[-1]


def test_one_row_that_has_diverged_is_enough():
    sometimes = Fixed([[0.25] * 4, [0.25] * 4, [math.nan] * 4, [0.25] * 4], 20)
    with pytest.raises(RunError, match="diverged"):
        draw(sometimes, 2, 1, Sampling(0.0, 3), start=[3, 2], ends=[END], pad=PAD)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_a_diverged_policy_is_named_in_one_sentence(temperature, epsilon):
    nothing = Fixed([[math.nan] * 200] * 200, 20)
    with pytest.raises(RunError, match=r"training has diverged; .* lower learning_rate"):
        draw(
            nothing,
            2,
            10,
            Sampling(temperature, 3, epsilon=epsilon),
            start=[START] * 2,
            ends=[END],
            pad=PAD,
            generator=torch.Generator().manual_seed(1),
        )


class Told:
    """A decoder whose probabilities depend on all that its row has taken in, whose rows must be kept up."""

    def __init__(self, rows):
        self.texts = [() for _ in range(rows)]
        self.seen = []

    def step(self, tokens):
        assert len(tokens) == len(self.texts)
        self.seen.append(len(tokens))
        self.texts = [(*text, token) for text, token in zip(self.texts, tokens.tolist(), strict=True)]
        return torch.stack([self.logits(text) for text in self.texts])

    @staticmethod
    def logits(text):
        sharp = 4 * torch.rand(
            6, generator=torch.Generator().manual_seed(sum((n + 2) * 7**i for i, n in enumerate(text)))
        )
        return sharp.index_fill(0, torch.tensor([PAD]), float("-inf"))

    def keep(self, rows):
        assert rows.tolist() == sorted(rows.tolist())
        self.texts = [self.texts[row] for row in rows.tolist()]

    def branch(self, rows, places):
        before = list(self.texts)
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            assert place <= len(self.texts)
            self.texts[place : place + 1] = [before[row]]


MERGED = [
    {},
    {"temperature": 0.5},
    {"temperature": 0.0},
    {"with_entropy": True},
    {"epsilon": 0.3, "top_k": 3},
    {"prefixes": [[3, 4], [], [2], [5, 5, 5]]},
    {"prefixes": [[3, 4], [], [2], [5, 5, 5]], "epsilon": 0.3, "top_k": 3},
    {"stopped": twice(3)},
    {"among": Among([5, 0, 2, 3], 6)},
]


@pytest.mark.parametrize("options", MERGED, ids=lambda options: " and ".join(options) or "plainly")
def test_samples_that_share_a_row_are_those_that_have_one_each(options):
    options = dict(options)
    sampling = Sampling(options.pop("temperature", 1.0), 7, options.pop("epsilon", 0.0), options.pop("top_k", 0))

    def drawn(merged):
        stepper = Told(4 if merged else 4 * 9)
        return draw(
            stepper, 4, 9, sampling, merged=merged, start=[7, 8, 7, 9], ends=[END], pad=PAD,
            generator=torch.Generator().manual_seed(2), **options,
        ), stepper  # fmt: skip

    (apart, many), (merged, few) = drawn(False), drawn(True)
    for name in ("tokens", "mask", "finished", "logprobs", "entropy", "floor", "forced"):
        one, other = getattr(apart, name), getattr(merged, name)
        assert (one is None and other is None) or torch.allclose(one.double(), other.double(), atol=1e-6), name
    assert apart.mask.any(dim=1).sum() < apart.mask.shape[0] * 7 or sampling.temperature != 0
    # By hand: the rows that are needed at each step are the different beginnings of the samples that go on.
    for position, rows in enumerate(few.seen):
        going = [
            (source, tuple(row[:position].tolist()))
            for source in range(4)
            for row, on in zip(apart.tokens[source], apart.mask[source, :, position], strict=True)
            if on
        ]
        assert len(set(going)) <= rows <= max(len(set(going)) / (1 - 1 / 8), 4) + 1
    assert sum(few.seen) < 0.8 * sum(many.seen)


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("grid", [4, 16, 100])
def test_rows_come_and_leave_in_multiples_and_the_samples_stay_the_same(merged, grid):
    def drawn(grid):
        stepper = Told(4 if merged else 4 * 9)
        return draw(
            stepper, 4, 9, Sampling(0.7, 7), merged=merged, grid=grid, start=[7, 8, 7, 9], ends=[END], pad=PAD,
            generator=torch.Generator().manual_seed(2),
        ), stepper.seen  # fmt: skip

    (one, freely), (other, seen) = drawn(1), drawn(grid)
    assert torch.equal(one.tokens, other.tokens) and torch.equal(one.logprobs, other.logprobs)
    assert torch.equal(one.finished, other.finished)
    # Four rows of the first step, and whole multiples that come to them or are left.
    assert all(rows % grid in (0, seen[0] % grid) for rows in seen)
    assert len(set(seen)) > 1 or grid == 100
    assert all(many >= few for many, few in zip(seen, freely, strict=True))


LIMITED = [{"top_k": 3, "top_p": 0.8}, {"min_length": 4}]


@pytest.mark.parametrize("stride", [2, 3, 100])
@pytest.mark.parametrize("options", [*MERGED, *LIMITED], ids=lambda options: " and ".join(options) or "plainly")
def test_rows_that_are_looked_at_seldom_give_the_same_samples(options, stride):
    """On a device that must be waited for, rows that have ended go on for some tokens, and nothing of that is kept."""
    given = dict(options)
    explore_k = given.pop("top_k", 0) if "epsilon" in given else 0
    sampling = Sampling(
        given.pop("temperature", 1.0), 7, given.pop("epsilon", 0.0), explore_k, given.pop("top_k", 0),
        given.pop("top_p", 1.0), given.pop("min_length", 0),
    )  # fmt: skip

    def drawn(stride):
        stepper = Told(4 * 9)
        return draw(
            stepper, 4, 9, sampling, stride=stride, start=[7, 8, 7, 9], ends=[END], pad=PAD,
            generator=torch.Generator().manual_seed(2), **given,
        ), stepper.seen  # fmt: skip

    (often, each), (seldom, seen) = drawn(1), drawn(stride)
    for name in ("tokens", "mask", "finished", "logprobs", "entropy", "floor", "forced"):
        one, other = getattr(often, name), getattr(seldom, name)
        assert (one is None and other is None) or torch.allclose(one.double(), other.double(), atol=1e-6), name
    assert (often.limits is None) == (seldom.limits is None)
    assert often.limits is None or torch.equal(often.limits.ids, seldom.limits.ids)
    assert all(now == before for at, (before, now) in enumerate(pairwise(seen), 1) if at % stride)
    assert sum(seen) >= sum(each)


class Long(Told):
    """Its rows end seldom, one here and one there."""

    @staticmethod
    def logits(text):
        seed = sum((n + 2) * 7**i for i, n in enumerate(text)) % 2**63
        logits = torch.rand(6, generator=torch.Generator().manual_seed(seed))
        return logits.index_fill(0, torch.tensor([PAD]), float("-inf")).index_add(
            0, torch.tensor([END]), torch.tensor([-2.0])
        )


@pytest.mark.parametrize("grid", [1, 4, 1000])
@pytest.mark.parametrize("stride", [2, 8])
def test_rows_too_few_to_leave_stay_until_the_next_look_and_beyond(stride, grid):
    """Fewer than an eighth have ended at a look, or none may leave: the decoder has more rows than samples."""

    def drawn(stride, grid):
        stepper = Long(4 * 9)
        return draw(
            stepper, 4, 9, Sampling(1.0, 40), stride=stride, grid=grid, start=[7, 8, 7, 9], ends=[END], pad=PAD,
            generator=torch.Generator().manual_seed(3),
        ), stepper.seen  # fmt: skip

    (often, _), (seldom, seen) = drawn(1, 1), drawn(stride, grid)
    assert torch.equal(often.tokens, seldom.tokens) and torch.equal(often.mask, seldom.mask)
    assert torch.equal(often.logprobs, seldom.logprobs)
    assert seldom.mask[:, :, 32].any() and not seldom.mask[:, :, 4].all()
    assert (seen[-1] < seen[0]) == (grid < 1000)
