"""What rewards compare texts by: n-grams, subsequences, edits, multisets, and what the overlap rewards share."""
