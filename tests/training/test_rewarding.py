"""Which demonstrations are shown."""

from types import SimpleNamespace

import torch

from eclectus.config import TaskConfig
from eclectus.training.rewarding import mle_weights


def test_demonstrations_for_all_sources_or_only_where_nothing_was_worth_anything():
    plain = {"name": "t", "directions": ["en-es"], "references": True, "reward": {"terms": [{"type": "bleu"}]}}
    tasks = [
        SimpleNamespace(config=TaskConfig(**plain, mle=mle, mle_when=when))
        for mle, when in ((0.5, "always"), (2.0, "refused"), (0.0, "always"))
    ]
    nan = float("nan")
    values = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.1], [0.0, nan], [0.3, 0.2], [0.0, 0.0]])
    assert mle_weights(tasks, [0, 1, 1, 1, 0, 2], values) == [0.5, 2.0, 0.0, 0.0, 0.5, 0.0]
