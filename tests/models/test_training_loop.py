"""The steps of a training: same loss however it is cut, and a way back after a kill, a full memory or a bad number."""

import logging
import math
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.errors import InputError
from compliance_xai.models import training_loop as loops
from compliance_xai.models.batches import cut_batch, encode_examples, make_tensors, plan_batches, rule_losses
from compliance_xai.models.checkpoints import Checkpoints
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.settings import Study, dump_study
from compliance_xai.study.strategy_settings import StrategySettings

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
TEMPLATE = "Clause: {clause}\nRule:\n"


def settings_of(kind="full", **keys):
    return StrategySettings(
        **{"kind": kind, "learning_rate": 5e-3, "steps": 8, "batch_size": 4, "evaluations": 2, **keys}
    )


def weights_of(folder):
    [file] = folder.glob("*.safetensors")
    return load_file(file)


def tune(rung, examples, out, settings, **keys):
    return finetune(rung, settings.kind, settings, examples, examples[:4], seed=0, out=out, **keys)


def assert_same(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        if tolerance:
            torch.testing.assert_close(a[name], b[name], **tolerance)
        else:
            assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "gpt2"])
def test_the_loss_is_the_masked_cross_entropy_of_a_plain_forward_pass_however_the_batch_is_cut(
    rungs, examples, architecture
):
    model, tokenizer = load_base(rungs[architecture]), load_tokenizer(rungs[architecture])
    rows = encode_examples(tokenizer, examples, TEMPLATE, None)
    ids, target = make_tensors(rows)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([len(row.ids) for row in rows])[:, None]).long()
    model.eval()
    loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(~target, -100)).loss
    loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    lengths = [len(row.ids) for row in rows]
    for micro_batch in (8, 3, 1):
        model.zero_grad()
        total = 0.0
        for part in cut_batch(range(len(rows)), lengths, micro_batch):
            losses, _ = rule_losses(model, *make_tensors([rows[row] for row in part]))
            part_loss = losses.sum() / int(target.sum())
            part_loss.backward()
            total += part_loss.item()
        assert total == pytest.approx(loss.item(), rel=1e-5)
        assert_same({name: p.grad for name, p in model.named_parameters()}, expected, rtol=1e-4, atol=1e-6)


def test_every_row_comes_once_in_a_round_among_rows_of_its_length():
    lengths = np.random.default_rng(0).integers(30, 160, 400).tolist()
    batches = plan_batches(lengths, 8, 100, seed=1)
    assert sorted(chain(*batches[:50])) == sorted(chain(*batches[50:])) == list(range(400))
    assert batches == plan_batches(lengths, 8, 100, seed=1)
    assert batches != plan_batches(lengths, 8, 100, seed=2)
    assert batches[:30] == plan_batches(lengths, 8, 30, seed=1)
    real = sum(lengths) * 2
    padded = sum(8 * max(lengths[row] for row in batch) for batch in batches)
    shuffled = np.random.default_rng(0).permutation(lengths).reshape(-1, 8)
    assert padded < 1.06 * real
    assert 8 * shuffled.max(1).sum() > 1.3 * sum(lengths)


@pytest.mark.parametrize(("rows", "batch_size"), [(10, 4), (3, 8), (1, 2)])
def test_batches_are_full_where_the_rows_are_no_multiple(rows, batch_size):
    batches = plan_batches([5] * rows, batch_size, 20, seed=0)
    assert {len(batch) for batch in batches} == {batch_size}
    counts = np.bincount(list(chain(*batches)), minlength=rows)
    assert counts.max() - counts.min() <= 2


def test_processes_share_a_batch_without_rest_and_about_evenly():
    lengths = [10, 80, 30, 50, 20, 70, 60, 40]
    shares = [cut_batch(range(8), lengths, 2, process=process, processes=2) for process in (0, 1)]
    assert shares == [[[1, 6], [7, 4]], [[5, 3], [2, 0]]]


def test_the_learning_rate_follows_transformers_cosine():
    from transformers import get_cosine_schedule_with_warmup

    settings = settings_of(steps=40, warmup=0.1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 4, 40)
    for step in range(40):
        assert loops.rate_share(step, settings) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        schedule.step()


