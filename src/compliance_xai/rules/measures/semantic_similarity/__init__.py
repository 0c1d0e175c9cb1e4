"""The folder that ``evaluate.load`` takes for ``semantic_similarity``."""
