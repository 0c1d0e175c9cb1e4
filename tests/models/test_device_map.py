"""Models whose layers lie on several devices: here in main memory and on disk, through accelerate's hooks."""

import dataclasses

import numpy as np
import pytest

from compliance_xai.attribution.engine import score_texts
from compliance_xai.errors import InputError
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.strategies import apply_strategy, load_trained, save_trained
from compliance_xai.study.strategy_settings import StrategySettings

SPREAD = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "cpu",
    "lm_head": "cpu",
}


@pytest.mark.parametrize("on_disk", ["model.layers.1", "lm_head"])
def test_scores_are_the_same_wherever_the_layers_lie(rungs, on_disk):
    spread_over = SPREAD | {on_disk: "disk"}
    rung = dataclasses.replace(rungs["llama"], device_map=spread_over)
    tokenizer = load_tokenizer(rung)
    whole, spread = load_base(rungs["llama"]), load_base(rung)
    assert spread.hf_device_map == spread_over
    assert {parameter.device.type for parameter in spread.parameters()} == {"cpu", "meta"}
    assert hasattr(spread.model.layers[1], "_hf_hook")
    clauses = ["A door shall be 3 wide.", "A wall.", "A window may be very, very wide."]
    expected, found = (score_texts(model, tokenizer, clauses, "wide(3)") for model in (whole, spread))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-3


def test_embeddings_and_bases_of_adapters_have_to_lie_in_memory(rungs, tmp_path):
    lost = dataclasses.replace(rungs["llama"], device_map=SPREAD | {"model.embed_tokens": "disk"})
    with pytest.raises(InputError, match="expected the embeddings in memory, found embeddings on disk"):
        load_base(lost)
    settings = StrategySettings(kind="lora", rank=2)
    save_trained(apply_strategy(load_base(rungs["llama"]), settings, seed=0), tmp_path)
    with pytest.raises(InputError, match="expected the whole model in memory, because adapters are added to it"):
        load_trained(dataclasses.replace(rungs["llama"], device_map=SPREAD), settings, tmp_path)


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_one_device_needs_no_hook_between_layers(rungs, device_map):
    model = load_base(dataclasses.replace(rungs["qwen2"], device_map=device_map))
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