KILLED = """
import json, os, signal, sys
from pathlib import Path
from compliance_xai.corpus.corpora import load_corpus
from compliance_xai.models import training_loop as loop
from compliance_xai.models.checkpoints import Checkpoints
from compliance_xai.models.finetuning import finetune
from compliance_xai.study.ladders import load_ladder
from compliance_xai.study.strategy_settings import StrategySettings

take = loop.Loop.take_step
def dying(self, step, batch):
    if step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return take(self, step, batch)
loop.Loop.take_step = dying
examples = list(load_corpus("synthetic", split="train"))[:40]
settings = StrategySettings.model_construct(**json.loads(sys.argv[1]))
finetune(load_ladder("embedded").rung("0.3m"), "full", settings, examples,
         examples[:4], seed=0, out=sys.argv[2], checkpoints=Checkpoints(Path(sys.argv[3]), "k"))
"""


def test_a_killed_training_ends_with_the_same_weights_bit_for_bit(tmp_path):
    settings = settings_of(steps=10, batch_size=8, checkpoint_every=3)
    rung, examples = load_ladder("embedded").rung("0.3m"), list(load_corpus("synthetic", split="train"))[:40]
    through = tune(rung, examples, tmp_path / "through", settings)
    arguments = [settings.model_dump_json(), str(tmp_path / "killed"), str(tmp_path / "kept")]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": SOURCE}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed").exists()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-00000006.safetensors"]
    steps = []
    take = loops.Loop.take_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops.Loop, "take_step", lambda self, step, batch: steps.append(step) or take(self, step, batch))
        resumed = tune(rung, examples, tmp_path / "killed", settings, checkpoints=Checkpoints(tmp_path / "kept", "k"))
    assert steps == [6, 7, 8, 9]
    assert_same(weights_of(tmp_path / "killed"), weights_of(tmp_path / "through"))
    assert resumed.log.equals(through.log)
    assert not (tmp_path / "kept").exists()


def test_dropout_goes_on_as_it_would_have_and_another_key_starts_anew(rungs, examples, tmp_path, monkeypatch):
    settings = settings_of("lora", rank=4, dropout=0.2)
    tune(rungs["qwen2"], examples, tmp_path / "through", settings)
    take = loops.Loop.take_step

    def stop(self, step, batch):
        if step == 6:
            raise KeyboardInterrupt
        return take(self, step, batch)

    for key in ("this", "another"):
        monkeypatch.setattr(loops.Loop, "take_step", stop)
        with pytest.raises(KeyboardInterrupt):
            tune(rungs["qwen2"], examples, tmp_path / key, settings, checkpoints=Checkpoints(tmp_path / "kept", "this"))
        monkeypatch.setattr(loops.Loop, "take_step", take)
        result = tune(
            rungs["qwen2"], examples, tmp_path / key, settings, checkpoints=Checkpoints(tmp_path / "kept", key)
        )
        assert_same(weights_of(tmp_path / key), weights_of(tmp_path / "through"))
        assert list(result.log.loc[result.log["split"] == "validation", "step"]) == [0, 4, 8]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_full_memory_halves_the_pairs_at_once_and_keeps_the_loss(
    rungs, examples, tmp_path, monkeypatch, caplog, error
):
    settings = settings_of(batch_size=8, steps=4)
    expected = tune(rungs["qwen2"], examples, tmp_path / "whole", settings)

    def full(model, ids_BT, target_BT, multiple=1):
        if model.training and len(ids_BT) > 2:
            raise error
        return rule_losses(model, ids_BT, target_BT)

    monkeypatch.setattr(loops, "rule_losses", full)
    with caplog.at_level(logging.WARNING):
        result = tune(rungs["qwen2"], examples, tmp_path / "halved", settings)
    assert (expected.micro_batch, expected.notes) == (8, ())
    assert result.micro_batch == 2
    assert result.notes == tuple(record.message for record in caplog.records if record.name == loops.__name__)
    assert result.notes[0] == (
        "out of memory at step 1: 4 pairs at once instead of 8, their gradients added up; the loss is the same"
    )
    np.testing.assert_allclose(result.log["loss"], expected.log["loss"], rtol=1e-4)
    assert_same(weights_of(tmp_path / "halved"), weights_of(tmp_path / "whole"), rtol=1e-2, atol=1e-4)


