"""Rollout engines: draw translations from a policy and keep the log-probabilities they were drawn with.

Other programs than the policy's own sampler are one file each; the file name is the `type` in a config.
"""

SUPPORT = {"base", "choice", "engine", "limits", "native", "recorded", "room"}
