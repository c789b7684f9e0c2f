"""Other ways to draw a policy's translations than its own sampler: other programs, and its sampler in other precisions.

Each is one file; the file name is the `type` in a config. The type `native` is the policy's own sampler, in `rollouts`.
"""

SUPPORT = {"base"}
