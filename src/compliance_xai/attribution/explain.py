"""From a clause and a target to an attribution: features, masks, log-probabilities, scores."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compliance_xai.attribution.anatomy import dtype_name, knows_head, one_at_a_time, unwrap
from compliance_xai.attribution.engine import (
    BATCH_TOKENS,
    Cost,
    _check_text,
    _encode_target,
    _target_tokens,
    _where,
    score_masks,
)
from compliance_xai.attribution.gradients import gradient_scores
from compliance_xai.attribution.methods import (
    GRADIENT_METHODS,
    Score,
    Solution,
    align_contrast,
    check_method,
    leave_one_out,
    leave_one_out_masks,
    position_scores,
    random_scores,
)
from compliance_xai.attribution.sampling import sample_values
from compliance_xai.attribution.surrogate import fit_surrogate, surrogate_masks
from compliance_xai.corpus.counterfactuals import DRAWS, Pool
from compliance_xai.corpus.features import group, segment
from compliance_xai.errors import InputError, require_choice
from compliance_xai.models.prompts import Template, make_template
from compliance_xai.records import CATEGORIES, Attribution, Example, Feature

if TYPE_CHECKING:
    import pandas as pd

    from compliance_xai.models.prompts import Prompt

DTYPES = ("float32", "float64", "bfloat16", "float16")

_WHOLE_NUMBERS = ("draws", "budget", "batch_tokens", "seed")
_MOST = 2**63 - 1
"""What a table's column for whole numbers holds."""


@dataclass(frozen=True)
class _Settings:
    """How one clause is explained; what ``attribute`` was asked for, less the texts."""

    template: Template
    method: str
    unit: str
    baseline: str
    contrast: str | None
    pool: Pool | None
    draws: int
    budget: int | None
    max_error: float | None
    id: str
    batch_tokens: int
    seed: int
    progress: bool = False


def attribute(
    model: Any,
    tokenizer: Any,
    clause: str,
    target: str,
    *,
    prompt: Prompt | None = None,
    method: str = "leave_one_out",
    unit: str = "word",
    baseline: str = "delete",
    contrast: str | None = None,
    dtype: str | None = None,
    pool: Pool | None = None,
    draws: int = DRAWS,
    budget: int | None = None,
    max_error: float | None = None,
    id: str = "",
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    progress: bool = False,
    vocabulary: Mapping[str, str] | None = None,
) -> Attribution:
    """Measure what each token of a target rests on in a clause.

    Prompt and target are cut into tokens apart, as in training: a tokenizer that puts a space before any text (Llama
    2's) puts one before the target too.

    Parameters
    ----------
    model, tokenizer
        A Hugging Face causal language model (PEFT adapters and 4-bit weights as they are, unmerged) and its tokenizer.
        The model is put into evaluation mode for the call and left as it was found.
    clause, target
        The clause and the text to explain, for example its rule.
    prompt
        How the clause is shown: a string with ``{clause}``, or chat messages of which one holds ``{clause}`` (written
        with the tokenizer's chat template); the study's template where None.
    method
        ``leave_one_out``; ``shapley`` or ``owen`` (phrases inside sentences as groups), sampled; ``surrogate_lasso`` or
        ``surrogate_ridge``; ``gradient_x_input`` or ``integrated_gradients``; or a control, ``random`` or ``position``.
    unit, vocabulary
        See ``segment``.
    baseline
        ``delete``, ``mask`` (a neutral word), ``mask_token`` (the tokenizer's) or ``counterfactual`` (another text of
        the same category); see ``perturb``. Gradient methods know one reference only, the zero embedding; their
        baseline must stay at ``delete`` and is recorded as ``zero_embedding``.
    contrast
        Another target: scores then say why ``target`` and not ``contrast``. They are differences of log-probabilities,
        zero for the tokens before the first that differs; summed over tokens they are those of log p(target) -
        log p(contrast). See ``align_contrast``.
    dtype
        Compute in ``float32``, ``float64``, ``bfloat16`` or ``float16`` on a copy of the model, made for the call; the
        model as it is where None. The log-softmax is in float32 in any case.
    pool, draws
        For ``counterfactual``: where texts are drawn from (see ``collect_pool``) and how many for each feature; the
        log-probability under a mask is the mean over draws.
    budget
        Most masks of a method that samples; 2048 for Shapley and Owen values, 96 for the surrogate where None.
    max_error
        Sampling of Shapley and Owen values stops when no standard error is larger (nats).
    id
        Stored with the result and named in errors.
    batch_tokens
        Most tokens per forward pass (one row always fits). Results do not depend on it (1e-5 in float32).
    seed
        For methods and baselines that draw at random.
    progress
        Show a bar over rows on standard error.

    Returns
    -------
    Attribution
        Scores of shape (features, target tokens) in nats, signed; positive where the feature makes the token likelier.
        The last target token is the end-of-text token, with an empty span.

    Raises
    ------
    InputError
        If the clause holds no feature, the target is empty, the text is longer than the model reads, or an option is
        unknown or has no effect with the others.
    """
    settings = _Settings(
        make_template(tokenizer, prompt), method, unit, baseline, contrast, pool, draws, budget, max_error, id,
        batch_tokens, seed, progress,
    )  # fmt: skip
    settings = _check_settings(settings)
    _check_text(clause, "clause", id)
    features = segment(clause, unit, vocabulary=vocabulary, tokenizer=tokenizer)
    return _explain(_in_dtype(model, dtype), tokenizer, clause, target, features, settings)


