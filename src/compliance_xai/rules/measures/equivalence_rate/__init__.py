"""The folder that ``evaluate.load`` takes for ``equivalence_rate``."""
