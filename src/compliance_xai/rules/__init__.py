"""Rules in the LRML short form: text to tree and back, order, both published spellings, XML, errors, equivalence.

The notation: ``if(<conditions>),then(<conclusions>)`` or bare statements; a term is a name with arguments in brackets;
a leaf is a name with dotted properties (``building.riskGroup``), a quantity (``60 degC``, ``1:12``), a quoted
expression (``'x0 + 150 mm'``) or a reference (``nzbc_e1as1_t1``).
"""

from compliance_xai.rules.legal.documents import LegalDocument, Source, Statement, read_legalruleml, write_legalruleml
from compliance_xai.rules.legal.formulas import Unknown
from compliance_xai.rules.legal.safe_xml import Limits
from compliance_xai.rules.logic.equivalence import Counterexample, Verdict, equivalent
from compliance_xai.rules.normal import normalise
from compliance_xai.rules.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.spelling import expand
from compliance_xai.rules.taxonomy import RuleError, error_kinds
from compliance_xai.rules.tolerant import Repair, TolerantRule, read_tolerant
from compliance_xai.rules.tree import Leaf, Node, Rule, Term, canonical, format_node, format_rule

__all__ = [
    "Counterexample",
    "Leaf",
    "LegalDocument",
    "Limits",
    "Node",
    "Repair",
    "Rule",
    "RuleError",
    "RuleSyntaxError",
    "Source",
    "Statement",
    "Term",
    "TolerantRule",
    "Unknown",
    "Verdict",
    "canonical",
    "error_kinds",
    "equivalent",
    "expand",
    "format_node",
    "format_rule",
    "normalise",
    "parse_rule",
    "read_legalruleml",
    "read_tolerant",
    "write_legalruleml",
]
