"""From a clause and a target to an attribution: features, masks, log-probabilities, scores."""

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from compliance_xai.attribution import methods
from compliance_xai.attribution.engine import Cost, check_text, name_clause, read_target, score_masks
from compliance_xai.attribution.head import knows_head
from compliance_xai.attribution.integrated_gradients import integrate_gradients
from compliance_xai.attribution.methods import Score, Solution
from compliance_xai.attribution.model_parts import dtype_name, one_at_a_time, unwrap
from compliance_xai.attribution.options import BUDGETS, DEFAULT_OPTIONS, Options
from compliance_xai.corpus.features import group, segment
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import make_template
from compliance_xai.records import Attribution, Example, Feature


def attribute(
    model: Any, tokenizer: Any, clause: str, target: str, options: Options = DEFAULT_OPTIONS, *, id: str = ""
) -> Attribution:
    """Measure what each token of a target rests on in a clause.

    Prompt and target are cut into tokens separately, as in training: a tokenizer that puts a space before any text
    (Llama 2's) puts one before the target too.

    Parameters
    ----------
    model, tokenizer
        A Hugging Face causal language model (PEFT adapters and 4-bit weights as they are, unmerged) and its tokenizer.
        The model is put into evaluation mode for the call and left as it was found.
    clause, target
        The clause and the text to explain, for example its rule.
    options
        The method, what a feature is and what takes its place, and how it is computed.
    id
        Stored with the result and named in errors.

    Returns
    -------
    Attribution
        Scores of shape (features, target tokens) in nats, signed; positive where the feature makes the token likelier.
        The last target token is the end-of-text token, with an empty span.

    Raises
    ------
    InputError
        If the clause has no feature, the target is empty, or the text is longer than the model can read.
    """
    check_text(clause, "clause", id)
    features = segment(clause, options.unit, vocabulary=options.vocabulary)
    if not features:
        raise InputError(
            name_clause(id),
            expected="a clause with at least one word",
            found=repr(clause),
            remedy="Correct the clause, or leave it out.",
        )
    encoded = read_target(tokenizer, target, id)
    template = make_template(tokenizer, options.prompt)
    options, model = dataclasses.replace(options, prompt=template), _in_dtype(model, options.dtype)
    if options.method == "integrated_gradients":
        solution = integrate_gradients(model, tokenizer, clause, target, features, options, id=id)
    else:
        cost = Cost()

        def score(masks_MF: np.ndarray) -> np.ndarray:
            return score_masks(model, tokenizer, clause, target, masks_MF, options, features=features, id=id, cost=cost)

        solution = solve(score, clause, features, options)
        solution.report.update(vars(cost))
    return Attribution(
        id=id,
        clause=clause,
        target=target,
        features=tuple(features),
        target_tokens=tuple(encoded.tokens(tokenizer)),
        scores=solution.scores_FT,
        baseline_log_probs=solution.whole_T,
        provenance=_describe(model, options) | solution.report,
        standard_errors=solution.standard_errors_FT,
    )


def attribute_many(
    model: Any, tokenizer: Any, examples: Iterable[Example], options: Options = DEFAULT_OPTIONS
) -> Iterator[Attribution]:
    """Attribute each example's reference rule to its clause, one at a time; a caller can store each and resume."""
    for example in examples:
        yield attribute(model, tokenizer, example.clause, example.rule, options, id=example.id)


def _in_dtype(model: Any, dtype: str | None) -> Any:
    import torch

    if dtype is None:
        return model
    if getattr(unwrap(model), "is_quantized", False):
        raise InputError(
            "attribution, dtype",
            expected="none for a quantised model",
            found=repr(dtype),
            remedy="Its weights cannot change their dtype; load it with another compute dtype.",
        )
    with one_at_a_time, torch.inference_mode(False):  # gradients may be asked for
        return copy.deepcopy(model).to(getattr(torch, dtype))


def _describe(model: Any, options: Options) -> dict[str, Any]:
    template: Any = options.prompt
    gradients = options.method == "integrated_gradients"
    stated = {name: getattr(options, name) for name in ("method", "unit", "draws", "budget", "seed", "batch_tokens")}
    return stated | {
        "baseline": "zero_embedding" if gradients else options.baseline,
        "prompt": template.text,
        "chat": template.complete,
        "model": type(unwrap(model)).__name__,
        "dtype": dtype_name(model),
        "head_at_targets": knows_head(model),
    }


def solve(score: Score, clause: str, features: Sequence[Feature], options: Options) -> Solution:
    """Run a method that asks for keep-masks."""
    n_features, method = len(features), options.method
    if method == "leave_one_out":
        masks_MF = methods.leave_one_out_masks(n_features)
        log_probs_MT = score(masks_MF)
        return Solution(methods.leave_one_out(log_probs_MT), log_probs_MT[0], report={"masks": len(masks_MF)})
    budget = BUDGETS[method] if options.budget is None else options.budget
    if method in ("shapley", "owen"):
        levels = phrase_levels(clause, features) if method == "owen" else []
        return methods.sample_values(score, n_features, levels=levels, budget=budget, seed=options.seed)
    masks_MF = methods.surrogate_masks(n_features, budget, seed=options.seed)
    return methods.fit_surrogate(masks_MF, score(masks_MF), penalty=method.removeprefix("surrogate_"))


def phrase_levels(clause: str, features: Sequence[Feature]) -> list[list[int]]:
    """Sentence number and phrase number of every feature; the groups of Owen values.

    >>> clause = "Doors shall open. Where dry, gates may too."
    >>> phrase_levels(clause, segment(clause))
    [[0, 0, 0, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7]]
    """
    levels = []
    for unit in ("sentence", "phrase"):
        groups = group(clause, features, unit)
        levels.append([next(i for i, part in enumerate(groups) if f.end <= part.end) for f in features])
    return levels
