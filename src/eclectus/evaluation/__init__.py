"""Held-out evaluation: corpus metrics, diagnostics, significance, and the report that shows them."""
