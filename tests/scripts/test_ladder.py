"""Pre-training of the embedded ladder: what it reads, what it must not read, and that it is reproducible."""

import json
import re
from collections import Counter
from dataclasses import asdict, replace
from itertools import islice

import pretraining as ladder
import pytest
import torch
from base_texts import build_tokenizer, text_documents, token_documents
from pretraining import LARGE, RECIPES, Recipe, build_model, pretrain, token_batches, train_ladder, write_card

from compliance_xai.corpus.synthetic.build import BASE_NOTATIONS, build_corpus
from compliance_xai.errors import InputError
from compliance_xai.models.loading import load_base, load_tokenizer
from compliance_xai.models.prompts import encode
from compliance_xai.study.folders import find_data_folder
from compliance_xai.study.ladders import Rung, load_ladder

MINIMUM_PER_MILLION = 30
"""Least often that a token of the vocabulary may occur in a million tokens of pre-training text."""

TINY = Recipe(
    "tiny", width=16, layers=1, heads=2, feed_forward=16, learning_rate=1e-3, tokens=12_000, batch_tokens=2048
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_the_shipped_rungs_have_the_tokenizer_that_the_code_builds(tokenizer):
    for rung in load_ladder("embedded").rungs:
        assert load_tokenizer(rung).get_vocab() == tokenizer.get_vocab()


def test_every_token_is_exercised_in_pre_training(tokenizer):
    counts, total = Counter(), 0
    for ids, _ in token_documents(0, tokenizer):
        counts.update(ids)
        total += len(ids)
        if total >= 1_000_000:
            break
    exercised = {token: counts[token] for token in range(len(tokenizer)) if token != tokenizer.pad_token_id}
    rarest = min(exercised, key=exercised.__getitem__)
    assert exercised[rarest] >= MINIMUM_PER_MILLION, tokenizer.decode([rarest])


def test_every_token_of_the_fine_tuning_notation_has_been_predicted_often(tokenizer):
    predicted, total = Counter(), 0
    for ids, given in islice(token_documents(0, tokenizer), 12_000):
        predicted.update(ids[given:])
        total += len(ids)
    needed: set[int] = set()
    for example in build_corpus():
        row = encode(tokenizer, example.clause, example.rule)
        needed |= set(row.ids[row.target_start :])
    shortest = min(recipe.tokens for recipe in RECIPES.values())
    assert min(predicted[token] for token in needed) / total * shortest >= 100


def test_pre_training_shows_no_clause_with_a_rule_of_the_fine_tuning_notation():
    rules = {example.rule for example in build_corpus()}
    clauses = {example.clause for example in build_corpus() if example.split != "train"}
    for given, asked in islice(text_documents(0), 8000):
        assert asked not in rules
        assert not any(line.removeprefix("Clause: ") in clauses for line in given.split("\n"))


def test_batches_hold_whole_documents_and_weigh_no_padding(tokenizer):
    for ids_BT, weights_BT in islice(token_batches(TINY, tokenizer), 5):
        assert ids_BT.shape == weights_BT.shape
        assert ids_BT.numel() <= TINY.batch_tokens
        padding = ids_BT == tokenizer.pad_token_id
        assert torch.all(weights_BT[padding] == 0)
        assert torch.all(weights_BT[~padding] > 0)


def test_pre_training_is_reproducible_and_goes_on_where_it_was_stopped(tokenizer, tmp_path, monkeypatch, capsys):
    # Writing rules takes minutes of an untrained model, which does not know where to stop; any number of it will do.
    monkeypatch.setattr(ladder, "base_exact", lambda model, *_, **__: float(model.lm_head.weight.detach().flatten()[0]))
    whole = pretrain(TINY, tokenizer, tmp_path / "whole", every=3, save_every=2)
    said = capsys.readouterr().out
    assert re.search(r"tiny: [\d,]+ of 12,000 tokens, loss \d\.\d+, [\d,]+ tokens/s, \d+ minutes left", said)
    save = ladder.save_state

    def save_then_die(path, model, optimizer, state):
        save(path, model, optimizer, state)
        if state["state"]["step"] == 4:  # between two points of the curve
            path.with_name(".checkpoint.safetensors.part").write_bytes(b"half a file")
            raise KeyboardInterrupt

    monkeypatch.setattr(ladder, "save_state", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, tokenizer, tmp_path / "stopped", every=3, save_every=2)
    monkeypatch.setattr(ladder, "save_state", save)
    seen = []
    batches = ladder.token_batches
    monkeypatch.setattr(
        ladder,
        "token_batches",
        lambda *given: (seen.append(index) or batch for index, batch in enumerate(batches(*given))),
    )
    resumed = pretrain(TINY, tokenizer, tmp_path / "stopped", every=3, save_every=2)
    assert resumed["steps"] == whole["steps"] == seen[-1] + 1
    assert [[point[name] for name in ("tokens", "loss", "exact")] for point in resumed["curve"]] == [
        [point[name] for name in ("tokens", "loss", "exact")] for point in whole["curve"]
    ]
    assert whole["device"] == "one CPU thread"
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "stopped").glob("checkpoint*"))
    write_card(tmp_path / "whole")
    card = (tmp_path / "whole" / "README.md").read_text("utf-8")
    assert f"{whole['tokens']:,} in {whole['steps']:,} steps" in card
    assert "| time on one CPU thread |" in card


