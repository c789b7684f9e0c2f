"""Every random choice derives from (run seed, purpose, ...), so nothing depends on what was drawn before it."""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, for example `derive(seed, "sample", step)`."""
    text = "\x1f".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def rng(seed: int, *purpose: str | int) -> random.Random:
    """A Python generator seeded by `derive`."""
    return random.Random(derive(seed, *purpose))
