"""The folder that ``evaluate.load`` takes for ``parse_rate``."""
