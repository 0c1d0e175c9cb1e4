"""The folder that ``evaluate.load`` takes for ``code_bert_score``."""
