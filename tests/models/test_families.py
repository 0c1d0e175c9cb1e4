"""Ten model families with random weights: counted, planned, trained one step, reloaded, generating and attributed."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_checkpoints import make_tokenizer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from compliance_xai.attribution.engine import score_texts
from compliance_xai.attribution.explain import attribute
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.generation import generate_rules
from compliance_xai.models.planning import Device, Needs, Texts, plan_cell
from compliance_xai.models.strategies import load_trained, movement_frame
from compliance_xai.study.ladders import LadderSettings, load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
FAMILIES = {
    "qwen2": ("qwen2", SHAPE | {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", SHAPE | {"head_dim": 8, "tie_word_embeddings": True}),
    "llama3": ("llama", SHAPE | {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}),
    "smollm2": ("llama", SHAPE | {"tie_word_embeddings": True}),
    "gemma3": ("gemma3_text", SHAPE | {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}),
    "mistral": ("mistral", SHAPE | {"head_dim": 12, "sliding_window": 32}),
    "phi3": ("phi3", SHAPE),
    "olmo2": ("olmo2", SHAPE),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "mixtral": ("mixtral", SHAPE | EXPERTS),
    "qwen3_moe": ("qwen3_moe", SHAPE | EXPERTS | {"head_dim": 8}),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A rung as a study would list it, by its folder alone, and the model that was saved there."""
    kind, shape = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp("families") / request.param
    tokenizer = make_tokenizer(bos=request.param in ("llama3", "gemma3", "mistral"))
    torch.manual_seed(0)
    ids = {"eos_token_id": 0, "pad_token_id": 1, "bos_token_id": 2}
    config = CONFIG_MAPPING[kind](vocab_size=len(tokenizer), initializer_range=0.06, **shape, **ids)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_ladder(LadderSettings.model_validate({"rungs": [str(folder)]})).rungs[0], model


def test_parameters_are_those_of_the_model(family):
    rung, model = family
    assert rung.parameters == model.num_parameters()
    assert rung.shape.hidden_size == 32


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_family_is_planned_trained_reloaded_and_attributed(family, examples, tmp_path, kind):
    rung, model = family
    settings = StrategySettings(kind=kind, steps=1, batch_size=4, learning_rate=1e-2, warmup=0.0, evaluations=1)
    plan = plan_cell(kind, Needs(rung, settings, Texts(80, 60.0, 12, 10.0)), Device("d", 16e9, flops=1e12))
    assert plan.fits
    result = finetune(rung, kind, settings, examples, examples[:2], seed=0, out=tmp_path / "out")
    assert result.trained == (model.num_parameters() if kind == "full" else result.trained) > 0
    trained, tokenizer = load_trained(rung, settings, tmp_path / "out")
    again, _ = load_trained(rung, settings, tmp_path / "out")
    clauses, rule = [example.clause for example in examples[:2]], examples[0].rule
    scores = score_texts(trained, tokenizer, clauses, rule)
    np.testing.assert_array_equal(score_texts(again, tokenizer, clauses, rule), scores)
    assert np.abs(scores - score_texts(model.eval(), tokenizer, clauses, rule)).max() > 1e-4  # the step changed it
    moved = movement_frame(model, trained)
    assert moved["parameters"].sum() == model.num_parameters()
    assert moved["relative_change"].max() > 1e-4
    written = generate_rules(trained, tokenizer, examples[:2], seed=0, max_new_tokens=4)
    assert [rule.id for rule in written] == ["c0", "c1"]
    found = attribute(trained, tokenizer, clauses[0], rule)
    np.testing.assert_allclose(found.baseline_log_probs, scores[0], atol=1e-4)
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 1e-4


def test_a_number_of_parameters_that_the_weights_do_not_have_is_refused(family):
    from compliance_xai.errors import InputError
    from compliance_xai.study.ladders import require_size

    rung, model = family
    require_size(rung)
    with pytest.raises(InputError, match=f"key 'parameters': expected {model.num_parameters()}, as counted .* found 7"):
        require_size(dataclasses.replace(rung, parameters=7))
