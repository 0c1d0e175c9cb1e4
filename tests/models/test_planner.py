"""Memory and time before a run: numbers worked out by hand for a 7B shape, and a real step at a small one."""

import dataclasses
import re

import pytest
import torch
from typer.testing import CliRunner

from compliance_xai.cli import app
from compliance_xai.errors import InputError
from compliance_xai.models.planning import sizes, speed
from compliance_xai.models.planning.cell_plans import Device, plan_cell, read_bytes
from compliance_xai.models.planning.sizes import Texts
from compliance_xai.models.planning.speed import probe_speed
from compliance_xai.models.prompts import Encoded
from compliance_xai.models.strategies import apply_strategy, count_parameters
from compliance_xai.study.ladders import Rung, Shape, load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

SEVEN = load_ladder("qwen2.5-coder").rung("7b")
TEXTS = Texts(longest=200, mean=120.0, longest_rule=100, mean_rule=60.0)
SMALL = Shape(hidden_size=64, layers=4, heads=4, key_value_heads=2, intermediate_size=160, vocabulary=300, tied=True)


def settings_of(kind, **keys):
    return StrategySettings(kind=kind, **(keys if kind == "none" else {"batch_size": 16, "micro_batch": 2, **keys}))


def test_a_7b_shape_has_the_weights_that_its_config_says():
    # One layer: q and o 3584 x 3584, k and v 3584 x 512, gate, up and down 3584 x 18944.
    layer = 2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944
    assert layer == 233_046_016
    assert sizes.linear_weights(SEVEN.shape) == 28 * layer == 6_525_288_448
    assert sizes.embedding_weights(SEVEN.shape) == 2 * 152_064 * 3584 == 1_089_994_752
    # The rest: biases of q, k and v (3584 + 2 x 512), two norms a layer and one at the end.
    rest = 28 * (3584 + 1024 + 2 * 3584) + 3584
    assert SEVEN.parameters == 6_525_288_448 + 1_089_994_752 + rest


def test_a_7b_shape_has_the_adapters_that_its_rank_says():
    # Rank 32: q and o 32 x 7168, k and v 32 x 4096, gate, up and down 32 x 22528.
    layer = 32 * (2 * 7168 + 2 * 4096 + 3 * 22_528)
    assert sizes.adapter_weights(SEVEN.shape, settings_of("lora")) == 28 * layer == 80_740_352
    one = settings_of("lora", target_modules=("q_proj", "v_proj"))
    assert sizes.adapter_weights(SEVEN.shape, one) == 28 * 32 * (7168 + 4096)


def test_a_7b_model_takes_the_memory_worked_out_by_hand():
    full = sizes.training_memory(SEVEN, settings_of("full"), TEXTS, bfloat16=True)
    assert (full.weights, full.gradients, full.optimiser) == tuple(
        each * SEVEN.parameters for each in (4, 4, 8)
    )  # 122 GB before any activation
    adapters = 80_740_352
    lora = sizes.training_memory(SEVEN, settings_of("lora"), TEXTS, bfloat16=True)
    assert lora.weights == 2 * SEVEN.parameters + 4 * adapters
    assert (lora.gradients, lora.optimiser) == (4 * adapters, 8 * adapters)
    qlora = sizes.training_memory(SEVEN, settings_of("qlora"), TEXTS, bfloat16=True)
    # 4 bits, a byte for every 64 and four bytes for every 16,384 weights: 3.37 GB for the linear layers.
    linear = 6_525_288_448 * (0.5 + 1 / 64 + 1 / 4096)
    assert qlora.weights == pytest.approx(linear + 2 * (SEVEN.parameters - 6_525_288_448) + 4 * adapters)
    assert qlora.weights / 1e9 == pytest.approx(5.87, abs=0.01)


def test_activations_of_a_7b_model_by_hand():
    # float32, 2 pairs of 200 tokens, no adapters; a token and layer: the residual and its norm, twice each (4 x 3584);
    # inputs of q, k, v and of gate, up (2 x 3584); queries, attention and its output's input (3 x 3584); keys, values
    # (2 x 512); gate, its activation, up and their product (4 x 18944).
    elements = 4 * 3584 + 2 * 3584 + 3 * 3584 + 2 * 512 + 4 * 18_944
    logits = 4 * 4 * 2 * 100 * 152_064
    assert sizes.activation_bytes(SEVEN.shape, settings_of("full"), 2, TEXTS, bfloat16=False) == (
        400 * (28 * elements * 4 + 2 * 3584 * 4) + logits
    )
    again = settings_of("full", gradient_checkpointing=True)
    assert sizes.activation_bytes(SEVEN.shape, again, 2, TEXTS, bfloat16=False) == (
        400 * (elements * 4 + 28 * 3584 * 4 + 2 * 3584 * 4) + logits
    )


