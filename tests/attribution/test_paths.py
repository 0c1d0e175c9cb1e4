"""The ways to score a tree of rows: each equals one row at a time in float64, and each is chosen where it does."""

import copy

import numpy as np
import pytest
import torch
from test_engine import reference_log_probs
from tiny_models import CLAUSE, FAMILIES, PROMPT, RULE, build_model

from compliance_xai.attribution import cached, packed, paths, tree
from compliance_xai.attribution.engine import Cost, score_masks, score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.corpus.features import perturb, segment
from compliance_xai.errors import InputError

PATHS_OF = {
    "qwen2": {"lean", "packed", "cached"},
    "llama": {"lean", "packed", "cached"},
    "mistral": {"lean", "packed"},  # a cache that forgets what lies before the window cannot be sliced
    "gemma": {"packed", "cached"},
    "gemma2": {"packed"},
    "gpt2": {"packed", "cached"},
}
CASES = [(family, path) for family in FAMILIES for path in ("lean", "packed", "cached")]
FEATURES = segment(CLAUSE)


def leave_one_out_texts():
    return [CLAUSE, *(perturb(CLAUSE, FEATURES, [i != k for i in range(len(FEATURES))]) for k in range(len(FEATURES)))]


@pytest.mark.parametrize(("family", "path"), CASES)
def test_a_path_equals_the_float64_reference_or_is_refused(tokenizer, family, path):
    model = build_model(family, len(tokenizer), std=0.06)
    texts = leave_one_out_texts()
    if path not in PATHS_OF[family]:
        with pytest.raises(InputError, match=rf"path: expected a path that this model can take, found not {path}: "):
            score_texts(model, tokenizer, texts, RULE, prompt=PROMPT, path=path)
        return
    found = score_texts(model, tokenizer, texts, RULE, prompt=PROMPT, path=path)
    for row in (0, 1, len(texts) // 2, len(texts) - 1):
        np.testing.assert_allclose(found[row], reference_log_probs(model, tokenizer, texts[row], RULE), atol=1e-4)
    uncached = score_texts(model, tokenizer, texts, RULE, prompt=PROMPT, path="uncached")
    np.testing.assert_allclose(found, uncached, atol=1e-5)
    assert np.abs(found[1:] - found[0]).max() > 0.01


@pytest.mark.parametrize(("family", "path"), [case for case in CASES if case[1] in PATHS_OF[case[0]]])
def test_a_path_does_not_depend_on_chunks_order_or_company(tokenizer, family, path):
    model = build_model(family, len(tokenizer))
    texts = leave_one_out_texts()
    usual = score_texts(model, tokenizer, texts, RULE, path=path)
    order = np.random.default_rng(0).permutation(len(texts))
    for batch_tokens in (1, 200, 10**6):
        other = score_texts(
            model, tokenizer, [texts[i] for i in order], RULE, path=path, batch_tokens=batch_tokens, deduplicate=False
        )
        np.testing.assert_allclose(other, usual[order], atol=1e-5)


def test_the_fastest_path_is_chosen_and_the_provenance_says_why_not_a_faster_one(tiny):
    family = tiny.model.config.model_type
    known = attribute(tiny.model, tiny.tokenizer, CLAUSE, RULE).provenance
    assert known["path"] == next(path for path in paths.PATHS if path in PATHS_OF[family])
    assert known["path_reason"].startswith("not lean: ") is (known["path"] != "lean")
    assert known["positions_minimum"] <= known["positions_computed"] < known["positions_naive"]
    if known["path"] in ("lean", "packed"):
        assert known["positions_minimum"] == known["positions_computed"]


@pytest.mark.parametrize("family", ["qwen2", "mistral", "gemma2", "gpt2"])
def test_reduced_precision_takes_the_same_path(tokenizer, family):
    model = build_model(family, len(tokenizer)).to(torch.bfloat16)
    cost = Cost()
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, cost=cost)
    uncached = score_texts(model, tokenizer, leave_one_out_texts(), RULE, path="uncached")
    assert cost.path in PATHS_OF[family]
    np.testing.assert_allclose(found, uncached, atol=0.2)
    assert np.abs(found - uncached).mean() < 0.02


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("path", ["lean", "packed", "cached"])
def test_adapters_stay_unmerged_on_every_path(tokenizer, path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted = get_peft_model(
        build_model("llama", len(tokenizer)), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    texts = leave_one_out_texts()
    found = score_texts(adapted, tokenizer, texts, RULE, prompt=PROMPT, path=path)
    merged = copy.deepcopy(adapted).merge_and_unload()
    np.testing.assert_allclose(found[5], reference_log_probs(merged, tokenizer, texts[5], RULE), atol=1e-4)
    plain = score_texts(build_model("llama", len(tokenizer)), tokenizer, texts, RULE, prompt=PROMPT, path=path)
    assert np.abs(found - plain).max() > 0.05


@pytest.mark.parametrize("path", ["lean", "packed", "cached"])
def test_four_bit_weights_take_every_path(tokenizer, tmp_path, path):
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    build_model("qwen2", len(tokenizer)).save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=settings, dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    found, uncached = (
        score_texts(model, tokenizer, leave_one_out_texts(), RULE, path=name) for name in (path, "uncached")
    )
    np.testing.assert_allclose(found, uncached, atol=1e-4)
    assert np.abs(found[1:] - found[0]).max() > 0.05


def test_random_masks_share_what_they_begin_with(qwen2):
    masks = np.random.default_rng(0).random((40, len(FEATURES))) < 0.7
    cost = Cost()
    masks[20:30] = masks[:10]
    found = score_masks(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, masks, prompt=PROMPT, cost=cost)
    assert (cost.rows, cost.unique) == (40, len(np.unique(masks, axis=0)))
    assert cost.unique <= 30
    assert cost.computed == cost.minimum < 0.7 * cost.naive
    for row in (0, 25):
        text = perturb(CLAUSE, FEATURES, masks[row])
        np.testing.assert_allclose(found[row], reference_log_probs(qwen2.model, qwen2.tokenizer, text, RULE), atol=1e-4)


def test_a_model_with_familiar_parts_but_another_result_is_noticed(tokenizer):
    import transformers

    class Louder(transformers.models.llama.modeling_llama.LlamaDecoderLayer):
        def forward(self, hidden_states, *args, **kwargs):
            return super().forward(hidden_states, *args, **kwargs) * 1.5

    model = build_model("llama", len(tokenizer))
    for layer in model.model.layers:
        layer.__class__ = Louder
    cost = Cost()
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "packed"
    assert "not lean: it differs by" in cost.why
    np.testing.assert_allclose(found[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)


def double(module, given, output):
    """A forward hook."""
    if isinstance(output, torch.Tensor):
        return output * 2
    if isinstance(output, tuple):
        return (output[0] * 2, *output[1:])
    output.last_hidden_state = output.last_hidden_state * 2
    return output


@pytest.mark.parametrize(
    "part",
    ["model", "model.layers.0", "model.layers.0.self_attn", "model.layers.0.mlp", "model.layers.0.input_layernorm"],
)
def test_a_hook_that_comes_later_is_not_left_out(tokenizer, part):
    model, cost = build_model("llama", len(tokenizer)), Cost()
    first = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "lean"
    handle = model.get_submodule(part).register_forward_hook(double)
    hooked = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert (cost.path, cost.why) == ("packed", "not lean: its layers have hooks")
    np.testing.assert_allclose(hooked[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)
    assert np.abs(hooked - first).max() > 0.01
    handle.remove()
    again = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "lean"
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("part", ["", "lm_head"])
def test_a_hook_on_the_logits_is_not_left_out(tokenizer, part):
    def louder(module, given, output):
        if isinstance(output, torch.Tensor):
            return output * 3
        output.logits = output.logits * 3
        return output

    model = build_model("llama", len(tokenizer))
    score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE, prompt=PROMPT)
    model.get_submodule(part).register_forward_hook(louder)
    found = score_texts(model, tokenizer, [CLAUSE, "Doors."], RULE, prompt=PROMPT)
    np.testing.assert_allclose(found[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)


def test_a_layer_that_is_exchanged_is_measured_again(tokenizer):
    import transformers

    class Louder(transformers.models.llama.modeling_llama.LlamaDecoderLayer):
        def forward(self, hidden_states, *args, **kwargs):
            return super().forward(hidden_states, *args, **kwargs) * 1.5

    model, cost = build_model("llama", len(tokenizer)), Cost()
    score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "lean"
    other = Louder(model.config, 0).eval()
    other.load_state_dict(model.model.layers[0].state_dict())
    model.model.layers[0] = other
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert "not lean: it differs by" in cost.why
    np.testing.assert_allclose(found[0], reference_log_probs(model, tokenizer, CLAUSE, RULE), atol=1e-4)


def test_a_model_whose_attention_cannot_be_replaced_takes_its_cache(tokenizer):
    """BLOOM has attention code of its own, with a bias by distance."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4, initializer_range=0.06
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    cost = Cost()
    found = score_texts(model, tokenizer, leave_one_out_texts(), RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "cached", cost.why
    assert "not packed: it " in cost.why
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
    found = score_texts(model, tokenizer, texts, RULE, prompt=PROMPT, cost=cost)
    assert cost.path == "uncached"
    assert "not cached: " in cost.why
    np.testing.assert_allclose(found[3], reference_log_probs(model, tokenizer, texts[3], RULE), atol=1e-4)


def test_longer_rows_are_measured_again(tokenizer, monkeypatch):
    model = build_model("llama", len(tokenizer))
    measured = []
    inner = paths._measure
    monkeypatch.setattr(paths, "_measure", lambda m, path, *rest: measured.append(path) or inner(m, path, *rest))
    for texts in ([CLAUSE, "Doors."], ["Doors.", CLAUSE], [CLAUSE + CLAUSE, CLAUSE]):
        score_texts(model, tokenizer, texts, RULE)
    assert measured == ["lean", "lean"]


def test_passes_stay_within_their_tokens(qwen2, monkeypatch):
    sizes = []
    inner = packed._plan
    monkeypatch.setattr(packed, "_plan", lambda *given: sizes.append(sum(b.own for b in given[0])) or inner(*given))
    attribute(qwen2.model, qwen2.tokenizer, CLAUSE, RULE, batch_tokens=300)
    assert max(sizes) <= 300
    assert len(sizes) > 3


def test_chunks_stay_within_their_tokens_and_hold_every_branch():
    rng = np.random.default_rng(0)
    prompts = list(dict.fromkeys(tuple(rng.integers(0, 2, size=rng.integers(4, 9)).tolist()) for _ in range(60)))
    branches = tree.grow_tree(prompts, (7, 8, 9))
    chunks = list(tree.split_chunks(branches, 40))
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
    branches = tree.grow_tree(prompts, target)
    assert sorted(b.index for b in branches) == list(range(len(prompts)))
    assert all(branches[i].ids[: b.shared] == branches[i - 1].ids[: b.shared] for i, b in enumerate(branches) if i)
    nodes = {(*p, *target)[: n + 1] for p in prompts for n in range(len(p) + 1)}
    # The position that predicts the target's first token is always a row's own, so a few nodes count twice.
    twice = sum((*p,)[:-1] + p[-1:] in {q[: len(p)] for q in prompts if len(q) > len(p)} for p in prompts)
    assert len(nodes) <= sum(b.own for b in branches) <= len(nodes) + 2 * twice


def test_a_path_that_is_none_is_named(qwen2):
    with pytest.raises(InputError, match=r"path: expected one of auto, lean, .*, found 'fast'"):
        score_texts(qwen2.model, qwen2.tokenizer, [CLAUSE], RULE, path="fast")


def test_the_reason_against_a_cache_names_its_layers(tokenizer):
    assert "DynamicSlidingWindowLayer" in cached.why_not_cached(build_model("mistral", len(tokenizer)))
