"""Shares of rules with an error: counted by hand, with intervals of statsmodels' own."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai import stats
from compliance_xai.errors import InputError

RULES = pd.DataFrame(
    [("s", seed, clause) for seed in (0, 1) for clause in ("a", "b", "c")], columns=["strategy", "seed", "id"]
)
ERRORS = pd.DataFrame(
    [("s", 0, "a", "syntax"), ("s", 0, "a", "syntax"), ("s", 1, "a", "syntax"), ("s", 1, "b", "wrong_value")],
    columns=["strategy", "seed", "id", "kind"],
)


def test_a_rule_counts_once_and_seeds_are_averaged_inside_a_clause():
    shares = stats.error_shares(RULES, ERRORS, kinds=["syntax", "wrong_value", "wrong_unit"], by=("strategy",))
    assert shares["kind"].tolist() == ["any", "syntax", "wrong_value", "wrong_unit"]
    assert shares["share"].tolist() == pytest.approx([1.5 / 3, 1 / 3, 0.5 / 3, 0.0])
    assert shares["n_rules"].tolist() == [3, 2, 1, 0]
    assert set(shares["n_clauses"]) == {3}
    assert set(shares["n_seeds"]) == {2}
    # statsmodels.stats.proportion.proportion_confint(1, 3, method="wilson"), statsmodels 0.15.0
    assert shares.loc[1, ["low", "high"]].tolist() == pytest.approx([0.06149194, 0.79234035], abs=1e-6)
    assert shares.loc[3, "high"] > 0.5  # none of three says little


def test_no_errors_at_all():
    shares = stats.error_shares(RULES, ERRORS[:0], kinds=["syntax"], by=("strategy",))
    assert shares["share"].tolist() == [0.0, 0.0]


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.floats(0, 1), st.just(n))))
def test_the_interval_holds_its_share_and_stays_in_range(drawn):
    share, n = drawn
    low, high = stats.wilson_interval(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(InputError, match=r"error_shares, errors: expected columns .*, found no kind"):
        stats.error_shares(RULES, ERRORS.drop(columns="kind"), kinds=["syntax"], by=("strategy",))
