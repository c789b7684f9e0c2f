import pytest
import torch

from eclectus.rollouts.base import Sampling
from eclectus.rollouts.native import draw

START, END, PAD = 0, 1, 0


class Fixed:
    """A decoder whose next-token probabilities depend on the last token alone; counts its rows."""

    def __init__(self, table, rows):
        self.logits = torch.tensor(table).log()
        self.rows = rows
        self.seen = []

    def step(self, tokens):
        self.seen.append(len(tokens))
        return self.logits[tokens]

    def keep(self, sources):
        self.kept = sources.tolist()


TABLE = [[0.0, 0.1, 0.6, 0.3], [1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.2, 0.3], [0.0, 0.7, 0.2, 0.1]]


def run(temperature=1.0, sources=1, samples=1, length=4, seed=1, table=TABLE, **options):
    generator = torch.Generator().manual_seed(seed)
    stepper = Fixed(table, sources * samples)
    drawn = draw(
        stepper,
        sources,
        samples,
        Sampling(temperature, length),
        start=[START] * sources,
        ends=[END],
        pad=PAD,
        generator=generator,
        **options,
    )
    return drawn, stepper


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
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


def test_sampling_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="needs a generator"):
        draw(Fixed(TABLE, 1), 1, 1, Sampling(1.0, 4), start=[START], ends=[END], pad=PAD)


def test_several_tokens_and_a_text_can_end_a_row_and_are_kept():
    def twice(tokens):
        return (tokens[:, -2:] == 2).all(dim=1) if tokens.shape[1] > 1 else torch.zeros(len(tokens), dtype=torch.bool)

    generator = torch.Generator().manual_seed(1)
    table = [[0.0, 0.1, 0.6, 0.3], [1.0, 0.0, 0.0, 0.0], [0.0, 0.1, 0.6, 0.3], [0.0, 0.5, 0.3, 0.2]]
    stepper = Fixed(table, 200)
    options = {"start": [START] * 2, "ends": [END, 3], "pad": PAD, "generator": generator}
    drawn = draw(stepper, 2, 100, Sampling(1.0, 6), **options, stopped=twice)
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
