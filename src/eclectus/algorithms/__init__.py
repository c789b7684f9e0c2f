"""Algorithms: one per file; the file name is the `type` in a config."""

SUPPORT = {
    "base",
    "advantages",
    "losses",
    "kl",
    "coefficients",
    "critic",
    "importance",
    "returns",
    "store",
    "tabular",
    "td",
    "replay",
    "value_based",
}
