"""From a name to a policy: the shipped base, a folder, a hub id, or a new model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch

from eclectus.config import NewModelConfig
from eclectus.corpora.seen import SeenText
from eclectus.errors import RunError
from eclectus.policies.base import Policy
from eclectus.policies.seq2seq import Seq2SeqPolicy
from eclectus.policies.tokenizer import train_tokenizer

BASE = "base"


def base_folder() -> Path:
    """Where the shipped base model is."""
    return Path(str(files("eclectus") / "base"))


def load_policy(path: str) -> tuple[Policy, SeenText | None]:
    """Load a model and, where it carries them, the hashes of the text it was trained on.

    Args:
        path: `base`, a folder, or a hub id.

    Raises:
        ModelError: it cannot be loaded.
    """
    folder = base_folder() if path == BASE else Path(path)
    policy = Seq2SeqPolicy.load(folder if folder.exists() else path)
    return policy, SeenText.load(folder) if folder.is_dir() else None


def new_policy(config: NewModelConfig, texts: Sequence[str], languages: Sequence[str], seed: int) -> Policy:
    """Train a tokenizer on `texts` and build a model with random weights."""
    return Seq2SeqPolicy.new(config, train_tokenizer(texts, languages, config.vocabulary), seed)


def resolve_device(wanted: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU.

    Raises:
        RunError: the device is not there.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"device: '{wanted}' cannot be used here ({reason}); set device: cpu") from error
    return torch.device(wanted)
