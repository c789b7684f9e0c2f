"""Rewards: one per file; the file name is the `type` in a config."""

SUPPORT = {
    "base", "cache", "combine", "edits", "function", "lcs", "matching", "mix", "ngram", "normalise", "overlap", "text",
    "tokens", "workers",
}  # fmt: skip
