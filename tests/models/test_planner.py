"""Memory and time before a run: numbers worked out by hand for a 7B shape, and a real step at a small one."""

import re
from dataclasses import replace

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from typer.testing import CliRunner

from compliance_xai.cli import app
from compliance_xai.errors import InputError
from compliance_xai.models import planning
from compliance_xai.models.checkpoints import Progress
from compliance_xai.models.finetuning import prepare_model
from compliance_xai.models.launch import connect
from compliance_xai.models.planning import (
    TEXT_SECONDS,
    Device,
    Needs,
    Tasks,
    Texts,
    measure_speeds,
    plan_cell,
    read_bytes,
    total_hours,
)
from compliance_xai.models.prompts import Encoded
from compliance_xai.models.strategies import apply_strategy, count_parameters
from compliance_xai.models.training_loop import Loop, choose_precision, make_optimizer
from compliance_xai.study.ladders import Rung, Shape, load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

SEVEN = load_ladder("qwen2.5-coder").rung("7b")
TEXTS = Texts(longest=200, mean=120.0, longest_rule=100, mean_rule=60.0)
SMALL = Shape(hidden_size=64, layers=4, heads=4, key_value_heads=2, intermediate_size=160, vocabulary=300, tied=True)


def settings_of(kind, **keys):
    return StrategySettings(kind=kind, **(keys if kind == "none" else {"batch_size": 16, "micro_batch": 2, **keys}))


def seven(kind, **keys):
    return Needs(SEVEN, settings_of(kind, **keys), TEXTS)


def test_a_7b_shape_has_the_weights_that_its_config_says():
    # One layer: q and o 3584 x 3584, k and v 3584 x 512, gate, up and down 3584 x 18944.
    layer = 2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944
    assert layer == 233_046_016
    assert seven("full").linear_weights == 28 * layer == 6_525_288_448
    assert seven("full").embedding_weights == 2 * 152_064 * 3584 == 1_089_994_752
    # The rest: biases of q, k and v (3584 + 2 x 512), two norms a layer and one at the end.
    rest = 28 * (3584 + 1024 + 2 * 3584) + 3584
    assert SEVEN.parameters == 6_525_288_448 + 1_089_994_752 + rest


def test_a_7b_shape_has_the_adapters_that_its_rank_says():
    # Rank 32: q and o 32 x 7168, k and v 32 x 4096, gate, up and down 32 x 22528.
    layer = 32 * (2 * 7168 + 2 * 4096 + 3 * 22_528)
    assert seven("lora").adapter_weights == 28 * layer == 80_740_352
    assert seven("lora", target_modules=("q_proj", "v_proj")).adapter_weights == 28 * 32 * (7168 + 4096)


def test_a_7b_model_takes_the_memory_worked_out_by_hand():
    full = replace(seven("full"), bfloat16=True).training_memory()
    assert (full.weights, full.gradients, full.optimiser) == tuple(
        each * SEVEN.parameters for each in (4, 4, 8)
    )  # 122 GB before any activation
    adapters = 80_740_352
    lora = replace(seven("lora"), bfloat16=True).training_memory()
    assert lora.weights == 2 * SEVEN.parameters + 4 * adapters
    assert (lora.gradients, lora.optimiser) == (4 * adapters, 8 * adapters)
    qlora = replace(seven("qlora"), bfloat16=True).training_memory()
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
    assert seven("full").activation_bytes(2) == (400 * (28 * elements * 4 + 2 * 3584 * 4) + logits)
    assert seven("full", gradient_checkpointing=True).activation_bytes(2) == (
        400 * (elements * 4 + 28 * 3584 * 4 + 2 * 3584 * 4) + logits
    )


def test_keys_and_values_and_operations_of_a_7b_model_by_hand():
    # 28 layers x 4 heads x 128 x 2 (keys, values) x 2 bytes = 57,344 bytes a token.
    assert planning.kv_bytes(SEVEN.shape, 32, 300, each=2) == 32 * 300 * 57_344
    bare = Texts(longest=200, mean=120.0, longest_rule=100, mean_rule=0.0)
    tokens = 16 * 120
    attention = 4 * 28 * 3584 * 120 * tokens
    layers = 2 * 6_525_288_448 * tokens + attention
    assert replace(seven("full"), texts=bare).training_flops() == pytest.approx(3 * layers)
    lora = 2 * layers + 6 * 80_740_352 * tokens
    assert replace(seven("lora"), texts=bare).training_flops() == pytest.approx(lora)


def write_random(folder):
    """A Qwen2 model of the small shape with random weights, as a rung without a tokenizer."""
    config = Qwen2Config(**planning.config_values(SMALL))
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    return Rung("random", str(folder), model.num_parameters(), shape=SMALL)


def measure_step_memory(rung, settings, rows):
    """Most bytes of tensors held during a step after the first, weights and optimiser included."""
    phase = settings.phases[-1]
    accelerator, precision = connect(phase.batch_size), choose_precision(phase)
    model = apply_strategy(prepare_model(rung, phase, accelerator, precision), phase, seed=0)
    model, optimizer = accelerator.prepare(model, make_optimizer(model, phase))
    loop = Loop(model.train(), optimizer, accelerator, phase, rows, rows[:1], 0, precision, Progress(phase.batch_size))
    batch = list(range(phase.batch_size))
    loop.take_step(0, batch)
    states = [tensor for state in optimizer.state.values() for tensor in state.values()]
    before = sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers(), *states])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loop.take_step(1, batch)
    held = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return before + most


