import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from compliance_xai.errors import InputError
from compliance_xai.models.planning import config_values
from compliance_xai.study.ladders import LadderSettings, Rung, load_ladder
from compliance_xai.study.model_sources import describe_model
from compliance_xai.study.settings import dump_study, load_study

LADDER = """\
name: mine
rungs:
- {name: big, path: Some/hub-model, parameters: 500, revision: abc, template: plain}
- {name: small, path: here, parameters: 5}
- {name: later, path: there, parameters: 50, obtain: make it}
"""


def write(folder, text):
    (folder / "ladder.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_ladder_lists_its_rungs_by_size_with_folders_resolved(tmp_path):
    (tmp_path / "here").mkdir()
    ladder = load_ladder(write(tmp_path, LADDER))
    assert [rung.name for rung in ladder.rungs] == ["small", "big"]
    assert ladder.rung("small").path == str(tmp_path / "here")
    assert ladder.rung("small").is_local
    assert ladder.rung("small").is_pinned
    assert not ladder.rung("big").is_local
    assert not ladder.rung("big").is_pinned
    with pytest.raises(InputError, match="rung: expected one of small, big, later, found 'tiny'"):
        ladder.rung("tiny")


def test_a_rung_whose_weights_are_not_there_says_how_to_make_them(tmp_path):
    (tmp_path / "here").mkdir()
    ladder = load_ladder(write(tmp_path, LADDER))
    with pytest.raises(InputError, match=r"rung 'later': expected its weights .* make them with: make it"):
        ladder.rung("later")
    (tmp_path / "there").mkdir()
    assert load_ladder(tmp_path).absent  # a folder that a training has only begun to fill
    (tmp_path / "there" / "config.json").write_text("{}", encoding="utf-8")
    assert load_ladder(tmp_path).rung("later").is_local


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nrungs: []", "expected a key 'rungs' with at least one rung"),
        ("rungs:\n- {name: a, parameters: 1}", "expected either a path .* or a gguf .*, found neither"),
        ("rungs:\n- {name: a, path: b/c, gguf: d.gguf}", "expected either a path .* or a gguf .*, found both"),
        ("rungs:\n- {name: a, gguf: d.gguf}", "rung 'a', key 'gguf': expected a GGUF file, found nothing at"),
        (
            "rungs:\n- {name: a, gguf: d.gguf, packages: {requirements: [p==1], size: 9, hub: a/b}}",
            "rung 'a', key 'gguf': expected its checksum as well",
        ),
        ("rungs:\n- {name: a, path: b}", r"rung 'a': expected a folder .*, found 'b', which is not there"),
        ("rungs: [{name: a, path: models/mine, parameters: 1}]", "rung 'a': expected a folder .* which is not there"),
        ("rungs: [{name: a, path: b/c, parameters: 1}]", "key 'template': expected this key, because the model is not"),
        (
            "rungs: [{name: a, path: nowhere, parameters: 1}]",
            "rung 'a': expected a folder beside the file, or a hub id",
        ),
        (
            "rungs:\n- {name: a, path: b/c, parameters: 1, license: MIT}",
            r"unknown key 'license'\. Did you mean 'licence'",
        ),
        ("rungs: [{name: a-b, path: b/c, parameters: 1}]", "expected a name of letters, digits, dots, underscores"),
        ("rungs: [{name: a, path: b/c, parameters: 1, template: chats}]", "Did you mean 'chat'"),
        ("rungs: [{name: a, path: b/c, parameters: -1}]", "expected a number greater than or equal to 0, found -1"),
        ("rungs: [{name: a, path: b/c, parameters: 1, batch: {mikro_batch: 1}}]", "Did you mean 'micro_batch'"),
        (
            "rungs: [" + "{name: a, path: b/c, parameters: 1, template: chat}, " * 2 + "]",
            "expected unique names of rungs, found 'a' twice",
        ),
        ("rungs: [b/c]", r"rung 'c', key 'parameters': expected this key"),
        ("runs: []", "Did you mean 'rungs'"),
    ],
)
def test_a_bad_ladder_is_explained(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load_ladder(write(tmp_path, text))


def test_an_unknown_ladder_lists_the_shipped_ones():
    with pytest.raises(InputError, match=r"shipped ladders: embedded, llama-3, mistral, pretrained, qwen2\.5-coder"):
        load_ladder("no-such-ladder")


def make_folder(folder, config, **shapes):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, folder / "model.safetensors")
    return str(folder)


QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 50,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}
QWEN2_SIZE = 50 * 64 + 2 * 64 * 64 + 64 + 2 * (64 * 32 + 32) + 3 * 64 * 96 + 3 * 64
GPT2 = {
    "model_type": "gpt2",
    "bos_token_id": 0,
    "eos_token_id": 0,
    "n_embd": 64,
    "n_layer": 1,
    "n_head": 4,
    "n_inner": None,
    "vocab_size": 50,
}


