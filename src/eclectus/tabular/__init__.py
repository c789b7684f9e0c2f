"""The tabular lesson: algorithms with a Q-table on a small task, and what they did as tables and a figure."""