def attribute_many(
    model: Any,
    tokenizer: Any,
    examples: Iterable[Example],
    *,
    prompt: Prompt | None = None,
    method: str = "leave_one_out",
    unit: str = "word",
    baseline: str = "delete",
    dtype: str | None = None,
    pool: Pool | None = None,
    draws: int = DRAWS,
    batch_tokens: int = BATCH_TOKENS,
    seed: int = 0,
    vocabulary: Mapping[str, str] | None = None,
) -> Iterator[Attribution]:
    """Attribute each example's reference rule to its clause, one at a time; a caller can store each and go on later."""
    for example in examples:
        yield attribute(
            model, tokenizer, example.clause, example.rule,
            prompt=prompt, method=method, unit=unit, baseline=baseline, dtype=dtype, pool=pool, draws=draws,
            id=example.id, batch_tokens=batch_tokens, seed=seed, vocabulary=vocabulary,
        )  # fmt: skip


def aggregate(
    model: Any, tokenizer: Any, attribution: Attribution, unit: str = "phrase", *, pool: Pool | None = None
) -> Attribution:
    """The same attribution for larger features, by perturbing each as a whole.

    Scores of words do not add up to that of their phrase: either of two words that say the same can go without harm,
    both cannot. So the larger features are scored anew, with the settings and the dtype in the attribution's
    provenance.

    Parameters
    ----------
    attribution
        Of words.
    unit
        ``phrase``, ``category`` (neighbours of one category) or ``sentence``; see ``segment``.
    pool
        For an attribution with the ``counterfactual`` baseline: texts of the larger unit.

    Raises
    ------
    InputError
        If the attribution is of another unit than the word, or its provenance does not say how it was made.
    """
    settings = dataclasses.replace(_settings_of(attribution, pool), unit=unit)
    features = group(attribution.clause, attribution.features, unit)
    model = _in_dtype_of(model, attribution)
    return _explain(model, tokenizer, attribution.clause, attribution.target, features, settings)


def ablate_categories(
    model: Any, tokenizer: Any, attribution: Attribution, *, pool: Pool | None = None
) -> pd.DataFrame:
    """What each target token loses when all words of a category are perturbed at once, wherever they stand.

    The attribution is one of words; its settings and dtype are taken from its provenance, as by ``aggregate``.

    Returns
    -------
    pandas.DataFrame
        One row per category in the clause and target token: ``category, n_features, token`` (from 0), ``token_text,
        score`` (nats; log p(token | clause) - log p(token | clause without the category)).
    """
    import pandas as pd

    found = {feature.category for feature in attribution.features}
    categories = [category for category in CATEGORIES if category in found]
    has_CF = np.array([[feature.category == name for feature in attribution.features] for name in categories])
    settings, model = _settings_of(attribution, pool), _in_dtype_of(model, attribution)
    score = _make_score(model, tokenizer, attribution.clause, attribution.target, attribution.features, settings)
    scores_CT = leave_one_out(score(np.vstack([np.ones((1, has_CF.shape[1]), dtype=bool), ~has_CF])))
    return pd.DataFrame(
        [
            (category, int(has_F.sum()), index, token.text, float(value))
            for category, has_F, scores_T in zip(categories, has_CF, scores_CT, strict=True)
            for index, (token, value) in enumerate(zip(attribution.target_tokens, scores_T, strict=True))
        ],
        columns=["category", "n_features", "token", "token_text", "score"],
    )


# --- settings ---------------------------------------------------------------------------------------------------


