"""The folder that ``evaluate.load`` takes for ``token_edit_distance``."""
