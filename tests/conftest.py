"""What all tests share."""

from pathlib import Path

import pytest
import torch

# Tiny models: threads would spend their time waiting for each other.
torch.set_num_threads(1)

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder with research data beside the checkout; tests that need it are skipped elsewhere."""
    if not _SHARED.is_dir():
        pytest.skip(f"research data is not at hand: no folder {_SHARED}")
    return _SHARED
