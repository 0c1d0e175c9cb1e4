"""The folder that ``evaluate.load`` takes for ``lrml_f1``."""