def test_a_checkpoint_of_another_recipe_is_not_used(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "base_exact", lambda *_, **__: 0.5)
    other = replace(TINY, learning_rate=2e-3)
    model = build_model(other, tokenizer)
    state = {"step": 1, "tokens": 5, "seconds": 1.5, "curve": [], "running": [2.0]}
    ladder.save_state(
        tmp_path / "checkpoint.safetensors", model, torch.optim.AdamW(model.parameters()),
        {"recipe": asdict(other), "state": state},
    )  # fmt: skip
    monkeypatch.setattr(ladder, "restore_state", lambda *_: pytest.fail("it was used"))
    assert pretrain(replace(TINY, tokens=2000), tokenizer, tmp_path)["steps"] <= 3


def test_a_trial_of_few_tokens_goes_elsewhere_and_is_not_taken_for_the_rung(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(ladder, "base_exact", lambda *_, **__: 0.5)
    with pytest.raises(SystemExit):
        ladder.main(["--tokens", "4000", "tiny"])
    assert "--folder, so that no shipped rung is replaced" in capsys.readouterr().err
    ladder.main(["--tokens", "4000", "--folder", str(tmp_path), "tiny"])
    assert json.loads((tmp_path / "tiny" / "training.json").read_text("utf-8"))["recipe"]["tokens"] == 4000
    assert (tmp_path / "tiny" / "README.md").is_file()
    with pytest.raises(InputError, match=r"expected a rung trained on 12,000 tokens, found 4,000"):
        train_ladder(tmp_path, ["tiny"])


def test_a_rung_of_which_only_the_log_is_shipped_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(ladder, "base_exact", lambda *_, **__: 0.5)
    log = tmp_path / "tiny" / "training.json"
    log.parent.mkdir()
    log.write_text(json.dumps({"recipe": {"tokens": TINY.tokens}, "steps": 0}), encoding="utf-8")
    train_ladder(tmp_path, ["tiny"])
    assert json.loads(log.read_text("utf-8"))["steps"] > 0
    assert (tmp_path / "tiny" / "model.safetensors").is_file()


def test_the_recipes_grow_and_their_seed_decides_the_weights(tokenizer):
    sizes = [sum(p.numel() for p in build_model(recipe, tokenizer).parameters()) for recipe in RECIPES.values()]
    assert sizes == sorted(sizes)
    first, other = (next(build_model(replace(TINY, seed=seed), tokenizer).parameters()) for seed in (0, 1))
    assert not torch.equal(first, other)


def test_an_unknown_rung_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"ladder rung: expected one of 0.3m, 1m, 4m, 12m, 30m, found '2m'"):
        train_ladder(tmp_path, ["2m"])


@pytest.mark.parametrize("name", [rung.name for rung in load_ladder("embedded").rungs])
def test_each_shipped_rung_says_how_well_it_writes_the_base_notation(name):
    folder = find_data_folder() / "ladders" / "embedded" / name
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert record["exact_held_out_n"] >= 300
    card = (folder / "README.md").read_text(encoding="utf-8")
    for notation in BASE_NOTATIONS:
        assert f"{record['exact_held_out'][notation]:.1%} of {record['exact_held_out_n']}" in card
        assert name == "0.3m" or record["exact_held_out"][notation] >= 0.8


def test_the_file_of_the_ladder_says_what_the_recipes_give(tokenizer):
    ladder_of_file = load_ladder("embedded")
    rungs = sorted((*ladder_of_file.rungs, *ladder_of_file.absent), key=lambda rung: rung.parameters)
    assert [rung.name for rung in rungs] == list(RECIPES)
    assert list(RECIPES)[-2:] == list(LARGE)
    for rung, recipe in zip(rungs, RECIPES.values(), strict=True):
        with torch.device("meta"):
            assert rung.parameters == build_model(recipe, tokenizer).num_parameters()
        assert (rung.shape.hidden_size, rung.shape.layers) == (recipe.width, recipe.layers)
        assert rung.obtain == f'make ladder RUNGS="{recipe.name}"'


def test_a_rung_stored_in_bfloat16_is_scored_and_loaded_as_it_was_stored(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "base_exact", lambda model, *_, **__: float(model.lm_head.weight.detach().flatten()[0]))
    recipe = replace(TINY, stored="bfloat16", tokens=4000)
    pretrain(recipe, tokenizer, tmp_path / "tiny")
    assert json.loads((tmp_path / "tiny" / "config.json").read_text("utf-8"))["dtype"] == "bfloat16"
    model = load_base(Rung("tiny", str(tmp_path / "tiny"), 1))
    record = json.loads((tmp_path / "tiny" / "training.json").read_text("utf-8"))
    assert set(record["exact_held_out"].values()) == {float(model.lm_head.weight.detach().flatten()[0])}
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, parameter.to(torch.bfloat16).float())
