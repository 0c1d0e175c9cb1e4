"""LegalRuleML documents <-> rules in short form."""
