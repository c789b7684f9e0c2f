"""Memory that is filled anew: what is taken is as asked for, and nothing is allocated twice."""

import torch

from eclectus.rollouts.workspace import Workspace


def test_what_is_taken_lies_in_the_same_memory():
    workspace, like = Workspace(), torch.zeros(1, dtype=torch.float64)
    first = workspace.take((3, 4), like).fill_(1.0)
    second = workspace.take((2, 5), like)
    assert first.shape == (3, 4) and first.dtype == second.dtype == torch.float64
    assert second.is_contiguous() and second.data_ptr() == first.data_ptr() and (second == 1).all()


def test_more_of_it_or_another_type_is_new_memory():
    workspace, like = Workspace(), torch.zeros(1)
    small = workspace.take((2, 2), like).fill_(3.0)
    assert workspace.take((5, 5), like).shape == (5, 5) and (small == 3).all()
    other = workspace.take((2, 2), like.bfloat16())
    assert other.dtype == torch.bfloat16 and (small == 3).all()