def test_keys_and_values_and_operations_of_a_7b_model_by_hand():
    # 28 layers x 4 heads x 128 x 2 (keys, values) x 2 bytes = 57,344 bytes a token.
    assert sizes.kv_bytes(SEVEN.shape, 32, 300, each=2) == 32 * 300 * 57_344
    bare = Texts(longest=200, mean=120.0, longest_rule=100, mean_rule=0.0)
    tokens = 16 * 120
    attention = 4 * 28 * 3584 * 120 * tokens
    layers = 2 * 6_525_288_448 * tokens + attention
    assert speed.training_flops(SEVEN, settings_of("full"), bare) == pytest.approx(3 * layers)
    lora = 2 * layers + 6 * 80_740_352 * tokens
    assert speed.training_flops(SEVEN, settings_of("lora"), bare) == pytest.approx(lora)


@pytest.mark.parametrize("kind", ["full", "lora", "qlora", "lora+", "dora", "full-top"])
def test_what_is_trained_is_what_a_model_trains(tmp_path, kind):
    from compliance_xai.models.loading import load_base

    rung = speed.write_random(SMALL, tmp_path)
    assert sizes.linear_weights(SMALL) + sizes.embedding_weights(SMALL) < rung.parameters
    settings = StrategySettings(kind=kind, **({} if kind == "full" else {"rank": 4}))
    model = apply_strategy(load_base(rung, quantised=kind == "qlora"), settings, seed=0)
    trained, _ = count_parameters(model)
    # full-top counts the norm at the end by its share: less than one in a thousand
    assert sizes.trained_weights(rung, settings) == pytest.approx(trained, rel=1e-3)


@pytest.mark.parametrize("kind", ["full", "lora", "lora+", "dora", "lora-then-full", "full-top"])
def test_a_step_takes_the_memory_that_was_planned(tmp_path, kind):
    rung = speed.write_random(SMALL, tmp_path)
    settings = StrategySettings(kind=kind, batch_size=8, steps=10)
    rows = [Encoded(tuple(index % 300 for index in range(120)), 60)] * 8
    measured = speed.measure_step_memory(rung, settings, rows)
    planned = sizes.training_memory(rung, settings, Texts(120, 120.0, 60, 60.0), bfloat16=False).peak
    assert planned == pytest.approx(measured, rel=0.25)


def test_several_passes_hold_gradients_beside_activations():
    memory = sizes.Memory(weights=10, gradients=8, optimiser=20, activations=5)
    assert memory.peak == 38
    assert sizes.Memory(10, 8, 20, 5, passes=2).peak == 43


def test_sharding_divides_what_is_not_activations():
    alone = sizes.training_memory(SEVEN, settings_of("full"), TEXTS, bfloat16=False)
    shared = sizes.training_memory(SEVEN, settings_of("full"), TEXTS, bfloat16=False, processes=8, sharded=True)
    assert (shared.weights, shared.optimiser) == (alone.weights / 8, alone.optimiser / 8)
    assert shared.activations == alone.activations
    assert (alone.passes, shared.passes) == (8, 1)


@pytest.mark.parametrize(
    ("kind", "memory", "remedy"),
    [
        ("lora", "80GB", ""),
        ("full", "80GB", "qlora, micro_batch: 1, gradient_checkpointing: true or fsdp2 on 2 such devices, micro_.*"),
        ("full", "160GB", ""),
        ("qlora", "9GB", "micro_batch: (1|2), gradient_checkpointing: true|micro_batch: 1"),
        ("full", "1GB", "a smaller model, or a larger device; for generation and attribution 32 such devices .*"),
        ("none", "15GB", "for generation and attribution 2 such devices in one machine .*"),
    ],
)
def test_the_smallest_change_that_helps_is_named(kind, memory, remedy):
    device = Device("d", read_bytes(memory), bfloat16=True)
    plan = plan_cell(SEVEN, kind, settings_of(kind), TEXTS, device, generate=(1, 100), batch_tokens=512)
    assert plan.fits == (not remedy), plan
    assert plan.attribution_hours is None
    if remedy:
        assert re.fullmatch(remedy, plan.remedy), plan.remedy


