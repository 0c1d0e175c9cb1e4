"""The folder that ``evaluate.load`` takes for ``exact_match``."""
