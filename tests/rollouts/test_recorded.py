"""Which shapes are recorded and kept, and what a recording is given anew; Python stands in for the operations."""

import pytest
import torch

from eclectus.rollouts.recorded import _SHAPES, Recordings


class Sum:
    """A decoder whose logits are the last tokens plus its sources, in the memory of its own for each step."""

    def __init__(self, width, value):
        self.sources, self.asked = torch.full((width,), float(value)), 0

    def held(self):
        return [self.sources]

    def step(self, tokens):
        self.asked += 1
        return self.sources + tokens


@pytest.fixture
def made():
    """What was recorded, one entry for each step of each shape."""
    return []


@pytest.fixture
def recordings(made):
    def recorder():
        def record(work):
            work()
            made.append(work)
            return work

        return record

    return Recordings(recorder, grid=16)


def tokens(width, value):
    return torch.full((width,), float(value))


def test_a_shape_is_recorded_the_second_time_and_filled_anew_after_that(recordings, made):
    first, second, third = Sum(2, 10), Sum(2, 20), Sum(2, 30)
    assert recordings.of(first) is first and not made
    recorded = recordings.of(second)
    assert recorded.step(tokens(2, 1)).tolist() == [21, 21]
    assert recorded.step(tokens(2, 2)).tolist() == [22, 22]
    assert len(made) == 2
    again = recordings.of(third)
    assert [again.step(tokens(2, n)).tolist() for n in (3, 4)] == [[33, 33], [34, 34]]
    assert again.step(tokens(2, 5)).tolist() == [35, 35]  # further than the one before went
    assert len(made) == 3 and third.asked == 0


def test_all_steps_give_their_logits_in_one_memory(recordings):
    recordings.of(Sum(2, 0))
    recorded = recordings.of(Sum(2, 0))
    assert recorded.step(tokens(2, 1)).data_ptr() == recorded.step(tokens(2, 2)).data_ptr()


def test_the_latest_shapes_are_kept(recordings, made):
    widths = range(1, _SHAPES + 1)
    for width in widths:
        recordings.of(Sum(width, 0))
    recordings.of(Sum(1, 0)).step(tokens(1, 1))  # known, and now the latest
    assert len(made) == 1
    recordings.of(Sum(_SHAPES + 1, 0))  # takes the place of the second
    again, gone = Sum(1, 0), Sum(2, 0)
    assert recordings.of(again) is not again and len(made) == 1
    assert recordings.of(gone) is gone


def test_a_key_tells_shapes_apart(recordings):
    recordings.of(Sum(2, 0), 8)
    other = Sum(2, 0)
    assert recordings.of(other, 16) is other


def test_rows_stay(recordings):
    recordings.of(Sum(2, 0))
    recorded = recordings.of(Sum(2, 0))
    with pytest.raises(RuntimeError, match="do not leave"):
        recorded.keep(torch.tensor([0]))
    with pytest.raises(RuntimeError, match="do not branch"):
        recorded.branch(torch.tensor([0]), torch.tensor([0]))
