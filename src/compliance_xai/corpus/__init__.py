"""A source -> leak-checked examples; a clause -> words with categories; a mask -> the perturbed clause."""
