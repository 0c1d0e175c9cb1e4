import dataclasses
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_checkpoints import ARCHITECTURES

from compliance_xai.errors import InputError
from compliance_xai.models.checkpoints import Checkpoints
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import encode
from compliance_xai.models.strategies import (
    BASE,
    WHOLE,
    apply_strategy,
    count_parameters,
    effective_weights,
    load_trained,
    merge_adapters,
    movement_frame,
    save_trained,
)
from compliance_xai.models.training_loop import Loop, make_optimizer, validation_losses
from compliance_xai.study.strategy_settings import HYBRIDS, KINDS, StrategySettings

IDS = torch.arange(3, 43)[None]
TRAINED = [kind for kind in KINDS if kind != "none"]


def strategy(kind, **keys):
    keys = {"rank": 2, **keys} if kind not in ("none", "full") else keys
    return StrategySettings(kind=kind, learning_rate=1e-2, steps=6, batch_size=4, evaluations=2, **keys)


def trained_names(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def logits(model):
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits


def shake(model):
    """Move every trained weight a little, as a training would."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def test_every_kind_says_what_it_trains():
    assert set(HYBRIDS) < set(KINDS)
    assert all(KINDS.values())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_trains_everything_and_adapters_little(rungs, architecture):
    trained, total = count_parameters(apply_strategy(load_base(rungs[architecture]), strategy("full"), seed=0))
    assert trained == total == rungs[architecture].parameters
    for kind in ("lora", "dora", "lora-then-full"):
        trained, total = count_parameters(apply_strategy(load_base(rungs[architecture]), strategy(kind), seed=0))
        assert 0 < trained < 0.2 * total
        assert total - trained == rungs[architecture].parameters


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lora_plus_trains_embeddings_norms_and_head_once(rungs, architecture):
    base = load_base(rungs[architecture])
    tied = base.config.tie_word_embeddings
    model = apply_strategy(base, strategy("lora+"), seed=0)
    whole = {name for name in trained_names(model) if "lora_" not in name}
    assert sum(name.endswith(("embed_tokens.weight", "wte.weight")) for name in whole) == 1
    assert any("norm" in name or "ln_" in name for name in whole)
    assert any(name.endswith("lm_head.weight") for name in whole) == (not tied)
    assert model.get_input_embeddings().weight.requires_grad
    assert model.get_output_embeddings().weight.requires_grad
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied
    assert not any(name.endswith(("q_proj.base_layer.weight", "c_attn.base_layer.weight")) for name in whole)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_top_parts_the_layers_in_the_middle(rungs, architecture):
    names = trained_names(apply_strategy(load_base(rungs[architecture]), strategy("full-top"), seed=0))
    assert all("lora_" in name for name in names if ".0." in name)
    assert not any("lora_" in name for name in names if ".1." in name)
    upper = {name for name, _ in load_base(rungs[architecture]).named_parameters() if ".1." in name}
    assert {name.removeprefix("base_model.model.") for name in names if ".1." in name} == upper
    assert not any("embed" in name or "wte" in name for name in names)


def test_full_top_needs_two_layers(rungs):
    model = load_base(rungs["qwen2"])
    model.model.layers = model.model.layers[:1]
    model.config.num_hidden_layers = 1
    with pytest.raises(InputError, match="strategy 'full-top': expected at least two layers, found 1"):
        apply_strategy(model, strategy("full-top"), seed=0)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_trained_model_loads_back_unmerged_and_says_the_same(rungs, tmp_path, architecture, kind):
    rung, settings = rungs[architecture], strategy(kind)
    model = shake(apply_strategy(load_base(rung, quantised=kind == "qlora"), settings, seed=0))
    before = logits(model)
    save_trained(model, tmp_path)
    loaded, _ = load_trained(rung, settings, tmp_path)
    assert torch.equal(logits(loaded), before)
    assert not list(tmp_path.glob("*.bin"))
    assert (tmp_path / WHOLE).is_file() == (kind in ("lora+", "full-top"))
    if kind != "full":
        assert any("lora_A" in name for name, _ in loaded.named_parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["lora", "lora+", "dora", "full-top", "full"])
def test_effective_weights_put_into_a_plain_model_say_the_same(rungs, architecture, kind):
    model = shake(apply_strategy(load_base(rungs[architecture]), strategy(kind), seed=0))
    before = logits(model)
    plain = load_base(rungs[architecture])
    own = dict(plain.named_parameters())
    found = {name: weight for name, weight, _ in effective_weights(model)}
    assert set(found) == set(own)
    with torch.no_grad():
        for name, weight in found.items():
            own[name].copy_(weight)
    torch.testing.assert_close(logits(plain), before, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits(model), before)  # merging happened in copies


def test_movement_is_where_training_was(rungs):
    rung = rungs["qwen2"]
    base = load_base(rung)
    model = shake(apply_strategy(load_base(rung), strategy("full-top"), seed=0))
    frame = movement_frame(base, model)
    assert sorted(frame["layer"].unique()) == [0, 1, 2]
    assert (frame[frame["layer"] == 0]["relative_change"] == 0).all()
    lower = frame[frame["layer"] == 1].set_index("matrix")["relative_change"]
    assert lower["q_proj"] > 0
    assert lower["input_layernorm"] == 0
    upper = frame[frame["layer"] == 2].set_index("matrix")
    assert (upper["relative_change"].drop(["q_proj.bias", "k_proj.bias", "v_proj.bias"]) > 0).all()
    weight, start = (dict(m.named_parameters())[n] for m, n in (
        (model, "base_model.model.model.layers.1.mlp.up_proj.weight"), (base, "model.layers.1.mlp.up_proj.weight")
    ))  # fmt: skip
    expected = float((weight - start).detach().norm() / start.detach().norm())
    assert upper.loc["up_proj", "relative_change"] == pytest.approx(expected, rel=1e-5)
    assert frame["parameters"].sum() == rung.parameters


def test_movement_under_quantisation_counts_what_the_adapters_added(rungs):
    rung = rungs["llama"]
    model = apply_strategy(load_base(rung, quantised=True), strategy("qlora"), seed=0)
    frame = movement_frame(load_base(rung), model)
    assert (frame["relative_change"] == 0).all()  # adapters start at zero; rounding the base is no training
    assert (movement_frame(load_base(rung), shake(model))["relative_change"] > 0).any()


@pytest.mark.parametrize("kind", ["lora+", "dora", "lora-then-full", "full-top"])
def test_hybrids_train_through_the_trainer(rungs, examples, tmp_path, kind):
    rung, settings = rungs["qwen2"], strategy(kind)
    result = finetune(rung, kind, settings, examples, examples[:4], seed=0, out=tmp_path / "out")
    validation = result.log[result.log["split"] == "validation"]
    assert validation["step"].is_monotonic_increasing
    assert validation["step"].is_unique
    assert validation["step"].iloc[-1] == settings.steps
    assert validation["loss"].iloc[-1] < validation["loss"].iloc[0]
    model, tokenizer = load_trained(rung, settings, tmp_path / "out")
    rows = [encode(tokenizer, example.clause, example.rule) for example in examples[:4]]
    assert validation_losses(model, tokenizer, rows)[0] == pytest.approx(validation["loss"].iloc[-1], rel=1e-4)
    assert (kind == "lora-then-full") == (result.trained == rung.parameters)


@pytest.mark.parametrize("kind", ["lora+", "lora-then-full"])
def test_a_killed_hybrid_ends_with_the_same_weights(rungs, examples, tmp_path, monkeypatch, kind):
    settings = strategy(kind, full_share=0.5, checkpoint_every=1) if kind != "lora+" else strategy(kind)
    take, steps = Loop.take_step, []

    def dying(self, step, batch):
        steps.append(step)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return take(self, step, batch)

    arguments = (rungs["qwen2"], kind, settings, examples, examples[:4])
    whole = finetune(*arguments, seed=0, out=tmp_path / "whole")
    states = Checkpoints(tmp_path / "states", "key")
    monkeypatch.setattr(Loop, "take_step", dying)
    with pytest.raises(KeyboardInterrupt):
        finetune(*arguments, seed=0, out=tmp_path / "killed", checkpoints=states)
    monkeypatch.setattr(Loop, "take_step", take)
    killed = finetune(*arguments, seed=0, out=tmp_path / "killed", checkpoints=states)
    assert killed.log.equals(whole.log)
    assert not states.folder.exists()
    for file in killed.folder.glob("*.safetensors"):
        stored, expected = load_file(file), load_file(whole.folder / file.name)
        assert all(torch.equal(stored[name], expected[name]) for name in expected)


def test_a_damaged_checkpoint_of_the_second_phase_does_not_lose_the_first(rungs, examples, tmp_path, monkeypatch):
    settings = strategy("lora-then-full", checkpoint_every=1, full_share=0.5)
    arguments = (rungs["qwen2"], "x", settings, examples, examples[:4])
    whole = finetune(*arguments, seed=0, out=tmp_path / "whole")
    checkpoints, take = Checkpoints(tmp_path / "kept", "k"), Loop.take_step

    def die(self, step, batch):
        if self.progress.before and step == 2:
            raise KeyboardInterrupt
        return take(self, step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "take_step", die)
        with pytest.raises(KeyboardInterrupt):
            finetune(*arguments, seed=0, out=tmp_path / "out", checkpoints=checkpoints)
    state = checkpoints.of_phase(1).last()
    state.write_bytes(state.read_bytes()[:-9])
    again = finetune(*arguments, seed=0, out=tmp_path / "out", checkpoints=checkpoints)
    assert again.log.equals(whole.log)


def test_the_two_phases_share_the_steps_and_the_settings():
    settings = strategy("lora-then-full", full_share=0.3, full_learning_rate=1e-4, warmup=0.1)
    first, second = settings.phases
    assert (first.kind, second.kind) == ("lora", "full")
    assert first.steps + second.steps == settings.steps
    assert second.steps == 2
    assert (first.learning_rate, second.learning_rate) == (1e-2, 1e-4)
    assert first.warmup == second.warmup == 0.1
    assert first.evaluations + second.evaluations == settings.evaluations
    assert strategy("dora").phases == (strategy("dora"),)


def test_weights_trained_whole_have_their_own_rate(rungs):
    settings = strategy("lora+", full_learning_rate=1e-4)
    model = apply_strategy(load_base(rungs["qwen2"]), settings, seed=0)
    optimizer = make_optimizer(model, settings)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == (1e-2 if "lora_" in name else 1e-4)


def test_merging_keeps_what_the_model_says(rungs):
    model = shake(apply_strategy(load_base(rungs["llama"]), strategy("dora"), seed=0))
    before = logits(model)
    merged = merge_adapters(model)
    assert not any("lora_" in name for name, _ in merged.named_parameters())
    torch.testing.assert_close(logits(merged), before, rtol=1e-4, atol=1e-5)


def test_missing_weights_say_what_to_run(rungs, tmp_path):
    with pytest.raises(InputError, match=r"adapter_model\.safetensors: expected the weights .* Run that stage first"):
        load_trained(rungs["qwen2"], strategy("lora"), tmp_path)


def test_adapters_of_another_base_are_refused(rungs, tmp_path):
    settings = strategy("lora+")
    save_trained(apply_strategy(load_base(rungs["qwen2"]), settings, seed=0), tmp_path)
    with pytest.raises(InputError, match=r"trained on the rung 'gpt2'"):
        load_trained(rungs["gpt2"], settings, tmp_path)


@pytest.mark.parametrize("kind", ["lora", "lora+", "qlora"])
def test_a_base_of_the_same_shape_is_told_from_the_one_that_was_trained_on(rungs, tmp_path, kind):
    settings, rung = strategy(kind), rungs["qwen2"]
    model = apply_strategy(load_base(rung, quantised=kind == "qlora"), settings, seed=0)
    save_trained(shake(model), tmp_path / "trained")
    torch.testing.assert_close(logits(load_trained(rung, settings, tmp_path / "trained")[0]), logits(model))
    for name, move in (("embed_tokens.weight", "first"), ("norm.weight", "last")):
        folder = tmp_path / move
        shutil.copytree(rung.path, folder)
        stored = load_file(folder / "model.safetensors")
        stored[f"model.{name}"][..., :3] += 0.5
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match="adapters of a base with another fingerprint"):
            load_trained(dataclasses.replace(rung, path=str(folder)), settings, tmp_path / "trained")
    other = strategy("lora" if kind == "qlora" else "qlora")
    with pytest.raises(InputError, match="adapters of a base with another quantisation"):
        load_trained(rung, other, tmp_path / "trained")
    with pytest.raises(InputError, match="adapters of a base with another architecture"):
        load_trained(rungs["llama"], settings, tmp_path / "trained")
    (tmp_path / "trained" / BASE).unlink()  # made elsewhere
    load_trained(rung, settings, tmp_path / "trained")


def test_a_base_is_known_again_in_another_precision(rungs, tmp_path):
    settings = strategy("lora")
    save_trained(apply_strategy(load_base(rungs["qwen2"], dtype="bfloat16"), settings, seed=0), tmp_path)
    assert load_trained(rungs["qwen2"], settings, tmp_path, dtype="float32")[0].dtype == torch.float32


def test_adapters_are_no_base_and_no_fully_trained_model(rungs, tmp_path):
    save_trained(apply_strategy(load_base(rungs["qwen2"]), strategy("lora"), seed=0), tmp_path)
    with pytest.raises(InputError, match=r"expected a whole model, which strategies start from, found adapters"):
        load_base(dataclasses.replace(rungs["qwen2"], path=str(tmp_path)))
    with pytest.raises(InputError, match=r"model\.safetensors: expected the weights that the fine-tune stage saves"):
        load_trained(rungs["qwen2"], strategy("full"), tmp_path)


def test_a_damaged_file_of_adapters_is_explained(rungs, tmp_path):
    save_trained(apply_strategy(load_base(rungs["qwen2"]), strategy("lora"), seed=0), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="or are damaged; run the fine-tune stage again"):
        load_trained(rungs["qwen2"], strategy("lora"), tmp_path)


def test_a_target_that_the_model_lacks_is_named(rungs):
    settings = strategy("lora", target_modules=["q_proj", "q_projj"])
    with pytest.raises(InputError, match=r"key 'target_modules': expected .* k_proj, .* found 'q_projj'"):
        apply_strategy(load_base(rungs["qwen2"]), settings, seed=0)
    names = trained_names(
        apply_strategy(load_base(rungs["qwen2"]), strategy("lora", target_modules=["q_proj"]), seed=0)
    )
    assert names
    assert all("q_proj" in name for name in names)


@pytest.mark.parametrize(("file", "word"), [("adapter_model.safetensors", "without"), (WHOLE, "with the extra tensor")])
def test_missing_and_extra_tensors_are_named(rungs, tmp_path, file, word):
    settings = strategy("lora+")
    save_trained(apply_strategy(load_base(rungs["qwen2"]), settings, seed=0), tmp_path)
    stored = load_file(tmp_path / file)
    if word == "without":
        stored.pop(min(stored))
    else:
        stored["surplus"] = torch.zeros(1)
    save_file(stored, tmp_path / file)
    with pytest.raises(InputError, match=f"found a file {word} "):
        load_trained(rungs["qwen2"], settings, tmp_path)


def test_the_adapters_start_from_the_seed(rungs):
    def first(seed):
        model = apply_strategy(load_base(rungs["qwen2"]), strategy("lora"), seed=seed)
        return next(p for name, p in model.named_parameters() if "lora_A" in name).detach()

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_a_quantised_model_counts_its_true_weights_and_keeps_its_gradient_after_an_evaluation(rungs):
    model = apply_strategy(load_base(rungs["qwen2"], quantised=True), strategy("qlora"), seed=0)
    trained, total = count_parameters(model)
    assert total - trained == rungs["qwen2"].parameters
    before = logits(model)
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    gradients = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert all(gradient is not None for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    assert torch.equal(before, logits(model))


def test_the_tokenizer_comes_with_the_model(rungs):
    model, tokenizer = load_trained(rungs["llama"], StrategySettings(kind="none"), None)
    assert tokenizer.get_vocab() == load_tokenizer(rungs["llama"]).get_vocab()
    assert not model.training
    assert math.isfinite(float(logits(model).sum()))