def test_a_study_may_list_folders_and_hub_ids(tmp_path):
    small = make_folder(tmp_path / "small", QWEN2, embed=(50, 64))
    large = make_folder(tmp_path / "large", GPT2, wte=(50, 64))
    hub = {"name": "big", "path": "Some/model", "parameters": 10**9, "template": "chat"}
    ladder = load_ladder(LadderSettings.model_validate({"rungs": [large, small, hub]}))
    assert [(rung.name, rung.parameters) for rung in ladder.rungs] == [
        ("small", QWEN2_SIZE),
        ("large", 118_848),
        ("big", 10**9),
    ]
    assert ladder.rung("small").shape.hidden_size == 64
    assert ladder.rung("small").shape.key_value_heads == 2
    assert ladder.rung("large").shape.intermediate_size == 256
    assert ladder.rung("big").template == "chat"


@pytest.mark.parametrize(
    ("ladder", "kind", "names"),
    [
        ("qwen2.5-coder", "qwen2", ["0.5b", "1.5b", "3b", "7b", "14b", "32b"]),
        ("llama-3", "llama", ["1b", "3b", "8b", "70b"]),
        ("mistral", "mistral", ["7b", "12b", "24b"]),
    ],
)
def test_the_shape_of_every_listed_model_has_its_number_of_parameters(ladder, kind, names):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    loaded = load_ladder(ladder).rungs
    assert [rung.name for rung in loaded] == names
    for rung in (loaded[0], loaded[-1]):
        config = CONFIG_MAPPING[kind](
            **config_values(rung.shape),
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
        with torch.device("meta"):
            assert AutoModelForCausalLM.from_config(config).num_parameters() == rung.parameters
        assert (rung.template, rung.dtype) == ("chat", "bfloat16")
        assert rung.licence


def test_a_rung_is_checked_where_it_is_made():
    with pytest.raises(ValueError, match="template"):
        Rung("a", "b/c", 1, template="talk")


def test_sizes_that_are_not_stated_are_counted_with_tied_weights_once_and_without_buffers(tmp_path):
    tied = {"model.embed_tokens.weight": (50, 64), "lm_head.weight": (50, 64), "layer.rotary_emb.inv_freq": (8,)}
    make_folder(tmp_path / "tied", QWEN2, **tied)
    (tmp_path / "tied" / "tokenizer_config.json").write_text('{"chat_template": "..."}', encoding="utf-8")
    rung = load_ladder(write(tmp_path, "rungs: [{name: a, path: tied}]")).rungs[0]
    assert (rung.parameters, rung.template, rung.dtype) == (QWEN2_SIZE, "chat", "bfloat16")
    assert load_ladder(write(tmp_path, "rungs: [{name: a, path: tied, parameters: 5}]")).rungs[0].parameters == 5
    (tmp_path / "tied" / "config.json").write_text('{"model_type": "unheard-of"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.json: expected the config\.json of a causal language model"):
        load_ladder(write(tmp_path, "rungs: [{name: a, path: tied}]"))


def test_weights_that_are_missing_are_named(tmp_path):
    make_folder(tmp_path / "a", QWEN2, embed=(50, 64))
    text = write(tmp_path, "rungs: [{name: a, path: a}]")
    (tmp_path / "a" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    with pytest.raises(InputError, match="found a git-lfs pointer"):
        load_ladder(text)
    (tmp_path / "a" / "model.safetensors").rename(tmp_path / "a" / "model.bin")
    with pytest.raises(InputError, match=r"expected weights in safetensors files, found weights in \.bin files"):
        load_ladder(text)


def test_a_model_describes_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "My-Model", QWEN2, embed=(50, 64))
    assert describe_model("My-Model") == {
        "name": "My_Model", "path": str(tmp_path / "My-Model"), "parameters": QWEN2_SIZE, "template": "plain",
        "dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "org").mkdir()
    for missing in ("models/mine", "./a/b", "org/model", "nothing"):
        with pytest.raises(InputError, match=r"expected a model folder, or a hub id .*, found nothing at"):
            describe_model(missing)
    with pytest.raises(InputError, match=r"org: expected weights in safetensors files, found none"):
        describe_model("org")


STUDY = """\
name: tiny
title: A tiny study
scales: [1m]
strategies: {none: {}, full: {learning_rate: 1e-3, steps: 190}, lora: {rank: 8}}
"""


def test_models_take_the_place_of_a_studys_ladder_with_their_usual_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("large", 90), ("small", 50)):
        make_folder(tmp_path / name, QWEN2 | {"vocab_size": rows}, embed=(rows, 64))
    path = tmp_path / "tiny.yaml"
    path.write_text(STUDY, encoding="utf-8")
    study = load_study(path, ["strategies.full.steps=3"], models=["large", "small"])
    assert (study.name, study.scales, study.ladder.rungs[0].parameters) == (
        "tiny-small-large", ("small", "large"), QWEN2_SIZE
    )  # fmt: skip
    assert (study.strategies["lora"].rank, study.strategies["full"].steps) == (32, 3)
    path.write_text(dump_study(study), encoding="utf-8")
    assert load_study(path) == study
