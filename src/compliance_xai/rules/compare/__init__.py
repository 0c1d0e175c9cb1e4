"""Two rules -> edits, kinds of error, shared elements, equivalence by a solver."""
