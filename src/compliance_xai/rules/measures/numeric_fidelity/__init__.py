"""The folder that ``evaluate.load`` takes for ``numeric_fidelity``."""
