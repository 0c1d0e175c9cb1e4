"""The folder that ``evaluate.load`` takes for ``identifier_fidelity``."""
