"""The ways to compute a tree of rows: each equals one row at a time in float64, or is not taken."""

import copy

import numpy as np
import pytest
import torch
from test_engine import reference_log_probs
from tiny_models import CLAUSE, FAMILIES, PROMPT, RULE, build_model

from compliance_xai.attribution import passes, row_tree
from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.attribution.options import Options
from compliance_xai.corpus.features import perturb, segment

FEATURES = segment(CLAUSE)


def leave_one_out_texts():
    return [CLAUSE, *(perturb(CLAUSE, FEATURES, [i != k for i in range(len(FEATURES))]) for k in range(len(FEATURES)))]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cached_path_equals_the_float64_reference(tokenizer, family):
    model, cost = build_model(family, len(tokenizer), std=0.06), Cost()
    texts = leave_one_out_texts()
    found = score_texts(model, tokenizer, texts, RULE, Options(prompt=PROMPT, batch_tokens=700), cost=cost)
    assert (cost.path, cost.path_reason) == ("cached", "")
    assert cost.positions_minimum <= cost.positions_computed < cost.positions_naive
    for row in (0, 1, len(texts) // 2, len(texts) - 1):
        np.testing.assert_allclose(found[row], reference_log_probs(model, tokenizer, texts[row], RULE), atol=1e-4)
    uncached = score_texts(model, tokenizer, texts, RULE, Options(prompt=PROMPT), share=False)
    np.testing.assert_allclose(found, uncached, atol=1e-5)
    assert np.abs(found[1:] - found[0]).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share", [True, False])
def test_a_path_does_not_depend_on_chunks_order_or_company(tokenizer, family, share):
    model = build_model(family, len(tokenizer))
    texts = leave_one_out_texts()
    usual = score_texts(model, tokenizer, texts, RULE, share=share)
    order = np.random.default_rng(0).permutation(len(texts))
    for batch_tokens in (1, 200, 10**6):
        options, mixed = Options(batch_tokens=batch_tokens), [texts[i] for i in order]
        other = score_texts(model, tokenizer, mixed, RULE, options, share=share, deduplicate=False)
        np.testing.assert_allclose(other, usual[order], atol=1e-5)


def test_the_provenance_says_how_rows_were_computed(tiny):
    known = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE).provenance
    assert (known["path"], known["path_reason"]) == ("cached", "")
    assert known["positions_minimum"] <= known["positions_computed"] < known["positions_naive"]