def test_advice_goes_beyond_what_is_there_already():
    """More devices than the launch has, never as many; training and attribution are judged apart."""
    device, settings = Device("d", read_bytes("8GB"), bfloat16=True), settings_of("full", batch_size=64, micro_batch=1)
    given = {"generate": (1, 100), "batch_tokens": 512}
    alone = plan_cell(SEVEN, "full", settings, TEXTS, device, **given)
    needed = int(re.findall(r"fsdp2 on (\d+)", alone.remedy)[0])
    half = plan_cell(SEVEN, "full", settings, TEXTS, device, **given, processes=needed // 2, sharded=True)
    assert f"fsdp2 on {needed} such devices" in half.remedy
    enough = plan_cell(SEVEN, "full", settings, TEXTS, device, **given, processes=needed, sharded=True)
    assert not enough.fits
    assert enough.remedy.startswith("for generation and attribution 4 such devices")
    four = dataclasses.replace(device, count=4)
    assert plan_cell(SEVEN, "full", settings, TEXTS, four, **given, processes=needed, sharded=True).fits
    crowded = plan_cell(SEVEN, "none", settings_of("none"), TEXTS, four, generate=(4096, 500), batch_tokens=512)
    assert crowded.remedy.startswith("for generation and attribution fewer clauses and tokens at once")


def test_hours_are_operations_over_speed():
    device = Device("d", 1e15, flops=2e14)
    settings = settings_of("lora", steps=300)
    plan = plan_cell(SEVEN, "lora", settings, TEXTS, device, seeds=3, scored_tokens=1e6)
    operations = 3 * 300 * speed.training_flops(SEVEN, settings, TEXTS)
    assert plan.training_hours == pytest.approx(operations / 2e14 / 3600)
    assert plan.attribution_hours == pytest.approx(3 * speed.scoring_flops(SEVEN, 1e6, 120.0) / 2e14 / 3600)


def test_each_phase_has_its_own_operations():
    device, settings = Device("d", 1e15, flops=2e14), settings_of("lora-then-full", steps=400, full_share=0.25)
    plan = plan_cell(SEVEN, "lora-then-full", settings, TEXTS, device)
    each = {kind: speed.training_flops(SEVEN, settings_of(kind), TEXTS) for kind in ("lora", "full")}
    assert plan.training_hours == pytest.approx((300 * each["lora"] + 100 * each["full"]) / 2e14 / 3600)
    assert plan.trained == SEVEN.parameters  # of the second phase, which needs the more memory


@pytest.mark.parametrize("text", ["80", "80XB", "GB", ""])
def test_an_amount_of_memory_needs_a_unit(text):
    with pytest.raises(InputError, match="expected a number and a unit"):
        read_bytes(text)
    assert read_bytes("16 GiB") == 16 * 2**30


def test_a_rung_without_a_shape_says_what_to_write():
    with pytest.raises(InputError, match="rung 'x': expected a shape in the ladder's file"):
        sizes.trained_weights(Rung("x", "a/b", 5), settings_of("full"))


def test_the_command_plans_models_that_are_not_there():
    result = CliRunner().invoke(
        app,
        ["study", "plan", "qwen-coder", "--device-memory", "80GB", "--set", "scales=[32b]"],
        env={"COLUMNS": "160"},
    )
    assert result.exit_code == 0, result.output
    assert "What training needs on the given device, 80.0 GB" in result.output
    assert "32b, full does not fit; change: qlora, micro_batch: 1" in result.output
    assert "32b, lora does not fit" not in result.output


def test_a_probe_gives_a_speed(monkeypatch):
    monkeypatch.setattr(speed, "time_steps", lambda *arguments, **options: [9.0, 2.0, 2.0, 3.0])
    rung = Rung("r", "r", 1, shape=SMALL)
    settings = StrategySettings(kind="lora", batch_size=4)
    small = Rung("s", "s", 1, shape=SMALL.__class__(**{**vars(SMALL), "layers": 2}))
    expected = speed.training_flops(small, settings, TEXTS) / 2.0
    assert probe_speed(rung, settings, TEXTS) == pytest.approx(expected, rel=0.01)
    assert torch.get_default_dtype() == torch.float32
