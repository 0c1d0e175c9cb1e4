import dataclasses
import json
import math

import pytest
import torch
from tiny_checkpoints import ARCHITECTURES

from compliance_xai.attribution.engine import score_texts
from compliance_xai.errors import InputError
from compliance_xai.models.finetuning import finetune, read_result
from compliance_xai.models.generation import generate_rules, read_confidence
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import encode
from compliance_xai.models.strategies import load_trained
from compliance_xai.models.training_loop import validation_losses
from compliance_xai.records import Example
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import StrategySettings


def tune(rung, examples, out, kind="full", *, seed=0, **keys):
    keys = {"learning_rate": 5e-3, "steps": 6, "batch_size": 4, "evaluations": 2, **keys}
    settings = StrategySettings(kind=kind, **keys)
    return settings, finetune(rung, kind, settings, examples, examples[:4], seed=seed, out=out)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_fine_tuning_lowers_the_validation_loss_and_loads_back_as_it_was(rungs, examples, tmp_path, architecture, kind):
    rung = rungs[architecture]
    settings, result = tune(rung, examples, tmp_path / "out", kind)
    validation = result.log[result.log["split"] == "validation"]
    assert list(validation["step"]) == [0, 3, 6]
    assert validation["loss"].iloc[-1] < validation["loss"].iloc[0]
    model, tokenizer = load_trained(rung, settings, tmp_path / "out")
    rows = [encode(tokenizer, example.clause, example.rule) for example in examples[:4]]
    loss, by_token = validation_losses(model, tokenizer, rows, by_token=True)
    assert loss == pytest.approx(validation["loss"].iloc[-1], rel=1e-5)
    assert (by_token["count"] * by_token["loss"]).sum() / by_token["count"].sum() == pytest.approx(loss, rel=1e-6)
    assert not list((tmp_path / "out").glob("*.bin"))


def test_qlora_trains_and_loads_back_with_its_quantised_base(rungs, examples, tmp_path):
    settings, result = tune(rungs["qwen2"], examples, tmp_path / "out", "qlora", rank=4)
    validation = result.log[result.log["split"] == "validation"]["loss"]
    assert validation.iloc[-1] < validation.iloc[0]
    model, tokenizer = load_trained(rungs["qwen2"], settings, tmp_path / "out")
    rows = [encode(tokenizer, example.clause, example.rule) for example in examples[:4]]
    assert validation_losses(model, tokenizer, rows)[0] == pytest.approx(validation.iloc[-1], rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(rungs, examples, tmp_path):
    from safetensors.torch import load_file

    weights = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tune(rungs["qwen2"], examples, tmp_path / name, seed=seed)
        weights[name] = load_file(tmp_path / name / "model.safetensors")
    assert all(torch.equal(weights["a"][key], weights["b"][key]) for key in weights["a"])
    assert any(not torch.equal(weights["a"][key], weights["c"][key]) for key in weights["a"])


def test_the_loss_counts_rule_tokens_only_and_each_once(rungs, examples):
    rung = rungs["qwen2"]
    model, tokenizer = load_base(rung).eval(), load_tokenizer(rung)
    rows = [encode(tokenizer, example.clause, example.rule) for example in examples]
    with torch.inference_mode():
        total, count = 0.0, 0
        for row in rows:
            log_probs = model(input_ids=torch.tensor([row.ids])).logits[0].double().log_softmax(-1)
            for position in range(row.target_start, len(row.ids)):
                total -= log_probs[position - 1, row.ids[position]].item()
                count += 1
    for batch_size in (1, 3, 64):
        assert validation_losses(model, tokenizer, rows, batch_size=batch_size)[0] == pytest.approx(
            total / count, rel=1e-5
        )


def test_a_finished_fine_tuning_is_read_and_not_repeated(rungs, examples, tmp_path):
    _, first = tune(rungs["qwen2"], examples, tmp_path / "out")
    stamp = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    _, again = tune(rungs["qwen2"], examples, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == stamp
    assert again.log.equals(first.log)
    assert read_result(tmp_path / "out").trained == first.trained


def test_a_model_that_says_no_number_is_not_trained(rungs, examples, tmp_path):
    folder = tmp_path / "broken"
    model = load_base(rungs["qwen2"])
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    model.save_pretrained(folder)
    load_tokenizer(rungs["qwen2"]).save_pretrained(folder)
    with pytest.raises(FloatingPointError, match="the validation loss is nan before the first step: the weights"):
        tune(Rung("broken", str(folder), 1), examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pair_longer_than_the_context_is_named(rungs, examples, tmp_path):
    long = dataclasses.replace(examples[0], id="long-one", clause="x" * 600)
    with pytest.raises(InputError, match=r"clause 'long-one': expected at most 512 tokens.*too many"):
        tune(rungs["qwen2"], [*examples, long], tmp_path / "out")


def test_no_pairs_is_an_error(rungs, tmp_path):
    with pytest.raises(InputError, match="expected at least one training and one validation pair, found 0 and 0"):
        tune(rungs["qwen2"], [], tmp_path / "out")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rules_do_not_depend_on_the_batch(rungs, examples, architecture):
    model, tokenizer = load_base(rungs[architecture]).eval(), load_tokenizer(rungs[architecture])
    together = generate_rules(model, tokenizer, examples, seed=0, max_new_tokens=12, batch_size=8)
    alone = generate_rules(model, tokenizer, examples, seed=0, max_new_tokens=12, batch_size=1)
    assert together == alone
    assert [generation.id for generation in together] == [example.id for example in examples]


def test_a_rule_that_does_not_end_is_marked(rungs, examples):
    model, tokenizer = load_base(rungs["qwen2"]).eval(), load_tokenizer(rungs["qwen2"])
    [generation] = generate_rules(model, tokenizer, examples[:1], seed=3, max_new_tokens=4)
    assert (generation.seed, generation.tokens, generation.stopped) == (3, 4, False)


def test_a_prompt_that_leaves_no_room_is_an_error(rungs):
    model, tokenizer = load_base(rungs["qwen2"]).eval(), load_tokenizer(rungs["qwen2"])
    clause = Example("big", "y" * 400, "r", "", "test")
    with pytest.raises(InputError, match=r"clause 'big': expected at most 312 prompt tokens"):
        generate_rules(model, tokenizer, [clause], seed=0, max_new_tokens=200)


def test_the_folder_says_what_was_trained(rungs, examples, tmp_path):
    _, result = tune(rungs["qwen2"], examples, tmp_path / "out", "lora", rank=2)
    counts = json.loads((tmp_path / "out" / "training_complete.json").read_text(encoding="utf-8"))
    assert counts == {"trained": result.trained, "parameters": result.parameters, "micro_batch": 4, "notes": []}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_confidence_in_a_rule_is_its_teacher_forced_probability(rungs, examples, architecture):
    model, tokenizer = load_base(rungs[architecture]).eval(), load_tokenizer(rungs[architecture])
    pairs = [(example.clause, example.rule) for example in examples]
    together = read_confidence(model, tokenizer, pairs, batch_size=8)
    alone = read_confidence(model, tokenizer, pairs, batch_size=1)
    for (clause, rule), read, single in zip(pairs, together, alone, strict=True):
        assert read[0] == pytest.approx(score_texts(model, tokenizer, [clause], rule)[0], abs=1e-5)
        assert read[0] == pytest.approx(single[0], abs=1e-5)
        assert read[1] == pytest.approx(single[1], abs=1e-5)
        assert (read[1] > 0).all()
        assert (read[1] <= math.log(len(tokenizer)) + 1e-6).all()
    assert read_confidence(model, tokenizer, []) == []
