"""Training: supervised, reinforcement, checkpoints and the run that ties them together."""