@pytest.mark.parametrize("family", ["qwen2", "mistral", "gemma2", "gpt2"])
def test_reduced_precision_takes_the_same_path(tokenizer, family):
    model = build_model(family, len(tokenizer)).to(torch.bfloat16)
    cost = Cost()
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, cost=cost)
    uncached = score_texts(model, tokenizer, leave_one_out_texts(), RULE, share=False)
    assert cost.path == "cached"
    np.testing.assert_allclose(found, uncached, atol=0.2)
    assert np.abs(found - uncached).mean() < 0.02


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("share", [True, False])
def test_adapters_stay_unmerged_on_every_path(tokenizer, share):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(
        build_model("llama", len(tokenizer)), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    texts = leave_one_out_texts()
    found = score_texts(adapted, tokenizer, texts, RULE, Options(prompt=PROMPT), share=share)
    merged = copy.deepcopy(adapted).merge_and_unload()
    np.testing.assert_allclose(found[5], reference_log_probs(merged, tokenizer, texts[5], RULE), atol=1e-4)
    plain = score_texts(
        build_model("llama", len(tokenizer)), tokenizer, texts, RULE, Options(prompt=PROMPT), share=share
    )
    assert np.abs(found - plain).max() > 0.05


def test_four_bit_weights_take_the_cached_path(tokenizer, tmp_path):
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    build_model("qwen2", len(tokenizer)).save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=settings, dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    found, uncached = (
        score_texts(model, tokenizer, leave_one_out_texts(), RULE, share=share) for share in (True, False)
    )
    np.testing.assert_allclose(found, uncached, atol=1e-4)
    assert np.abs(found[1:] - found[0]).max() > 0.05


def test_random_masks_share_what_they_begin_with(qwen2):
    masks = np.random.default_rng(0).random((40, len(FEATURES))) < 0.7
    cost = Cost()
    masks[20:30] = masks[:10]
    found = score_masks(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, masks, Options(prompt=PROMPT), cost=cost)
    assert (cost.rows, cost.unique_rows) == (40, len(np.unique(masks, axis=0)))
    assert cost.unique_rows <= 30
    assert cost.positions_minimum <= cost.positions_computed < 0.8 * cost.positions_naive
    for row in (0, 25):
        text = perturb(CLAUSE, FEATURES, masks[row])
        np.testing.assert_allclose(found[row], reference_log_probs(qwen2.model, qwen2.tokenizer, text, RULE), atol=1e-4)


def double(module, given, output):
    """A forward hook."""
    if isinstance(output, torch.Tensor):
        return output * 2
    if isinstance(output, tuple):
        return (output[0] * 2, *output[1:])
    output.last_hidden_state = output.last_hidden_state * 2
    return output


@pytest.mark.parametrize("part", ["model", "model.layers.0", "model.layers.0.self_attn", "model.layers.0.mlp"])
def test_a_hook_that_comes_later_is_not_left_out(tokenizer, part):
    model = build_model("llama", len(tokenizer))
    first = score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT))
    handle = model.get_submodule(part).register_forward_hook(double)
    hooked = score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT))
    np.testing.assert_allclose(hooked[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)
    assert np.abs(hooked - first).max() > 0.01
    handle.remove()
    again = score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT))
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("part", ["", "lm_head"])
def test_a_hook_on_the_logits_is_not_left_out(tokenizer, part):
    def louder(module, given, output):
        if isinstance(output, torch.Tensor):
            return output * 3
        output.logits = output.logits * 3
        return output

    model = build_model("llama", len(tokenizer))
    score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE, Options(prompt=PROMPT))
    model.get_submodule(part).register_forward_hook(louder)
    found = score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE, Options(prompt=PROMPT))
    np.testing.assert_allclose(found[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)


def test_a_cache_that_gives_another_result_is_noticed_and_measured_again_when_a_layer_changes(tokenizer):
    import transformers

    class Forgetful(transformers.models.llama.modeling_llama.LlamaDecoderLayer):
        """Counts positions from where a pass begins, not from where the row does."""

        def forward(self, hidden_states, *args, position_embeddings, **kwargs):
            wrong = tuple(wave[:, :1].expand_as(wave) for wave in position_embeddings)
            start = kwargs["past_key_values"].get_seq_length(1) if kwargs.get("past_key_values") is not None else 0
            return super().forward(
                hidden_states, *args, position_embeddings=wrong if start else position_embeddings, **kwargs
            )

    model, cost = build_model("llama", len(tokenizer)), Cost()
    score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT), cost=cost)
    assert cost.path == "cached"
    other = Forgetful(model.config, 1).eval()
    other.load_state_dict(model.model.layers[1].state_dict())
    model.model.layers[1] = other
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT), cost=cost)
    assert cost.path == "uncached"
    assert "not cached: it differs by" in cost.path_reason
    np.testing.assert_allclose(found[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)


def test_a_model_with_attention_code_of_its_own_takes_its_cache(tokenizer):
    """BLOOM has attention code of its own, with a bias by distance."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, initializer_range=0.06
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    cost = Cost()
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, Options(prompt=PROMPT), cost=cost)
    assert cost.path == "cached", cost.path_reason
    np.testing.assert_allclose(
        found[3], reference_log_probs(model, tokenizer, leave_one_out_texts()[3], RULE), atol=1e-4
    )


def test_a_model_with_a_state_instead_of_a_cache_is_scored_in_full(tokenizer):
    import transformers

    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=4, initializer_range=0.06
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    cost = Cost()
    texts = leave_one_out_texts()[:4]
    found = score_texts(model, tokenizer, texts, RULE, Options(prompt=PROMPT), cost=cost)
    assert cost.path == "uncached"
    assert "not cached: " in cost.path_reason
    np.testing.assert_allclose(found[3], reference_log_probs(model, tokenizer, texts[3], RULE), atol=1e-4)


def test_longer_rows_are_measured_again(tokenizer, monkeypatch):
    model = build_model("llama", len(tokenizer))
    measured = []
    inner = passes._measure
    monkeypatch.setattr(passes, "_measure", lambda *given: measured.append(max(map(len, given[1]))) or inner(*given))
    for texts in ([CLAUSE, "Doors."], ["Doors.", CLAUSE], [CLAUSE + CLAUSE, CLAUSE]):
        score_texts(model, tokenizer, texts, RULE)
    assert len(measured) == 2
    assert measured[0] < measured[1]


def test_chunks_stay_within_their_tokens_and_hold_every_branch():
    rng = np.random.default_rng(0)
    prompts = list(dict.fromkeys(tuple(rng.integers(0, 2, size=rng.integers(4, 9)).tolist()) for _ in range(60)))
    branches = row_tree.grow_tree(prompts, (7, 8, 9))
    chunks = list(row_tree.split_chunks(branches, 40, 5))
    assert [branch for _, chunk in chunks for branch in chunk] == branches
    before = ()
    for start, chunk in chunks:
        assert len(chunk) == 1 or len(chunk) * (max(len(b.ids) for b in chunk) - start) <= 40
        assert all(b.ids[:start] == chunk[0].ids[:start] for b in chunk)
        assert start == 0 or chunk[0].ids[:start] == before[:start]
        before = chunk[-1].ids


def test_the_tree_computes_every_node_once():
    rng = np.random.default_rng(1)
    prompts = list(dict.fromkeys(tuple(rng.integers(0, 3, size=rng.integers(5, 9)).tolist()) for _ in range(80)))
    target = (7, 8)
    branches = row_tree.grow_tree(prompts, target)
    assert sorted(b.index for b in branches) == list(range(len(prompts)))
    assert all(branches[i].ids[: b.shared] == branches[i - 1].ids[: b.shared] for i, b in enumerate(branches) if i)
    nodes = {(*p, *target)[: n + 1] for p in prompts for n in range(len(p) + 1)}
    # The position that predicts the target's first token is always a row's own, so a few nodes count twice.
    twice = sum((*p,)[:-1] + p[-1:] in {q[: len(p)] for q in prompts if len(q) > len(p)} for p in prompts)
    assert len(nodes) <= sum(b.own for b in branches) <= len(nodes) + 2 * twice


def test_the_fewer_calls_cost_the_more_there_are(qwen2):
    prompts = [tuple(range(10, 40)), *((*range(10, 10 + k), *range(11 + k, 40)) for k in range(30))]
    branches = row_tree.grow_tree(prompts, tuple(range(50, 80)))
    counts = [len(list(row_tree.split_chunks(branches, 2048, call))) for call in (0, 12, 90, 2000)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 10
    assert counts[-1] == 1
