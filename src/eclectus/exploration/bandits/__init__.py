"""Bandits that choose the next direction or data source; one per file, the file name is its type."""

SUPPORT = {"base", "progress"}
