"""Text <-> rule tree <-> LegalRuleML; two rules -> scores, errors, equivalence."""
