"""What ``attribute`` makes of methods, contrasts, prompts and larger units."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tiny_models import PROMPT, build_model

from compliance_xai.attribution.engine import score_masks, score_texts
from compliance_xai.attribution.explain import ablate_categories, aggregate, attribute, phrase_levels
from compliance_xai.attribution.methods import METHODS, align_contrast
from compliance_xai.corpus.counterfactuals import collect_pool
from compliance_xai.corpus.features import perturb, segment
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import encode_target, render
from compliance_xai.records import Attribution

SHORT = "Doors shall be 760 mm wide, except where Table 3 applies."
TARGET = "width,760 mm"
POOL = collect_pool(["Ramps may not be 900 m long if Figure 7 shows less than a wall.", "Where 12 cm gates must open."])
CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<eos>{% endfor %}<|assistant|>"


def explain(tiny, **options):
    return attribute(tiny.model, tiny.tokenizer, SHORT, TARGET, id="x", **options)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_signed_scores_for_every_feature_and_token(qwen2, method, tmp_path):
    budget = {"shapley": 92, "owen": 92, "surrogate_lasso": 30, "surrogate_ridge": 30}.get(method)
    result = explain(qwen2, method=method, budget=budget)
    assert result.scores.shape == (len(segment(SHORT)), len(result.target_tokens))
    assert result.scores.dtype == result.baseline_log_probs.dtype == np.float32
    assert (result.standard_errors is not None) == (method in ("shapley", "owen"))
    usual = explain(qwen2)
    np.testing.assert_allclose(result.baseline_log_probs, usual.baseline_log_probs, atol=1e-5)
    again = Attribution.from_parquet(result.to_parquet(tmp_path / "one.parquet"))
    for field in dataclasses.fields(Attribution):
        np.testing.assert_equal(getattr(again, field.name), getattr(result, field.name))


def test_shapley_and_owen_values_add_up_to_what_the_words_do_together(qwen2):
    ends = np.array([[True], [False]]).repeat(len(segment(SHORT)), axis=1)
    whole, empty = score_masks(qwen2.model, qwen2.tokenizer, SHORT, TARGET, ends)
    for method in ("shapley", "owen"):
        result = explain(qwen2, method=method, budget=92)
        np.testing.assert_allclose(result.scores.sum(axis=0), whole - empty, atol=1e-4)
        assert result.provenance["efficiency_gap"] < 1e-4


def test_methods_agree_where_the_model_is_nearly_additive(qwen2):
    linear = copy.deepcopy(qwen2.model)
    with torch.no_grad():
        for layer in linear.model.layers:
            layer.self_attn.v_proj.weight.mul_(1e-3)
            layer.self_attn.v_proj.bias.mul_(1e-3)
    # Scoring as "mask" keeps positions, so only the tiny values that attention carries change.
    flat = dataclasses.replace(qwen2, model=linear)
    left_out = explain(flat, baseline="mask").scores.sum(axis=1)
    shapley = explain(flat, baseline="mask", method="shapley", budget=400).scores.sum(axis=1)
    assert np.corrcoef(left_out, shapley)[0, 1] > 0.9


# --- contrasts --------------------------------------------------------------------------------------------------


def test_a_contrast_is_the_difference_of_two_targets(qwen2):
    other = "width,900 mm"
    result = explain(qwen2, contrast=other)
    plain, against = explain(qwen2), attribute(qwen2.model, qwen2.tokenizer, SHORT, other)
    np.testing.assert_allclose(
        result.scores.sum(axis=1), plain.scores.sum(axis=1) - against.scores.sum(axis=1), atol=1e-4
    )
    np.testing.assert_allclose(result.baseline_log_probs, plain.baseline_log_probs, atol=1e-5)
    first = next(i for i, token in enumerate(result.target_tokens) if token.end > TARGET.index("760"))
    assert np.abs(result.scores[:, :first]).max() == 0.0  # the same tokens after the same text
    assert np.abs(result.scores[:, first]).max() > 0.01


@pytest.mark.parametrize("method", ["leave_one_out", "gradient_x_input"])
def test_a_contrast_of_the_same_tokens_is_named(qwen2, method):
    from tokenizers import normalizers

    tokenizer = copy.deepcopy(qwen2.tokenizer)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    with pytest.raises(InputError, match="expected a contrast that differs from the target in its tokens, found 'cafe"):
        attribute(qwen2.model, tokenizer, SHORT, "caf\u00e9", contrast="cafe\u0301", method=method)


def test_contrasts_work_with_gradients_and_shapley_values(qwen2):
    for method in ("gradient_x_input", "shapley"):
        options = {"method": method} | ({"budget": 92} if method == "shapley" else {})
        found = explain(qwen2, contrast="width,900 mm", **options).scores.sum(axis=1)
        plain = explain(qwen2, **options).scores.sum(axis=1)
        against = attribute(qwen2.model, qwen2.tokenizer, SHORT, "width,900 mm", **options).scores.sum(axis=1)
        np.testing.assert_allclose(found, plain - against, atol=1e-4)


@pytest.mark.parametrize(
    ("target", "contrast"), [([1, 2, 9], [1, 9]), ([1, 9], [1, 2, 3, 9]), ([1, 1, 1], [1, 1]), ([9], [5, 9])]
)
def test_every_token_of_a_contrast_is_set_against_one_token(target, contrast):
    alignment = align_contrast(target, contrast)
    assert alignment.shape == (len(target), len(contrast))
    assert (alignment.sum(axis=0) == 1).all()


# --- prompts ----------------------------------------------------------------------------------------------------


def test_chat_messages_are_written_with_the_template_of_the_tokenizer(qwen2):
    tokenizer = copy.deepcopy(qwen2.tokenizer)
    tokenizer.chat_template = CHAT
    messages = [{"role": "system", "content": "Write rules."}, {"role": "user", "content": "Clause: {clause}"}]
    text = f"<|system|>Write rules.<eos><|user|>Clause: {SHORT}<eos><|assistant|>"
    assert render(tokenizer, SHORT, messages) == tokenizer(text, add_special_tokens=False)["input_ids"]
    result = attribute(qwen2.model, tokenizer, SHORT, TARGET, prompt=messages)
    by_hand = attribute(qwen2.model, tokenizer, SHORT, TARGET, prompt=text.replace(SHORT, "{clause}"))
    np.testing.assert_array_equal(result.scores, by_hand.scores)
    assert result.provenance["chat"] is True
    outer = render(tokenizer, " \n a door ", messages)  # the template trims what it is given, but not the clause
    assert tokenizer.decode(outer) == text.replace(SHORT, " \n a door ")


def test_chat_messages_need_a_chat_template_and_one_clause(qwen2):
    with pytest.raises(InputError, match="expected a chat template, since the prompt is a list of messages, found no"):
        explain(qwen2, prompt=[{"role": "user", "content": "{clause}"}])
    tokenizer = copy.deepcopy(qwen2.tokenizer)
    tokenizer.chat_template = CHAT
    with pytest.raises(InputError, match=r"text with \{clause\} in it exactly once"):
        render(tokenizer, "a", [{"role": "user", "content": "no place"}])


def test_a_chat_template_says_itself_where_text_begins(qwen2):
    """BOS comes once where the template writes it, and not at all where it does not."""
    from tiny_checkpoints import make_tokenizer

    tokenizer = make_tokenizer(bos=True)
    for chat, count in (("<bos>" + CHAT, 1), (CHAT, 0)):
        tokenizer.chat_template = chat
        ids = render(tokenizer, "A door.", [{"role": "user", "content": "{clause}"}])
        assert ids.count(tokenizer.bos_token_id) == count


def test_no_token_spans_prompt_and_target(qwen2):
    """Joined as text, ``Rule:`` and ``:width`` share a token; as ids they do not."""
    tokenizer = qwen2.tokenizer
    prompt, target = "Clause: {clause}\ngreater", "ThanEqual(door.width,760 mm)"
    joined = tokenizer(prompt.replace("{clause}", SHORT) + target)["input_ids"]
    apart = [*render(tokenizer, SHORT, prompt), *encode_target(tokenizer, target)[0][:-1]]
    assert joined != apart  # what a scorer that joins strings would explain
    result = attribute(qwen2.model, tokenizer, SHORT, target, prompt=prompt)
    assert "".join(token.text for token in result.target_tokens[:-1]) == target


# --- units and baselines ----------------------------------------------------------------------------------------


def test_tokens_can_be_features(qwen2):
    result = explain(qwen2, unit="token")
    assert len(result.features) > len(segment(SHORT))
    assert {f.category for f in result.features if f.text in "760"} == {"number"}
    assert result.scores.shape[0] == len(result.features)


def test_a_token_that_is_deleted_joins_no_two_words(tokenizer):
    clause = "Doors on a route, where self-closing, shall 760 mm."
    features = segment(clause, "token", tokenizer=tokenizer)
    assert len(features) > len(segment(clause)) + 5
    for index, feature in enumerate(features):
        left = perturb(clause, features, [place != index for place in range(len(features))])
        part = clause[: feature.start][-1:].isalnum() or clause[feature.end :][:1].isalnum() or feature.text == "."
        assert len(left.split()) == len(clause.split()) - (not part), feature
        assert len(left) == len(clause) - len(feature.text) - (not part), feature


def test_deleting_the_tokens_of_a_word_is_deleting_the_word(tokenizer):
    clause = "Doors on a route , where dry , shall open"
    tokens = segment(clause, "token", tokenizer=tokenizer)
    words = segment(clause)
    for index, word in enumerate(words):
        keep = [not word.start <= token.start < word.end for token in tokens]
        expected = perturb(clause, words, [place != index for place in range(len(words))])
        assert perturb(clause, tokens, keep) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@example("a\u0301 家家 \u200b\ufeff 😀😀 1.2\u00a0m \r\n")
def test_tokens_and_gaps_give_any_clause_back(qwen2, clause):
    pieces, position = [], 0
    for feature in segment(clause, "token", tokenizer=qwen2.tokenizer):
        assert position <= feature.start < feature.end
        pieces += [clause[position : feature.start], feature.text]
        position = feature.end
    assert "".join([*pieces, clause[position:]]) == clause
    assert not "".join(pieces[0::2]).strip()


def test_a_larger_unit_is_perturbed_not_summed(qwen2):
    words = explain(qwen2)
    phrases = aggregate(qwen2.model, qwen2.tokenizer, words, "phrase")
    direct = explain(qwen2, unit="phrase")
    assert phrases.features == direct.features
    np.testing.assert_array_equal(phrases.scores, direct.scores)
    sums = np.array(
        [
            sum(words.scores[i] for i, word in enumerate(words.features) if p.start <= word.start < p.end)
            for p in phrases.features
        ]
    )
    assert np.abs(phrases.scores - sums).max() > 0.02


def test_categories_are_perturbed_wherever_they_stand(qwen2):
    words = explain(qwen2, baseline="mask")
    frame = ablate_categories(qwen2.model, qwen2.tokenizer, words)
    assert list(frame.columns) == ["category", "n_features", "token", "token_text", "score"]
    references = [f.category != "cross_reference" for f in words.features]
    assert references.count(False) == 2
    scored = score_masks(
        qwen2.model, qwen2.tokenizer, SHORT, TARGET, [[True] * len(references), references], baseline="mask"
    )
    found = frame[frame.category == "cross_reference"]
    assert set(found.n_features) == {2}
    np.testing.assert_allclose(found.score, scored[0] - scored[1], atol=1e-5)


@pytest.mark.parametrize("unit", ["token", "phrase", "sentence"])
def test_only_words_are_made_into_something_larger(qwen2, unit):
    found = explain(qwen2, unit=unit)
    for make in (aggregate, ablate_categories):
        with pytest.raises(
            InputError, match=rf"clause x: expected an attribution of words, found one of the unit '{unit}'"
        ):
            make(qwen2.model, qwen2.tokenizer, found)


def test_larger_units_and_categories_keep_the_dtype_of_the_words(qwen2):
    words = explain(qwen2, dtype="float64")
    phrases = aggregate(qwen2.model, qwen2.tokenizer, words)
    assert phrases.provenance["dtype"] == "float64"
    np.testing.assert_array_equal(phrases.scores, explain(qwen2, unit="phrase", dtype="float64").scores)
    exact = copy.deepcopy(qwen2.model).double()
    frames = [ablate_categories(model, qwen2.tokenizer, words) for model in (qwen2.model, exact)]
    np.testing.assert_array_equal(frames[0].score, frames[1].score)


def test_phrases_lie_inside_sentences():
    clause = "The ramp shall be at least 5 m. The door (of 1 m) shall be wide; b) refer to Table 3. Doors may open."
    sentences, phrases = phrase_levels(clause, segment(clause))
    assert max(sentences) == 3
    assert len(set(zip(phrases, sentences, strict=True))) == len(set(phrases))


def test_aggregation_needs_to_know_how_the_words_were_scored(qwen2):
    words = dataclasses.replace(explain(qwen2), provenance={})
    with pytest.raises(InputError, match="clause x: expected an attribution whose provenance says how it was made"):
        aggregate(qwen2.model, qwen2.tokenizer, words)


def test_counterfactuals_are_the_mean_over_draws(qwen2):
    from compliance_xai.corpus.counterfactuals import write_perturbed

    result = explain(qwen2, baseline="counterfactual", pool=POOL, draws=3, seed=4)
    features = segment(SHORT)
    keep = np.arange(len(features)) != 3
    texts = write_perturbed(SHORT, features, [keep], baseline="counterfactual", pool=POOL, draws=3, seed=4)[0]
    assert all(text != SHORT and "760" not in text for text in texts)
    drawn = score_texts(qwen2.model, qwen2.tokenizer, texts, TARGET)
    np.testing.assert_allclose(result.scores[3], result.baseline_log_probs - drawn.mean(axis=0), atol=1e-5)
    single = explain(qwen2, baseline="counterfactual", pool=POOL, draws=3, seed=4, batch_tokens=1)
    np.testing.assert_allclose(single.scores, result.scores, atol=1e-5)


def test_a_mask_token_is_written_where_the_tokenizer_has_one(qwen2):
    tokenizer = copy.deepcopy(qwen2.tokenizer)
    tokenizer.mask_token = "<eos>"
    result = attribute(qwen2.model, tokenizer, SHORT, TARGET, baseline="mask_token")
    text = score_texts(qwen2.model, tokenizer, ["<eos>" + SHORT[len("Doors") :]], TARGET)[0]
    np.testing.assert_allclose(result.scores[0], result.baseline_log_probs - text, atol=1e-5)


# --- dtype and records ------------------------------------------------------------------------------------------


def test_a_dtype_is_computed_in_and_the_model_stays(tokenizer):
    model = build_model("qwen2", len(tokenizer))
    usual = attribute(model, tokenizer, SHORT, TARGET, prompt=PROMPT)
    exact = attribute(model, tokenizer, SHORT, TARGET, prompt=PROMPT, dtype="float64")
    coarse = attribute(model, tokenizer, SHORT, TARGET, prompt=PROMPT, dtype="bfloat16")
    np.testing.assert_allclose(usual.scores, exact.scores, atol=1e-4)
    assert (exact.provenance["dtype"], coarse.provenance["dtype"]) == ("float64", "bfloat16")
    assert 1e-4 < np.abs(coarse.scores - exact.scores).max() < 0.5
    assert model.dtype == torch.float32


def test_scores_are_summed_over_spans_of_the_target(qwen2):
    result = explain(qwen2)
    start = TARGET.index("760")
    found = result.sum_spans([(start, start + 3), (0, len(TARGET))])
    inside = [token.start < start + 3 and start < token.end for token in result.target_tokens]
    np.testing.assert_allclose(found[:, 0], result.scores[:, inside].sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], result.scores[:, :-1].sum(axis=1), atol=1e-6)
    with pytest.raises(InputError, match=r"clause x, span \(99, 100\): expected characters of the target, 0 to 12"):
        result.sum_spans([(99, 100)])


def test_numbers_of_other_libraries_are_stored_as_plain_ones(qwen2, tmp_path):
    result = explain(
        qwen2,
        method="shapley",
        budget=np.int64(92),
        max_error=np.float32(9),
        seed=np.int64(3),
        batch_tokens=np.uint16(99),
    )
    again = Attribution.from_parquet(result.to_parquet(tmp_path / "one.parquet"))
    assert again.provenance == result.provenance
    assert (result.provenance["seed"], result.provenance["batch_tokens"]) == (3, 99)
    np.testing.assert_array_equal(
        result.scores, explain(qwen2, method="shapley", budget=92, max_error=9.0, seed=3, batch_tokens=99).scores
    )


def test_files_from_before_standard_errors_are_read(qwen2, tmp_path):
    import pyarrow.parquet as pq

    result = explain(qwen2)
    path = result.to_parquet(tmp_path / "one.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["standard_errors"]), tmp_path / "old.parquet")
    old = Attribution.from_parquet(tmp_path / "old.parquet")
    assert old.standard_errors is None
    np.testing.assert_array_equal(old.scores, result.scores)


def test_the_frame_has_a_row_for_every_feature_and_token(qwen2):
    result = explain(qwen2, method="shapley", budget=92)
    frame = result.to_frame()
    assert len(frame) == result.scores.size
    row = frame[(frame.text == "760") & (frame.token == 2)].iloc[0]
    assert (row.category, row.token_text) == ("number", result.target_tokens[2].text)
    assert row.score == result.scores[row.feature, 2]
    assert row.standard_error == result.standard_errors[row.feature, 2]
    assert explain(qwen2).to_frame().standard_error.isna().all()


def test_the_frame_keeps_every_character(qwen2):
    result = attribute(qwen2.model, qwen2.tokenizer, "Doors\0 open\0", "a\0")
    frame = result.to_frame()
    assert list(frame.text.unique()) == ["Doors\0", "open\0"]
    assert list(frame.token_text[: len(result.target_tokens)]) == [token.text for token in result.target_tokens]
    assert "\0" in set(frame.token_text)
