"""Would a difference in focus remain at equal confidence, and for short and long clauses alike?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import groups
from compliance_xai.stats.resampling import bootstrap_mean

if TYPE_CHECKING:
    import pandas as pd

STRATA = ("short clauses", "middling clauses", "long clauses")
ADJUSTED = {
    "equal total mass": ("mass",),
    "equal log-probability": ("log_prob",),
    "equal mass and log-probability": ("mass", "log_prob"),
}
CONTROLS = ("as measured", *ADJUSTED, *STRATA)
"""What is held equal, or which third of the clauses by number of features is looked at."""


def controls_table(
    frame: pd.DataFrame, measure: str, *, by: Sequence[str] = VIEW, bootstrap: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """The difference between two strategies again under each of ``CONTROLS``, clause by clause.

    A model that is unsure of everything looks unfocused. So the paired difference of the measure is regressed on the
    paired differences of log total mass and of log-probability per target token; the intercept is the difference that
    is left where those are equal (analysis of covariance within pairs; heteroscedasticity-consistent HC3 interval,
    MacKinnon and White 1985). Where the two strategies never come near equality this extrapolates: ``n_near`` says for
    how many clauses the covariates' differences change sign or vanish around them.

    Parameters
    ----------
    frame
        A focus frame with ``scale`` and ``strategy``; seeds, then common scales, are averaged inside a clause.
    measure
        Its column.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, strategy_a, strategy_b, control, n`` (clauses), ``n_near`` (clauses whose covariates
        differ by no more than their spread over clauses), ``estimate`` (a - b), ``low, high`` (95 %; bootstrap over
        clauses for strata), ``reason``.
    """
    import pandas as pd

    columns = [*by, "scale", "strategy", "id", "n_features", "n_target_tokens", "baseline_log_prob", "total_mass"]
    need_columns(frame, [*columns, measure], "controls_table")
    records = []
    for keys, group in groups(frame, by):
        for a, b in itertools.combinations(dict.fromkeys(group["strategy"]), 2):
            pairs = _paired(group, measure, a, b)
            for control in CONTROLS:
                record = dict.fromkeys(("n", "n_near", "estimate", "low", "high"), math.nan) | {"reason": ""}
                record |= _control(pairs, control, bootstrap, seed)
                names = {"measure": measure, "strategy_a": a, "strategy_b": b, "control": control}
                records.append(keys | names | record)
    columns = [*by, "measure", "strategy_a", "strategy_b", "control", "n", "n_near", "estimate", "low", "high"]
    return pd.DataFrame.from_records(records, columns=[*columns, "reason"])


def _paired(group: pd.DataFrame, measure: str, a: str, b: str) -> pd.DataFrame:
    """Differences a - b by clause, of the measure and of what may explain it, and the clause's length."""
    import pandas as pd

    own = group[group["strategy"].isin([a, b])]
    common = set.intersection(*(set(own.loc[own["strategy"] == name, "scale"]) for name in (a, b)))
    own = own[own["scale"].isin(common)]
    values = own.assign(
        value=own[measure],
        mass=np.log(own["total_mass"].where(own["total_mass"] > 0)),
        log_prob=own["baseline_log_prob"] / own["n_target_tokens"],
    )
    names = ["value", "mass", "log_prob"]
    cells = values.groupby(["strategy", "id", "scale"], observed=True)[names].mean()
    means = cells.groupby(level=["strategy", "id"], observed=True).mean()
    if means.empty:
        return pd.DataFrame(columns=[*names, "length"])
    difference = (means.loc[a] - means.loc[b]).dropna()
    return difference.join(own.groupby("id")["n_features"].first().rename("length"))


def _control(pairs: pd.DataFrame, control: str, bootstrap: int, seed: int) -> dict[str, Any]:
    if control in ADJUSTED:
        return _adjust(pairs, list(ADJUSTED[control]))
    chosen = pairs
    if control in STRATA and len(pairs):
        # Thirds by rank, so that many clauses of one length still make three groups of one size.
        third = np.argsort(np.argsort(pairs["length"].to_numpy(), kind="stable")) * len(STRATA) // len(pairs)
        chosen = pairs[third == STRATA.index(control)]
    if len(chosen) < 2:
        return {"n": len(chosen), "reason": "fewer than two clauses"}
    estimate, low, high = bootstrap_mean(chosen["value"].to_numpy(), n_resamples=bootstrap, seed=seed)
    return {"n": len(chosen), "n_near": len(chosen), "estimate": estimate, "low": low, "high": high}


def _adjust(pairs: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    if len(pairs) < 5 * (len(names) + 1):
        return {"n": len(pairs), "reason": f"fewer than {5 * (len(names) + 1)} clauses"}
    covariates = pairs[names].to_numpy()
    spread = covariates.std(axis=0)
    if not (spread > 0).all():
        return {"n": len(pairs), "reason": f"the difference in {' or '.join(names)} is the same on every clause"}
    import statsmodels.api as sm

    fit = sm.OLS(pairs["value"].to_numpy(), sm.add_constant(covariates)).fit(cov_type="HC3", use_t=True)
    low, high = fit.conf_int()[0]
    near = int((np.abs(covariates) <= spread).all(axis=1).sum())
    return {"n": len(pairs), "n_near": near, "estimate": float(fit.params[0]), "low": float(low), "high": float(high)}
