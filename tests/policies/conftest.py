"""A head of 50 words whose products are made in six blocks."""

import pytest
import torch

from eclectus.policies import head


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
