"""Exploration and exploitation: one strategy per file; the file name is its type."""

SUPPORT = {"annealing", "base", "entropy"}
