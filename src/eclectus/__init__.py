"""eclectus: reinforcement-learning fine-tuning for multilingual translation models."""

__version__ = "0.1.0"
