"""What a rule says, as a formula, and whether two rules say the same."""
