"""Rewards: one per file; the file name is the `type` in a config."""

SUPPORT = {
    "base",
    "cache",
    "combine",
    "function",
    "grams",
    "mix",
    "ngram",
    "normalise",
    "scaling",
    "similarity",
    "text",
    "trl",
}
