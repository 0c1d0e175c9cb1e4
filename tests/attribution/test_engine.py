import copy
import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import CLAUSE, CONTEXT, FAMILIES, PROMPT, RULE, build_model

from compliance_xai.attribution import head, passes
from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.attribution.explain import attribute, attribute_many
from compliance_xai.attribution.options import Options
from compliance_xai.attribution.self_checks import self_check
from compliance_xai.corpus.features import perturb, segment
from compliance_xai.errors import InputError
from compliance_xai.records import Example, attribution_from_row, attribution_row

IN_PEFT = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def reference_log_probs(model, tokenizer, clause, target, prompt=PROMPT):
    """One row, float64, full logits, log_softmax: the definition, written as plainly as can be."""
    exact = copy.deepcopy(model).double()
    head = tokenizer(prompt.format(clause=clause), add_special_tokens=False)["input_ids"]
    tail = [*tokenizer(target, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = exact(input_ids=torch.tensor([head + tail])).logits[0]
    log_probs = torch.log_softmax(logits, dim=-1)
    return np.array([log_probs[len(head) - 1 + step, token].item() for step, token in enumerate(tail)])


def test_scores_equal_a_naive_float64_reference(tiny):
    result = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE, Options(prompt=PROMPT))
    whole = reference_log_probs(tiny.model, tiny.tokenizer, CLAUSE, RULE)
    np.testing.assert_allclose(result.baseline_log_probs, whole, atol=1e-4)
    features = segment(CLAUSE)
    for index in (0, 3, len(features) - 1):
        keep = [position != index for position in range(len(features))]
        without = reference_log_probs(tiny.model, tiny.tokenizer, perturb(CLAUSE, features, keep), RULE)
        np.testing.assert_allclose(result.scores[index], whole - without, atol=1e-4)
    # The check bites: perturbing a word moves some token by far more than the tolerance.
    assert np.abs(result.scores).max() > 0.02


@pytest.mark.parametrize(
    ("family", "attention"),
    [*((family, "eager") for family in FAMILIES), *((family, "sdpa") for family in FAMILIES if family != "gemma2")],
)
def test_smaller_weights_and_fused_attention_equal_the_reference_too(tokenizer, family, attention):
    model = build_model(family, len(tokenizer), std=0.06, attention=attention)
    clauses = [CLAUSE, "Doors.", CLAUSE[30:]]  # three lengths, padded in one batch
    found = score_texts(model, tokenizer, clauses, RULE, Options(prompt=PROMPT))
    expected = [reference_log_probs(model, tokenizer, clause, RULE) for clause in clauses]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_a_sliding_window_forgets_what_lies_before_it(tokenizer):
    """Two layers that look at 15 earlier tokens each: the rule cannot know the first word, but the last."""
    model = build_model("mistral", len(tokenizer))
    assert len(tokenizer(CLAUSE)["input_ids"]) > 2 * 15 + 5
    scores = attribute(model, tokenizer, CLAUSE, RULE, Options(prompt=PROMPT, baseline="mask")).scores
    np.testing.assert_allclose(scores[0], 0, atol=1e-5)
    assert np.abs(scores[-1]).max() > 0.01


@pytest.mark.parametrize("batch_tokens", [1, 150, 700, 10**6])
def test_results_do_not_depend_on_the_batch_size(tiny, batch_tokens):
    usual = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE, Options(prompt=PROMPT))
    other = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE, Options(prompt=PROMPT, batch_tokens=batch_tokens))
    np.testing.assert_allclose(other.scores, usual.scores, atol=1e-5)
    np.testing.assert_allclose(other.baseline_log_probs, usual.baseline_log_probs, atol=1e-5)


def test_results_do_not_depend_on_row_order_or_company(tiny):
    clauses = [CLAUSE, "Doors.", "A ramp shall be not steeper than 1:12.", "Where required, b) walls may burn."]
    alone = np.vstack([score_texts(tiny.model, tiny.tokenizer, [clause], RULE) for clause in clauses])
    together = score_texts(tiny.model, tiny.tokenizer, clauses[::-1], RULE)[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "plain"),
    [("qwen2", True), ("llama", True), ("mistral", True), ("gemma", True), ("gpt2", True), ("gemma2", True)],
)
def test_the_head_is_applied_at_targets_only_where_that_is_exact(tokenizer, family, plain):
    model = build_model(family, len(tokenizer))
    assert attribute(model, tokenizer, CLAUSE, RULE).provenance["head_at_targets"] is plain


