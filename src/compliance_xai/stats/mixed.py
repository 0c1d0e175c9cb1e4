"""One linear mixed model over all trained runs: strategy and size, with clauses and runs as random intercepts."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.records import VIEW, need_columns
from compliance_xai.stats.frames import CONTROL, groups

if TYPE_CHECKING:
    import pandas as pd

_ZERO = 1e-3
"""A standard deviation below this many residual ones is none."""

_CLAUSE = ("id", "n_features", "n_target_tokens", "baseline_log_prob")
_COLUMNS = (
    *("n_clauses", "n_dropped", "n_runs", "estimate", "standard_error", "dof", "low", "high", "p"),
    *("by_size", "by_size_low", "by_size_high", "by_size_p", "clause_sd", "run_sd", "residual_sd"),
    *("converged", "note", "reason"),
)


def mixed_model_table(frame: pd.DataFrame, measure: str, *, by: Sequence[str] = VIEW) -> pd.DataFrame:
    """Differences between trained strategies from one mixed model for each key of ``by``.

    ``measure ~ strategy * size + length + log-probability + (1 | clause) + (1 | run)``, by restricted maximum
    likelihood (statsmodels ``MixedLM``, variance components; Baayen, Davidson and Bates 2008 on crossed random
    intercepts). Size is log10(parameters), length the log of the clause's number of features, log-probability that of
    the untouched target per token; all centred, so a difference holds at the middle size. A run is one training
    (scale, strategy, seed): seeds of two cells share a number and nothing else.

    statsmodels tests against the normal distribution. Runs are few, so t is taken with the number of runs less the
    coefficients that differ between runs (the between-within rule; Schluchter and Elashoff 1990).

    Parameters
    ----------
    frame
        A focus frame with ``scale, parameters, strategy``. The untouched base (``none``) is left out.
    measure
        Its column.

    Returns
    -------
    pandas.DataFrame
        ``by``..., ``measure, strategy_a, strategy_b, n_clauses, n_dropped`` (clauses with an undefined value anywhere),
        ``n_runs, estimate`` (a - b), ``standard_error, dof, low, high`` (95 % t interval), ``p`` (two-sided),
        ``by_size`` (how the difference changes for each factor of ten in parameters) with ``_low, _high, _p``,
        ``clause_sd, run_sd, residual_sd, converged, note`` (what the optimiser remarked), ``reason`` (why there is no
        estimate, else empty).
    """
    import pandas as pd

    need_columns(
        frame,
        [*by, "scale", "parameters", "strategy", "seed", *_CLAUSE, measure],
        "mixed_model_table",
    )
    records = []
    for keys, group in groups(frame[frame["strategy"] != CONTROL], by):
        names = list(dict.fromkeys(group["strategy"]))
        fitted = _fit(group, measure, names)
        for a, b in itertools.combinations(names, 2):
            record: dict[str, Any] = dict.fromkeys(_COLUMNS, math.nan) | {"converged": False, "note": "", "reason": ""}
            record |= fitted["shared"]
            if not record["reason"]:
                record |= _contrast(fitted, names, a, b)
            records.append(keys | {"measure": measure, "strategy_a": a, "strategy_b": b} | record)
    return pd.DataFrame.from_records(records, columns=[*by, "measure", "strategy_a", "strategy_b", *_COLUMNS])


def _fit(group: pd.DataFrame, measure: str, names: list[str]) -> dict[str, Any]:
    data, sized = _design(group, measure)
    runs = data.groupby(["scale", "strategy"], observed=True)["seed"].nunique()
    shared: dict[str, Any] = {
        "n_clauses": data["id"].nunique(),
        "n_dropped": group["id"].nunique() - data["id"].nunique(),
        "n_runs": int(runs.sum()),
    }
    lacking = _why_no_model(data, runs, measure, names)
    if lacking:
        return {"shared": shared | {"reason": lacking}}
    effects = "0 + C(strategy)" + (" + C(strategy):size" if sized else "") + " + length + log_prob"
    result, names_of_spread, remark = _optimise(f"{measure} ~ {effects}", data)
    if result is None:
        return {"shared": shared | {"reason": remark}}
    spread = dict(zip(names_of_spread, np.sqrt(result.vcomp), strict=True))
    residual = math.sqrt(result.scale)
    note = "runs differ no more than clauses within them" if spread["run"] < _ZERO * residual else ""
    shared |= {"clause_sd": float(spread["clause"]), "run_sd": float(spread["run"]), "residual_sd": residual}
    shared |= {"converged": True, "note": note, "dof": shared["n_runs"] - len(names) * (2 if sized else 1)}
    return {"shared": shared, "result": result, "sized": sized}


def _optimise(formula: str, data: pd.DataFrame) -> tuple[Any, list[str], str]:
    """The fit, the names of its variance components, and why there is none.

    Optimisers that follow the gradient can stop far from the maximum and say that they converged; what gives it away
    is a Hessian that is not positive definite. So two that do not are tried, and such a Hessian counts as no
    convergence, unless a variance is zero: there the likelihood ends at the edge.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM

    places = {"clause": "0 + C(id)", "run": "0 + C(run)"}
    remark = ""
    for optimiser in ("powell", "nm"):
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model = MixedLM.from_formula(formula, data, groups=np.ones(len(data)), vc_formula=places)
                result = model.fit(method=optimiser)
        except (np.linalg.LinAlgError, ValueError) as error:
            remark = f"the mixed model could not be fitted: {error}"
            continue
        doubts = [text for text in (str(warning.message) for warning in caught) if "boundary" not in text]
        at_edge = bool((np.sqrt(result.vcomp) < _ZERO * math.sqrt(result.scale)).any())
        if result.converged and (at_edge or not doubts) and np.isfinite(np.asarray(result.bse_fe)).all():
            return result, list(model.exog_vc.names), ""
        remark = "the mixed model did not converge" + (f": {doubts[-1].splitlines()[0].rstrip('.')}" if doubts else "")
    return None, [], remark