def _check_settings(settings: _Settings) -> _Settings:
    """The settings, numbers as Python's own, if all have an effect."""
    given = {name: getattr(settings, name) for name in _WHOLE_NUMBERS}
    numbers = {name: _check_whole(name, value) for name, value in given.items() if (name, value) != ("budget", None)}
    check_method(settings.method)
    samples = settings.method in ("shapley", "owen")
    idle = {
        "baseline": settings.method in GRADIENT_METHODS and settings.baseline != "delete",
        "max_error": settings.max_error is not None and not samples,
        "budget": settings.budget is not None and not samples and not settings.method.startswith("surrogate"),
        "pool": settings.pool is not None and settings.baseline != "counterfactual",
    }
    for name, has_no_effect in idle.items():
        if has_no_effect:
            raise InputError(
                f"attribute, {name}",
                expected=f"no {name} with method {settings.method!r} and baseline {settings.baseline!r}",
                found=repr(getattr(settings, name)) if name != "pool" else "a pool",
                remedy="Leave it out; it would have no effect.",
            )
    max_error = None if settings.max_error is None else float(settings.max_error)
    return dataclasses.replace(settings, max_error=max_error, **numbers)


def _check_whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= _MOST:
        raise InputError(
            f"attribute, {name}",
            expected="a whole number from 0 to 2^63 - 1",
            found=repr(value),
            remedy="Write one, or leave it out.",
        )
    return number


def _settings_of(attribution: Attribution, pool: Pool | None) -> _Settings:
    """The settings behind an attribution of words made here, from its provenance."""
    known = attribution.provenance
    names = ("method", "unit", "baseline", "contrast", "draws", "budget", "max_error", "batch_tokens", "seed")
    missing = [name for name in (*names, "prompt", "chat", "dtype") if name not in known]
    if missing:
        raise InputError(
            _where(attribution.id),
            expected="an attribution whose provenance says how it was made",
            found=f"no {missing[0]!r} in it",
            remedy="Make it with compliance_xai.attribution.attribute.",
        )
    if known["unit"] != "word":
        raise InputError(
            _where(attribution.id),
            expected="an attribution of words",
            found=f"one of the unit {known['unit']!r}",
            remedy="Attribute with unit='word'; larger features are made of words.",
        )
    values = {name: known[name] for name in names}
    if values["baseline"] == "zero_embedding":
        values["baseline"] = "delete"
    return _Settings(template=Template(known["prompt"], complete=known["chat"]), pool=pool, id=attribution.id, **values)


def _in_dtype_of(model: Any, attribution: Attribution) -> Any:
    dtype = attribution.provenance["dtype"]
    return model if dtype == dtype_name(model) else _in_dtype(model, dtype)


def _in_dtype(model: Any, dtype: str | None) -> Any:
    import torch

    if dtype is None:
        return model
    require_choice("attribute, dtype", dtype, DTYPES, remedy="Leave it out for the model as it is.")
    if getattr(unwrap(model), "is_quantized", False):
        raise InputError(
            "attribute, dtype",
            expected="none for a quantised model",
            found=repr(dtype),
            remedy="Its weights cannot change their dtype; load it with another compute dtype.",
        )
    with one_at_a_time, torch.inference_mode(False):  # gradients may be asked for
        return copy.deepcopy(model).to(getattr(torch, dtype))


# --- solving ----------------------------------------------------------------------------------------------------


def _explain(
    model: Any, tokenizer: Any, clause: str, target: str, features: Sequence[Feature], settings: _Settings
) -> Attribution:
    if not features:
        raise InputError(
            _where(settings.id),
            expected="a clause with at least one word",
            found=repr(clause),
            remedy="Remove or mend the clause.",
        )
    encoded = _encode_target(tokenizer, target, settings.id)
    if settings.method in GRADIENT_METHODS:
        solution = _solve_gradients(model, tokenizer, clause, target, features, settings)
    else:
        cost = Cost()
        score = _make_score(model, tokenizer, clause, target, features, settings, cost)
        solution = solve(score, clause, features, settings)
        solution.report.update(cost.report())
    whole_T = solution.whole_T
    if settings.contrast is not None:
        plain = dataclasses.replace(settings, contrast=None)
        keep_all = np.ones((1, len(features)), dtype=bool)
        whole_T = _make_score(model, tokenizer, clause, target, features, plain)(keep_all)[0]
    return Attribution(
        id=settings.id,
        clause=clause,
        target=target,
        features=tuple(features),
        target_tokens=tuple(_target_tokens(tokenizer, target, encoded)),
        scores=solution.scores_FT,
        baseline_log_probs=whole_T,
        provenance=_describe(model, settings) | solution.report,
        standard_errors=solution.standard_errors_FT,
    )


