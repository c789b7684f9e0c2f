"""A tiny model and tiny text that tests share; made in the test, never read from a file."""

from __future__ import annotations

import torch

from eclectus.config import NewModelConfig
from eclectus.policies.base import Policy
from eclectus.policies.guide import Guide, GuideShape
from eclectus.policies.load import new_policy
from eclectus.segment import Segment

SENTENCES = {
    "en": ["one two three", "the red house is old", "two", "she reads 12 books in the garden today"],
    "es": ["uno dos tres", "la casa roja es vieja", "dos", "ella lee 12 libros en el jardín hoy"],
    "fr": ["un deux trois", "la maison rouge est vieille", "deux", "elle lit 12 livres dans le jardin"],
}
TINY = NewModelConfig(vocabulary=160, d_model=16, heads=2, encoder_layers=2, decoder_layers=2, ffn=32, max_positions=64)


def tiny_policy(seed: int = 1) -> Policy:
    """A random Marian model for English, Spanish and French."""
    return new_policy(TINY, [s for texts in SENTENCES.values() for s in texts], list(SENTENCES), seed)


def random_guide(policy: Policy, beta: float = 3.0, seed: int = 1) -> Guide:
    """Values large enough to change what is said."""
    torch.manual_seed(seed)
    guide = Guide(GuideShape(policy.width, 24, 8, policy.vocabulary), beta)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return guide


def segments(source: str, target: str) -> list[Segment]:
    """The tiny corpus in one direction."""
    rows = zip(SENTENCES[source], SENTENCES[target], strict=True)
    return [Segment(s, source, target, t, id=str(i)) for i, (s, t) in enumerate(rows)]