def test_a_full_memory_in_validation_takes_fewer_pairs_and_gives_the_same_loss(
    rungs, examples, tmp_path, monkeypatch, caplog
):
    settings = settings_of(batch_size=2, steps=2)
    expected = tune(rungs["qwen2"], examples, tmp_path / "whole", settings)

    def full(model, ids_BT, target_BT, multiple=1):
        if len(ids_BT) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return rule_losses(model, ids_BT, target_BT)

    monkeypatch.setattr(loops, "rule_losses", full)
    with caplog.at_level(logging.WARNING):
        result = tune(rungs["qwen2"], examples, tmp_path / "halved", settings)
    assert (result.micro_batch, result.notes) == (2, ())
    assert "out of memory in validation: 2 pairs at once from here on" in caplog.messages
    np.testing.assert_allclose(result.log["loss"], expected.log["loss"], rtol=1e-5)


def test_validation_of_a_pair_that_does_not_fit_alone_is_an_input_error(rungs, examples, tmp_path, monkeypatch):
    def full(model, ids_BT, target_BT, multiple=1):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(loops, "rule_losses", full)
    with pytest.raises(InputError, match=r"validation: expected memory for 1 pair at once"):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings_of())


def test_a_pair_that_does_not_fit_alone_is_an_input_error_and_other_errors_pass(rungs, examples, tmp_path, monkeypatch):
    def full(model, ids_BT, target_BT, multiple=1):
        if model.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return rule_losses(model, ids_BT, target_BT)

    monkeypatch.setattr(loops, "rule_losses", full)
    with pytest.raises(
        InputError, match=r"training step 1: expected memory for 1 pair at once.*gradient_checkpointing"
    ):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings_of())
    monkeypatch.setattr(loops, "rule_losses", lambda *inputs: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings_of())


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_activations_are_computed_again_if_a_single_pair_does_not_fit(rungs, examples, tmp_path, monkeypatch, kind):
    settings = settings_of(kind, batch_size=2, steps=2, evaluations=1)
    tune(rungs["llama"], examples, tmp_path / "whole", settings)

    def full(model, ids_BT, target_BT, multiple=1):
        if model.training and not loops.find_base(model).is_activation_checkpointing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return rule_losses(model, ids_BT, target_BT)

    monkeypatch.setattr(loops, "rule_losses", full)
    result = tune(rungs["llama"], examples, tmp_path / "again", settings)
    assert result.micro_batch == 1
    assert result.notes[-1] == (
        "out of memory at step 1: activations are computed again instead of stored; the loss is the same"
    )
    assert_same(weights_of(tmp_path / "again"), weights_of(tmp_path / "whole"), rtol=1e-2, atol=1e-4)


def test_a_large_model_on_a_cpu_sees_few_lengths_so_that_memory_does_not_grow(rungs, examples, tmp_path, monkeypatch):
    settings = settings_of(batch_size=1, steps=8)
    expected = tune(rungs["qwen2"], examples, tmp_path / "exact", settings)
    shapes = set()

    def note(model, ids_BT, target_BT, multiple=1):
        shapes.add((ids_BT.shape[1], multiple))
        return rule_losses(model, ids_BT, target_BT, multiple)

    monkeypatch.setattr(loops, "rule_losses", note)
    monkeypatch.setattr(loops, "LARGE", 0)
    result = tune(rungs["qwen2"], examples, tmp_path / "padded", settings)
    assert {length % 32 for length, _ in shapes} == {0}
    assert {multiple for _, multiple in shapes} == {32}
    assert len(shapes) < len({len(example.clause) for example in examples})
    np.testing.assert_allclose(result.log["loss"], expected.log["loss"], rtol=1e-4)


@pytest.mark.parametrize("kept", [True, False])
def test_a_number_that_is_none_stops_with_the_step_and_the_last_good_checkpoint(
    rungs, examples, tmp_path, monkeypatch, kept
):
    steps = iter(range(100))

    def poisoned(model, ids_BT, target_BT, multiple=1):
        losses, labels = rule_losses(model, ids_BT, target_BT)
        return losses * (math.nan if model.training and next(steps) == 6 else 1), labels

    monkeypatch.setattr(loops, "rule_losses", poisoned)
    checkpoints = Checkpoints(tmp_path / "kept", "k") if kept else None
    names = f"the last good checkpoint is {tmp_path}/kept/step-00000004" if kept else "no checkpoint before it"
    with pytest.raises(FloatingPointError, match=f"the training loss is nan at step 7: lower .*{names}"):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings_of(), checkpoints=checkpoints)


