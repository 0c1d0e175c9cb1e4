"""The folder that ``evaluate.load`` takes for ``bleu``."""
