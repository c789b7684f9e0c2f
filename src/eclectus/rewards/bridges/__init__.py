"""Rewards from elsewhere, and ours elsewhere: plain functions, programs of other environments, TRL."""
