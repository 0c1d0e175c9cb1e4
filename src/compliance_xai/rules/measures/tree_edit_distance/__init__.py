"""The folder that ``evaluate.load`` takes for ``tree_edit_distance``."""
