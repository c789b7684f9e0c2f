"""A task that can learn from back-translations, and a translator to make them."""

TASK = {"name": "few", "directions": ["en-es"], "references": True, "mle": 0.5, "reward": {"terms": [{"type": "chrf"}]}}


def upper(segments):
    """A translator that shouts, and has nothing to say to 'none'."""
    return ["" if s.source == "none" else f"{s.target_lang}:{s.source.upper()}" for s in segments]
