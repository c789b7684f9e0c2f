"""Rewards: one per file; the file name is the `type` in a config."""

SUPPORT = {
    "base", "cache", "combine", "encoders", "environments", "function", "grams", "icu", "markup", "mix", "multiset",
    "ngram", "normalise", "program", "text",
}  # fmt: skip
