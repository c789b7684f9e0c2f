"""Rewards: one per file; the file name is the `type` in a config."""

SUPPORT = {
    "base",
    "cache",
    "calibration",
    "combine",
    "dictionaries",
    "function",
    "grams",
    "mix",
    "ngram",
    "normalise",
    "scaling",
    "scorer",
    "similarity",
    "text",
    "trl",
}