def test_a_last_step_that_leaves_no_number_is_no_success(rungs, examples, tmp_path):
    settings = settings_of(steps=1, learning_rate=1e25, evaluations=1, warmup=0.0)
    with pytest.raises(FloatingPointError, match=r"the validation loss is (nan|inf) at step 1: lower"):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_weights_that_are_no_numbers_make_no_checkpoint(rungs, examples, tmp_path, monkeypatch, value):
    checkpoints = Checkpoints(tmp_path / "kept", "k")
    take = loops.Loop.take_step

    def spoil(self, step, batch):
        loss = take(self, step, batch)
        if step == 2:
            with torch.no_grad():
                list(self.model.parameters())[3].fill_(value)
        return loss

    monkeypatch.setattr(loops.Loop, "take_step", spoil)
    with pytest.raises(FloatingPointError, match=rf"largest weight is {value} at step 3.*step-00000002"):
        tune(rungs["qwen2"], examples, tmp_path / "out", settings_of(checkpoint_every=1), checkpoints=checkpoints)


def stop_at(step, monkeypatch, rungs, examples, checkpoints):
    """A training that was interrupted before a step; later ones are not."""
    take = loops.Loop.take_step

    def die(self, at, batch):
        if at == step:
            raise KeyboardInterrupt
        return take(self, at, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loops.Loop, "take_step", die)
        with pytest.raises(KeyboardInterrupt):
            tune(rungs["qwen2"], examples, checkpoints.folder / "out", settings_of(), checkpoints=checkpoints)


def test_a_smaller_micro_batch_holds_from_a_checkpoint_on(rungs, examples, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "kept", "k")
    stop_at(5, monkeypatch, rungs, examples, checkpoints)
    assert checkpoints.last() is not None
    settings = settings_of(micro_batch=1)
    assert tune(rungs["qwen2"], examples, tmp_path / "out", settings, checkpoints=checkpoints).micro_batch == 1


def test_a_damaged_checkpoint_is_left_and_the_training_starts_anew(rungs, examples, tmp_path, monkeypatch, caplog):
    checkpoints = Checkpoints(tmp_path / "kept", "k")
    stop_at(5, monkeypatch, rungs, examples, checkpoints)
    state = checkpoints.last()
    state.write_bytes(state.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        tune(rungs["qwen2"], examples, tmp_path / "anew", settings_of(), checkpoints=checkpoints)
    assert any("is damaged" in message for message in caplog.messages)
    tune(rungs["qwen2"], examples, tmp_path / "whole", settings_of())
    assert_same(weights_of(tmp_path / "anew"), weights_of(tmp_path / "whole"))


def test_bfloat16_keeps_trained_weights_in_float32_and_learns_the_same(rungs, examples, tmp_path):
    exact = tune(rungs["qwen2"], examples, tmp_path / "exact", settings_of())
    rounded = tune(rungs["qwen2"], examples, tmp_path / "rounded", settings_of(precision="bfloat16"))
    assert {tensor.dtype for tensor in weights_of(tmp_path / "rounded").values()} == {torch.float32}
    difference = np.abs(exact.log["loss"] - rounded.log["loss"])
    assert 0 < difference.max() < 0.03 * exact.log["loss"].max()


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_computing_activations_again_changes_nothing(rungs, examples, tmp_path, kind):
    tune(rungs["llama"], examples, tmp_path / "kept", settings_of(kind, steps=4))
    tune(rungs["llama"], examples, tmp_path / "again", settings_of(kind, steps=4, gradient_checkpointing=True))
    assert_same(weights_of(tmp_path / "again"), weights_of(tmp_path / "kept"), rtol=1e-5, atol=1e-7)


def test_settings_without_effect_on_the_result_travel_and_do_not_count():
    study = Study(
        name="t", title="t", scales=("1m",), strategies={"full": {"micro_batch": 2, "gradient_checkpointing": True}}
    )
    assert "micro_batch: 2" in dump_study(study)
    assert study.strategies["full"].deciding() == StrategySettings(kind="full").deciding()
    assert "precision" in study.strategies["full"].deciding()