def test_hidden_states_and_full_logits_give_the_same(tokenizer, monkeypatch):
    model = build_model("gemma2", len(tokenizer))  # caps its logits
    fast = score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE)
    monkeypatch.setattr(passes, "has_plain_head", lambda model, ids: False)
    monkeypatch.setattr(passes, "_MAX_FULL_LOGITS", 5000)  # several chunks
    cost = Cost()
    generic = score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE, cost=cost)
    np.testing.assert_allclose(generic, fast, atol=1e-5)
    assert cost.path == "uncached"
    assert cost.path_reason == "not cached: its logits are not its head applied to the last hidden state"


def test_a_logit_scale_that_the_config_does_not_name_is_found_by_measuring(qwen2):
    class Scaled(type(qwen2.model)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * 3
            return output

    scaled = copy.deepcopy(qwen2.model)
    scaled.__class__ = Scaled
    found = score_texts(scaled, qwen2.tokenizer, [CLAUSE], RULE)
    np.testing.assert_allclose(found[0], reference_log_probs(scaled, qwen2.tokenizer, CLAUSE, RULE), atol=1e-4)
    assert np.abs(found - score_texts(qwen2.model, qwen2.tokenizer, [CLAUSE], RULE)).max() > 0.1


def test_half_precision_keeps_the_head_in_float32(qwen2):
    half = copy.deepcopy(qwen2.model).to(torch.bfloat16)
    with torch.no_grad():
        half.lm_head.weight.mul_(60)  # log-probabilities near -100, where a bfloat16 step is half a nat
    found = score_texts(half, qwen2.tokenizer, [CLAUSE], RULE)[0]
    head = qwen2.tokenizer(PROMPT.format(clause=CLAUSE))["input_ids"]
    tail = [*qwen2.tokenizer(RULE)["input_ids"], qwen2.tokenizer.eos_token_id]
    with torch.no_grad():
        ids = torch.tensor([head + tail[:-1]])
        hidden = half.model(input_ids=ids, use_cache=False).last_hidden_state[0, len(head) - 1 :]
        rounded = half(input_ids=ids, use_cache=False).logits[0, len(head) - 1 :]
    exact = torch.log_softmax(hidden.double() @ half.lm_head.weight.detach().double().T, -1)
    expected = exact.gather(1, torch.tensor(tail)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.min() < -30
    # What a projection in the model's dtype costs, with a log-softmax in float32 and without.
    for log_probs in (torch.log_softmax(rounded.float(), -1), torch.log_softmax(rounded, -1)):
        taken = log_probs.gather(1, torch.tensor(tail)[:, None])[:, 0].float().numpy()
        assert np.abs(taken - expected).max() > 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("limits", [(2**19, 2**26, 128), (1000, 2**26, 7), (4000, 32 * 100, 3), (10**6, 32 * 100, 1)])
def test_a_large_head_is_applied_in_blocks_of_positions_and_words(qwen2, monkeypatch, dtype, limits):
    model = copy.deepcopy(qwen2.model).to(dtype)
    whole = score_texts(model, qwen2.tokenizer, [CLAUSE, "Doors."], RULE)
    for name, value in zip(("MAX_LOGITS", "MAX_WEIGHTS", "MIN_POSITIONS"), limits, strict=True):
        monkeypatch.setattr(head, name, {"cpu": value} if name == "MAX_LOGITS" else value)
    parts = score_texts(model, qwen2.tokenizer, [CLAUSE, "Doors."], RULE)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_features_and_tokens_are_spans_of_clause_and_rule(qwen2):
    result = attribute(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, id="a")
    assert [CLAUSE[f.start : f.end] for f in result.features] == [f.text for f in result.features]
    assert "".join(token.text for token in result.target_tokens[:-1]) == RULE
    last = result.target_tokens[-1]
    assert (last.start, last.end, last.text) == (len(RULE), len(RULE), "<eos>")
    assert result.scores.shape == (len(result.features), len(result.target_tokens))
    assert result.scores.dtype == result.baseline_log_probs.dtype == np.float32
    assert result.provenance["method"] == "leave_one_out"
    again = attribution_from_row(attribution_row(result, seed=0, baseline="delete"))
    np.testing.assert_array_equal(again.scores, result.scores)


def test_equal_rows_are_scored_once_and_given_back_everywhere(qwen2):
    cost = Cost()
    scores = score_texts(qwen2.model, qwen2.tokenizer, [CLAUSE, "Doors.", CLAUSE], RULE, cost=cost)
    assert (cost.rows, cost.unique_rows) == (3, 2)
    assert cost.positions_minimum <= cost.positions_computed < cost.positions_naive
    np.testing.assert_array_equal(scores[0], scores[2])


def test_masks_are_the_features_to_keep(qwen2):
    features = segment(CLAUSE)
    masks = np.ones((2, len(features)), dtype=bool)
    masks[1, :3] = False
    scored = score_masks(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, masks)
    texts = score_texts(qwen2.model, qwen2.tokenizer, [CLAUSE, perturb(CLAUSE, features, masks[1])], RULE)
    np.testing.assert_allclose(scored, texts, atol=1e-5)


def test_mask_and_delete_differ(qwen2):
    deleted = attribute(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, Options(baseline="delete"))
    masked = attribute(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, Options(baseline="mask"))
    np.testing.assert_array_equal(deleted.baseline_log_probs, masked.baseline_log_probs)
    assert np.abs(deleted.scores - masked.scores).max() > 0.01


def test_modes_are_given_back_and_dropout_is_off(tokenizer):
    model = build_model("gpt2", len(tokenizer))
    model.train()
    model.lm_head.eval()
    first = score_texts(model, tokenizer, [CLAUSE], RULE)
    np.testing.assert_array_equal(first, score_texts(model, tokenizer, [CLAUSE], RULE))
    assert model.training
    assert model.transformer.h[0].training
    assert not model.lm_head.training
    assert all(parameter.grad is None for parameter in model.parameters())


@IN_PEFT
def test_adapters_score_as_the_merged_model(qwen2):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(
        copy.deepcopy(qwen2.model), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    unmerged = attribute(adapted, qwen2.tokenizer, CLAUSE, RULE)
    assert unmerged.provenance["head_at_targets"]
    merged = attribute(copy.deepcopy(adapted).merge_and_unload(), qwen2.tokenizer, CLAUSE, RULE)
    np.testing.assert_allclose(unmerged.scores, merged.scores, atol=1e-4)
    plain = attribute(qwen2.model, qwen2.tokenizer, CLAUSE, RULE)
    assert np.abs(unmerged.scores - plain.scores).max() > 0.05


@IN_PEFT
def test_virtual_tokens_are_refused(qwen2):
    from peft import PromptTuningConfig, get_peft_model

    tuned = get_peft_model(copy.deepcopy(qwen2.model), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(InputError, match=r"model: expected weights or adapters .*PromptTuningConfig.*virtual tokens"):
        score_texts(tuned, qwen2.tokenizer, [CLAUSE], RULE)


def test_too_long_says_by_how_much(qwen2):
    clause = CLAUSE + " and again" * CONTEXT
    length = len(qwen2.tokenizer(PROMPT.format(clause=clause))["input_ids"]) + len(qwen2.tokenizer(RULE)["input_ids"])
    message = rf"clause x: expected .* of at most {CONTEXT} tokens.*found {length} tokens, {length - CONTEXT} too many"
    with pytest.raises(InputError, match=message):
        attribute(qwen2.model, qwen2.tokenizer, clause, RULE, id="x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clause": " – "}, r"clause x: expected a clause with at least one word, found ' – '"),
        ({"target": " "}, r"clause x: expected a target text, found ' '"),
        ({"method": "lime"}, r"attribution, method: expected one of leave_one_out, shapley, .*found 'lime'"),
        ({"unit": "letter"}, r"segment, unit: expected one of word, .*, found 'letter'"),
        ({"baseline": "zero"}, r"perturb, baseline: expected one of delete, mask, .*, found 'zero'"),
        ({"baseline": "counterfactual"}, r"baseline 'counterfactual': expected a pool of texts to draw from"),
        ({"baseline": "mask", "method": "integrated_gradients"}, r"attribution, baseline: .*no effect"),
        ({"budget": 50}, r"attribution, budget: .*found 50. Leave it out; it would have no effect"),
        ({"pool": {}}, r"attribution, pool: expected no pool with .*found a pool. Leave it out"),
        ({"dtype": "int8"}, r"attribution, dtype: expected one of float32, .*found 'int8'"),
        ({"method": "shapley", "budget": 10}, r"budget: expected at least 92 masks, .* of 22 features, found 10"),
        ({"method": "surrogate_lasso", "budget": 10}, r"budget: expected at least 24 masks for a surrogate, found 10"),
        ({"prompt": "Rule:"}, r"prompt template: expected text with \{clause\} in it exactly once"),
        (
            {"clause": "Doors", "prompt": "{clause}"},
            r"clause x: .*found nothing before the target's first token. Put text",
        ),
        (
            {"clause": "Doors open", "prompt": "{clause}", "method": "shapley"},
            r"clause x: .*found nothing before the target's first",
        ),
        (
            {"clause": "Doors open", "prompt": "{clause}", "method": "owen"},
            r"clause x: .*found nothing before the target's first",
        ),
        (
            {"clause": "a \ud800 b"},
            r"clause x: expected a clause of whole .*found half a character, '\\ud800', at position 2",
        ),
        (
            {"target": "a\udfff"},
            r"clause x: expected a target of whole .*found half a character, '\\udfff', at position 1",
        ),
    ],
)
def test_bad_input_is_named(qwen2, change, message):
    texts = {"clause": CLAUSE, "target": RULE} | {name: change[name] for name in ("clause", "target") if name in change}
    change = {name: value for name, value in change.items() if name not in texts}
    with pytest.raises(InputError, match=message):
        attribute(qwen2.model, qwen2.tokenizer, **texts, options=Options(**change), id="x")


def test_half_a_character_is_named_in_texts_too(qwen2):
    with pytest.raises(InputError, match=r"clause: expected a clause of whole characters"):
        score_texts(qwen2.model, qwen2.tokenizer, [CLAUSE, "a \ud800"], RULE)


def test_dynamic_positions_are_not_read_beyond_the_length_from_which_they_depend_on_other_rows(tokenizer):
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(InputError, match=r"expected prompt and target of at most 64 tokens"):
        score_texts(model, tokenizer, [CLAUSE], RULE)


def test_masks_of_a_wrong_shape_are_named(qwen2):
    with pytest.raises(InputError, match=r"expected masks of shape \(masks, 22 features\), found shape \(1, 3\)"):
        score_masks(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, np.ones((1, 3)))


def test_broken_weights_are_named(qwen2):
    broken = copy.deepcopy(qwen2.model)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    with pytest.raises(InputError, match=r"model: expected finite log-probabilities, found NaN or infinity"):
        score_texts(broken, qwen2.tokenizer, [CLAUSE], RULE)


def test_many_clauses_one_after_another(qwen2):
    example = Example("a", CLAUSE, RULE, "fire", "test")
    other = dataclasses.replace(example, id="b", clause="Doors shall open.")
    results = list(attribute_many(qwen2.model, qwen2.tokenizer, [example, other], Options(prompt=PROMPT)))
    assert [result.id for result in results] == ["a", "b"]
    np.testing.assert_array_equal(
        results[1].scores, attribute(qwen2.model, qwen2.tokenizer, other.clause, RULE, Options(prompt=PROMPT)).scores
    )


@pytest.mark.parametrize(("compute", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.5)])
def test_four_bit_weights_are_scored_as_they_are(tokenizer, tmp_path, compute, tolerance):
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    build_model("qwen2", len(tokenizer)).save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, compute)
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=settings, dtype=torch.float32)
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False  # its packed kernel wants wider layers than these
    assert len(layers) == 14
    result = attribute(model, tokenizer, CLAUSE, RULE)
    assert np.abs(result.scores).max() > 0.05
    checks = self_check(model, tokenizer, Example("a", CLAUSE, RULE, "fire", "test"))
    assert {check.tolerance for check in checks} == {tolerance}
