"""Rollout engines: draw translations from a policy and keep the log-probabilities they were drawn with."""