def _design(group: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, bool]:
    """Rows of the clauses that are defined everywhere, with centred covariates; and whether there are two sizes."""
    undefined = group.loc[group[measure].isna() | group["baseline_log_prob"].isna(), "id"]
    data = group[~group["id"].isin(undefined)]
    values = {
        "size": np.log10(data["parameters"].to_numpy(dtype=float)),
        "length": np.log(data["n_features"].to_numpy(dtype=float)),
        "log_prob": (data["baseline_log_prob"] / data["n_target_tokens"]).to_numpy(dtype=float),
    }
    run = data["scale"].astype(str) + " " + data["strategy"].astype(str) + " " + data["seed"].astype(str)
    centred = {name: value - value.mean() if len(value) else value for name, value in values.items()}
    return data.assign(run=run, **centred), data["scale"].nunique() > 1


def _why_no_model(data: pd.DataFrame, runs: pd.Series, measure: str, names: list[str]) -> str:
    if len(names) < 2:
        return "fewer than two trained strategies"
    if data["id"].nunique() < 3:
        return "fewer than three clauses with a defined value in every run"
    if (runs < 2).any():
        return "a single seed in some cell"
    if np.ptp(data[measure].to_numpy()) == 0:
        return "the same value everywhere"
    if runs.groupby(level="strategy").size().nunique() > 1:
        return "not every strategy was run at every scale"
    if np.ptp(data["length"].to_numpy()) == 0 or np.ptp(data["log_prob"].to_numpy()) == 0:
        return "every clause is as long, or as probable, as every other"
    return ""


def _contrast(fitted: dict[str, Any], names: list[str], a: str, b: str) -> dict[str, Any]:
    from scipy.stats import t

    result, dof = fitted["result"], fitted["shared"]["dof"]
    coefficients = np.asarray(result.fe_params)
    covariance = np.asarray(result.cov_params())[: len(coefficients), : len(coefficients)]
    found: dict[str, Any] = {}
    for prefix, end in (("", ""), ("by_size", ":size")) if fitted["sized"] else (("", ""),):
        weights = np.zeros(len(coefficients))
        for name, sign in ((a, 1.0), (b, -1.0)):
            weights[result.model.exog_names.index(f"C(strategy)[{name}]{end}")] = sign
        estimate, error = float(weights @ coefficients), math.sqrt(weights @ covariance @ weights)
        reach = float(t.ppf(0.975, dof)) * error
        numbers = {"low": estimate - reach, "high": estimate + reach}
        numbers["p"] = float(2 * t.sf(abs(estimate) / error, dof))
        if prefix:
            found |= {"by_size": estimate} | {f"by_size_{name}": value for name, value in numbers.items()}
        else:
            found |= {"estimate": estimate, "standard_error": error} | numbers
    return found
