"""The synthetic corpus: vocabulary, meanings, their wording, and the embedded ladder's pre-training text."""
