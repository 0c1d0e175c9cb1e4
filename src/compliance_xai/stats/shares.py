"""Shares of rules that have something wrong, with intervals that hold for few rules and for none."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from compliance_xai.records import need_columns
from compliance_xai.stats.frames import groups
from compliance_xai.stats.resampling import CONFIDENCE

ANY = "any"
"""Stands for at least one error of whatever kind."""


def wilson_interval(share: float, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share of ``n`` units, each bound 0 to 1.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson_interval(0.0, 10)]
    [0.0, 0.278]
    """
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * n, n, alpha=1 - confidence, method="wilson")
    # Rounding must not put a bound on the wrong side of the share.
    return max(0.0, min(share, float(low))), min(1.0, max(share, float(high)))  # pyright: ignore[reportArgumentType]


def error_shares(rules: pd.DataFrame, errors: pd.DataFrame, *, kinds: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Share of rules that have each kind of error, by group.

    A rule counts once for a kind, however often it has it. Seeds are averaged inside a clause first, and the clause is
    the unit of the interval: with several seeds, whose average varies less than a yes or no, it is wider than need be.

    Parameters
    ----------
    rules
        One row per rule: ``by``..., ``seed``, ``id``.
    errors
        One row per error: the same columns and ``kind``.
    kinds
        The kinds to report, in order; those that no rule has get rows too.
    by
        What makes a group, such as ``("scale", "parameters", "strategy", "split")``.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``kind`` (``any`` first, for rules with at least one error), ``n_clauses``, ``n_seeds``, ``n_rules``
        (that have it, over all seeds), ``share`` (0 to 1), ``low``, ``high`` (Wilson, 95 %).
    """
    keys = [*by, "seed", "id"]
    need_columns(rules, keys, "error_shares, rules")
    need_columns(errors, [*keys, "kind"], "error_shares, errors")
    rows = pd.MultiIndex.from_frame(rules[keys])
    present = errors.drop_duplicates([*keys, "kind"])
    wrong = {ANY: rows.isin(pd.MultiIndex.from_frame(errors[keys]))}
    wrong |= {kind: rows.isin(pd.MultiIndex.from_frame(present.loc[present["kind"] == kind, keys])) for kind in kinds}
    records = []
    for group_keys, group in groups(rules.assign(**wrong), by):
        clauses = group.groupby("id", sort=True)[list(wrong)].mean()
        counts = {"n_clauses": len(clauses), "n_seeds": group["seed"].nunique()}
        for kind in wrong:
            share = float(clauses[kind].mean())
            low, high = wilson_interval(share, len(clauses))
            count = {"n_rules": int(group[kind].sum()), "share": share, "low": low, "high": high}
            records.append(group_keys | {"kind": kind} | counts | count)
    columns = [*by, "kind", "n_clauses", "n_seeds", "n_rules", "share", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)