def _describe(model: Any, settings: _Settings) -> dict[str, Any]:
    gradients = settings.method in GRADIENT_METHODS
    return {
        "method": settings.method,
        "unit": settings.unit,
        "baseline": "zero_embedding" if gradients else settings.baseline,
        "contrast": settings.contrast,
        "draws": settings.draws,
        "budget": settings.budget,
        "max_error": settings.max_error,
        "seed": settings.seed,
        "batch_tokens": settings.batch_tokens,
        "prompt": settings.template.text,
        "chat": settings.template.complete,
        "model": type(unwrap(model)).__name__,
        "dtype": dtype_name(model),
        "head_at_targets": knows_head(model),
    }


def solve(score: Score, clause: str, features: Sequence[Feature], settings: _Settings) -> Solution:
    """Run a method that asks for keep-masks, or a control."""
    n_features, method = len(features), settings.method
    if method == "leave_one_out":
        masks_MF = leave_one_out_masks(n_features)
        log_probs_MT = score(masks_MF)
        return Solution(leave_one_out(log_probs_MT), log_probs_MT[0], report={"masks": len(masks_MF)})
    if method in ("shapley", "owen"):
        levels = phrase_levels(clause, features) if method == "owen" else []
        return sample_values(
            score, n_features,
            levels=levels, budget=settings.budget, max_error=settings.max_error, seed=settings.seed,
        )  # fmt: skip
    if method.startswith("surrogate_"):
        masks_MF = surrogate_masks(n_features, settings.budget, seed=settings.seed)
        return fit_surrogate(masks_MF, score(masks_MF), penalty=method.removeprefix("surrogate_"))
    whole_T = score(np.ones((1, n_features), dtype=bool))[0]
    shape = (n_features, len(whole_T))
    scores_FT = random_scores(*shape, settings.seed) if method == "random" else position_scores(*shape)
    return Solution(scores_FT, whole_T, report={"masks": 1})


def phrase_levels(clause: str, features: Sequence[Feature]) -> list[list[int]]:
    """Sentence number and phrase number of every feature; the groups of Owen values.

    Examples
    --------
    >>> clause = "Doors shall open. Where dry, gates may too."
    >>> phrase_levels(clause, segment(clause))
    [[0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7]]
    """
    levels = []
    for unit in ("sentence", "phrase"):
        groups = group(clause, features, unit)
        levels.append([next(i for i, part in enumerate(groups) if f.end <= part.end) for f in features])
    return levels


def _make_score(
    model: Any,
    tokenizer: Any,
    clause: str,
    target: str,
    features: Sequence[Feature],
    settings: _Settings,
    cost: Cost | None = None,
) -> Score:
    def score_target(text: str, masks_MF: np.ndarray) -> np.ndarray:
        return score_masks(
            model, tokenizer, clause, text, masks_MF,
            features=features, prompt=settings.template, baseline=settings.baseline, pool=settings.pool,
            draws=settings.draws, id=settings.id, batch_tokens=settings.batch_tokens, seed=settings.seed,
            progress=settings.progress, cost=cost,
        )  # fmt: skip

    if settings.contrast is None:
        return lambda masks_MF: score_target(target, masks_MF)
    alignment_TC = _align(tokenizer, target, settings)
    contrast = settings.contrast
    return lambda masks_MF: (
        score_target(target, masks_MF) - score_target(contrast, masks_MF).astype(np.float64) @ alignment_TC.T
    )


def _align(tokenizer: Any, target: str, settings: _Settings) -> np.ndarray:
    assert settings.contrast is not None  # callers ask only then
    ids, contrast_ids = (_encode_target(tokenizer, text, settings.id).ids for text in (target, settings.contrast))
    if contrast_ids == ids:
        raise InputError(
            _where(settings.id),
            expected="a contrast that differs from the target in its tokens",
            found=repr(settings.contrast),
            remedy="Write the text that the model might have given instead.",
        )
    return align_contrast(ids, contrast_ids)


def _solve_gradients(
    model: Any, tokenizer: Any, clause: str, target: str, features: Sequence[Feature], settings: _Settings
) -> Solution:
    def solve_target(text: str) -> Solution:
        return gradient_scores(
            model, tokenizer, clause, text, features,
            integrated=settings.method == "integrated_gradients", prompt=settings.template, id=settings.id,
            batch_tokens=settings.batch_tokens,
        )  # fmt: skip

    if settings.contrast is None:
        return solve_target(target)
    alignment_TC = _align(tokenizer, target, settings)
    solution = solve_target(target)
    against_FT = solve_target(settings.contrast).scores_FT @ alignment_TC.T
    return dataclasses.replace(solution, scores_FT=(solution.scores_FT - against_FT).astype(np.float32))
