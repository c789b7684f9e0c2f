"""Memory that is filled anew: what is taken is as asked for, and nothing is allocated twice."""

import torch

from eclectus.rollouts.room import Room


def test_what_is_taken_lies_in_the_same_memory():
    room, like = Room(), torch.zeros(1, dtype=torch.float64)
    first = room.take((3, 4), like).fill_(1.0)
    second = room.take((2, 5), like)
    assert first.shape == (3, 4) and first.dtype == second.dtype == torch.float64
    assert second.is_contiguous() and second.data_ptr() == first.data_ptr() and (second == 1).all()


def test_more_room_or_another_type_is_new_memory():
    room, like = Room(), torch.zeros(1)
    small = room.take((2, 2), like).fill_(3.0)
    assert room.take((5, 5), like).shape == (5, 5) and (small == 3).all()
    other = room.take((2, 2), like.bfloat16())
    assert other.dtype == torch.bfloat16 and (small == 3).all()
