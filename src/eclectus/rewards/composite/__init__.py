"""Rewards as a whole: weights and gates, one scale, values for tokens, worker processes."""
