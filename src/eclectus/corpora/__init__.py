"""Corpora: text in. One source per file; the file name is the `type` in a config."""

SUPPORT = {
    "apart",
    "base",
    "clean",
    "dataset",
    "files",
    "left_out",
    "memory",
    "own",
    "phrases",
    "sampling",
    "seen",
    "splits",
    "voices",
}
