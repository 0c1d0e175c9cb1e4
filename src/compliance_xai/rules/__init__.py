"""Rules in the LRML short form: text to tree and back, order, the two published spellings, and equivalence.

The notation: ``if(<conditions>),then(<conclusions>)`` or bare statements; a term is a name with arguments in brackets;
a leaf is a name with dotted properties (``building.riskGroup``), a quantity (``60 degC``, ``1:12``), a quoted
expression (``'x0 + 150 mm'``) or a reference (``nzbc_e1as1_t1``).
"""

from compliance_xai.rules.equivalence import Counterexample, Verdict, equivalent
from compliance_xai.rules.parse import RuleSyntaxError, parse_rule
from compliance_xai.rules.spelling import expand
from compliance_xai.rules.tolerant import Repair, TolerantRule, read_tolerant
from compliance_xai.rules.tree import Leaf, Node, Rule, Term, canonical, format_node, format_rule

__all__ = [
    "Counterexample",
    "Leaf",
    "Node",
    "Repair",
    "Rule",
    "RuleSyntaxError",
    "Term",
    "TolerantRule",
    "Verdict",
    "canonical",
    "equivalent",
    "expand",
    "format_node",
    "format_rule",
    "parse_rule",
    "read_tolerant",
]