@pytest.mark.parametrize("kind", ["full", "lora", "qlora", "lora+", "dora", "full-top"])
def test_what_is_trained_is_what_a_model_trains(tmp_path, kind):
    from compliance_xai.models.loading import load_base

    rung = write_random(tmp_path)
    settings = StrategySettings(kind=kind, **({} if kind == "full" else {"rank": 4}))
    needs = Needs(rung, settings, TEXTS)
    assert needs.linear_weights + needs.embedding_weights < rung.parameters
    model = apply_strategy(load_base(rung, quantised=kind == "qlora"), settings, seed=0)
    trained, _ = count_parameters(model)
    # full-top counts the norm at the end by its share: less than one in a thousand
    assert needs.trained == pytest.approx(trained, rel=1e-3)


@pytest.mark.parametrize("kind", ["full", "lora", "lora+", "dora", "lora-then-full", "full-top"])
def test_a_step_takes_the_memory_that_was_planned(tmp_path, kind):
    rung = write_random(tmp_path)
    settings = StrategySettings(kind=kind, batch_size=8, steps=10)
    rows = [Encoded(tuple(index % 300 for index in range(120)), 60)] * 8
    measured = measure_step_memory(rung, settings, rows)
    planned = Needs(rung, settings, Texts(120, 120.0, 60, 60.0)).training_memory().peak
    assert planned == pytest.approx(measured, rel=0.25)


def test_several_passes_hold_gradients_beside_activations():
    memory = planning.Memory(weights=10, gradients=8, optimiser=20, activations=5)
    assert memory.peak == 38
    assert planning.Memory(10, 8, 20, 5, passes=2).peak == 43


def test_sharding_divides_what_is_not_activations():
    alone = seven("full").training_memory()
    shared = replace(seven("full"), processes=8, sharded=True).training_memory()
    assert (shared.weights, shared.optimiser) == (alone.weights / 8, alone.optimiser / 8)
    assert shared.activations == alone.activations
    assert (alone.passes, shared.passes) == (8, 1)


@pytest.mark.parametrize(
    ("kind", "memory", "remedy"),
    [
        ("lora", "80GB", ""),
        ("full", "80GB", "qlora, micro_batch: 2"),
        ("full", "160GB", ""),
        ("qlora", "9GB", "micro_batch: (1|2), gradient_checkpointing: true|micro_batch: 1"),
        ("full", "1GB", "a smaller model, or a larger device; a larger device"),
        ("none", "15GB", "a larger device"),
    ],
)
def test_the_smallest_change_that_helps_is_named(kind, memory, remedy):
    device = Device("d", read_bytes(memory), bfloat16=True)
    tasks = Tasks(written=9, scored=9, together=1, longest=100, batch_tokens=512)
    plan = plan_cell(kind, seven(kind), device, tasks=tasks)
    assert plan.fits == (not remedy), plan
    assert plan.hours["attribution"] is plan.hours["generation"] is total_hours([plan]) is None
    if remedy:
        assert re.fullmatch(remedy, plan.remedy), plan.remedy


def test_hours_are_operations_over_speed():
    device = Device("d", 1e15, flops=2e14)
    tasks = Tasks(validated=50, scored=1000, judged=200, judged_seeds=2)
    needs = seven("lora", steps=300)
    plan = plan_cell("lora", needs, device, seeds=3, tasks=tasks)
    read = needs.scoring_flops(needs.texts.mean)
    assert plan.hours == {
        "training": pytest.approx(3 * (300 * needs.training_flops() + 50 * read) / 2e14 / 3600),
        "generation": 0,
        "attribution": pytest.approx(3 * 1000 * (read / 2e14 + TEXT_SECONDS) / 3600),
        "faithfulness": pytest.approx(2 * 200 * (read / 2e14 + TEXT_SECONDS) / 3600),
    }
    assert total_hours([plan, plan]) == pytest.approx(2 * sum(plan.hours.values()))
    assert plan.disk == 3 * 4 * needs.adapter_weights


def test_speeds_are_measured_on_the_shape():
    shape = Shape(hidden_size=32, layers=4, heads=2, key_value_heads=1, intermediate_size=64, vocabulary=300, tied=True)
    before = torch.random.get_rng_state()
    speeds = measure_speeds(shape, 2, 20, 2, False)
    assert all(1e6 < speed < 1e15 for speed in speeds)
    assert speeds.decoding < speeds.scoring  # a token at a time
    assert torch.equal(torch.random.get_rng_state(), before)


def test_each_phase_has_its_own_operations():
    device = Device("d", 1e15, flops=2e14)
    plan = plan_cell("lora-then-full", seven("lora-then-full", steps=400, full_share=0.25), device)
    each = {kind: seven(kind).training_flops() for kind in ("lora", "full")}
    assert plan.hours["training"] == pytest.approx((300 * each["lora"] + 100 * each["full"]) / 2e14 / 3600)
    assert plan.trained == SEVEN.parameters  # of the second phase, which needs the more memory


@pytest.mark.parametrize("text", ["80XB", "GB", ""])
def test_an_amount_of_memory_is_a_number_with_a_unit(text):
    with pytest.raises(InputError, match="expected a number and a unit"):
        read_bytes(text)
    assert read_bytes("16 GiB") == 16 * 2**30


def test_a_rung_without_a_shape_says_what_to_write():
    with pytest.raises(InputError, match="rung 'x': expected a shape in the ladder's file"):
        plan_cell("lora", Needs(Rung("x", "a/b", 5), settings_of("lora"), TEXTS), Device("d", 1e9))


def test_the_command_plans_models_that_are_not_there():
    result = CliRunner().invoke(
        app,
        ["study", "plan", "qwen-coder", "--device-memory", "80GB", "--set", "scales=[32b]"],
        env={"COLUMNS": "160"},
    )
    assert result.exit_code == 0, result.output
    assert "Memory on the given device, 80.0 GB" in result.output
    assert "32b, full does not fit; change: qlora, micro_batch: 1" in result.output
    assert "32b, lora does not fit" not in result.output
