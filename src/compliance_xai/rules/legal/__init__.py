"""LegalRuleML, the OASIS standard for rules in XML."""
