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


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three numbers in words, in three languages."""
    from tests.tiny_run import NUMBERS  # takes seconds, which most tests can do without

    path = tmp_path / "numbers.tsv"
    lines = ["\t".join(NUMBERS)]
    for i in range(300):
        digits = [i // 100, i // 10 % 10, i % 10]
        lines.append("\t".join(" ".join(words[d] for d in digits) for words in NUMBERS.values()))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
