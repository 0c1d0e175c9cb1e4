"""What ``attribute`` makes of methods, prompts, units and baselines."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import PROMPT, build_model

from compliance_xai.attribution.engine import score_masks, score_texts
from compliance_xai.attribution.explain import attribute, phrase_levels
from compliance_xai.attribution.options import METHODS, Options
from compliance_xai.corpus.counterfactuals import collect_pool
from compliance_xai.corpus.features import segment
from compliance_xai.errors import InputError
from compliance_xai.models.prompts import encode_target, render
from compliance_xai.records import Attribution

SHORT = "Doors shall be 760 mm wide, except where Table 3 applies."
TARGET = "width,760 mm"
POOL = collect_pool(["Ramps may not be 900 m long if Figure 7 shows less than a wall.", "Where 12 cm gates must open."])
CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<eos>{% endfor %}<|assistant|>"


def explain(tiny, **options):
    return attribute(tiny.model, tiny.tokenizer, SHORT, TARGET, Options(**options), id="x")


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


# --- prompts ----------------------------------------------------------------------------------------------------


def test_chat_messages_are_written_with_the_template_of_the_tokenizer(qwen2):
    tokenizer = copy.deepcopy(qwen2.tokenizer)
    tokenizer.chat_template = CHAT
    messages = [{"role": "system", "content": "Write rules."}, {"role": "user", "content": "Clause: {clause}"}]
    text = f"<|system|>Write rules.<eos><|user|>Clause: {SHORT}<eos><|assistant|>"
    assert render(tokenizer, SHORT, messages) == tokenizer(text, add_special_tokens=False)["input_ids"]
    result = attribute(qwen2.model, tokenizer, SHORT, TARGET, Options(prompt=messages))
    by_hand = attribute(qwen2.model, tokenizer, SHORT, TARGET, Options(prompt=text.replace(SHORT, "{clause}")))
    np.testing.assert_array_equal(result.scores, by_hand.scores)
    assert result.provenance["chat"] is True
    outer = render(tokenizer, " \n a door ", messages)  # the template trims what it is given, but not the clause
    assert tokenizer.decode(outer) == text.replace(SHORT, " \n a door ")


def test_chat_messages_need_a_chat_template_and_one_clause(qwen2):
    with pytest.raises(InputError, match="a chat template, because the prompt is a list of messages, found none"):
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
    result = attribute(qwen2.model, tokenizer, SHORT, target, Options(prompt=prompt))
    assert "".join(token.text for token in result.target_tokens[:-1]) == target


# --- units and baselines ----------------------------------------------------------------------------------------


def test_a_larger_unit_is_perturbed_as_a_whole(qwen2):
    words, phrases = explain(qwen2), explain(qwen2, unit="phrase")
    sums = np.array(
        [
            sum(words.scores[i] for i, word in enumerate(words.features) if p.start <= word.start < p.end)
            for p in phrases.features
        ]
    )
    assert np.abs(phrases.scores - sums).max() > 0.02
    keep = np.array([not phrases.features[1].start <= word.start < phrases.features[1].end for word in words.features])
    scored = score_masks(qwen2.model, qwen2.tokenizer, SHORT, TARGET, [keep])[0]
    np.testing.assert_allclose(phrases.scores[1], words.baseline_log_probs - scored, atol=1e-5)


def test_phrases_lie_inside_sentences():
    clause = "The ramp shall be at least 5 m. The door (of 1 m) shall be wide; b) refer to Table 3. Doors may open."
    sentences, phrases = phrase_levels(clause, segment(clause))
    assert max(sentences) == 3
    assert len(set(zip(phrases, sentences, strict=True))) == len(set(phrases))


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


# --- dtype and records ------------------------------------------------------------------------------------------


def test_a_dtype_is_computed_in_and_the_model_stays(tokenizer):
    model = build_model("qwen2", len(tokenizer))
    usual = attribute(model, tokenizer, SHORT, TARGET, Options(prompt=PROMPT))
    exact = attribute(model, tokenizer, SHORT, TARGET, Options(prompt=PROMPT, dtype="float64"))
    coarse = attribute(model, tokenizer, SHORT, TARGET, Options(prompt=PROMPT, dtype="bfloat16"))
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
        seed=np.int64(3),
        batch_tokens=np.uint16(99),
    )
    again = Attribution.from_parquet(result.to_parquet(tmp_path / "one.parquet"))
    assert again.provenance == result.provenance
    assert (result.provenance["seed"], result.provenance["batch_tokens"]) == (3, 99)
    np.testing.assert_array_equal(
        result.scores, explain(qwen2, method="shapley", budget=92, seed=3, batch_tokens=99).scores
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
