"""What rewards know beforehand: language models, embeddings, dictionaries, translations by the policy."""
