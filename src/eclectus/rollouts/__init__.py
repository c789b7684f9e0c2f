"""The sampler: draws translations from a policy and keeps the log-probabilities they were drawn with."""
