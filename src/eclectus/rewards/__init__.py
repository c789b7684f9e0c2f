"""Rewards: one per file; the file name is the `type` in a config."""

SUPPORT = {"base"}
