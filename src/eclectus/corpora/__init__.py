"""Corpora: text in. One source per file; the file name is the `type` in a config."""

SUPPORT = {
    "apart",
    "base",
    "clean",
    "dataset",
    "files",
    "losses",
    "memory",
    "own",
    "phrases",
    "sampling",
    "seen",
    "splits",
    "voices",
}
