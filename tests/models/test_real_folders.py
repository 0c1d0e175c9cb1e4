"""What public model folders really contain: other settings, other formats, damaged files, tokens without embeddings."""

import json
import shutil

import pytest
import torch
from tiny_checkpoints import make_tokenizer

from compliance_xai.errors import InputError
from compliance_xai.models.batches import encode_examples, make_tensors, rule_losses
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.generation import generate_rules, make_greedy
from compliance_xai.models.loading import load_base, load_tokenizer, require_room_for_tokens
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, encode_target, render, render_spans, share_lost
from compliance_xai.models.training_loop import choose_precision
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import StrategySettings


@pytest.fixture
def folder(rungs, tmp_path):
    shutil.copytree(rungs["qwen2"].path, tmp_path / "model")
    return tmp_path / "model"


def rung_of(folder, **keys):
    return Rung("r", str(folder), 1, **keys)


VENDOR = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_new_tokens": 20, "do_sample": True, "top_k": 5}


def test_decoding_is_the_most_probable_token_whatever_the_folder_says(folder, examples):
    plain = generate_rules(*pair(folder), examples, seed=0, max_new_tokens=24)
    (folder / "generation_config.json").write_text(json.dumps(VENDOR | {"stop_strings": ["a"]}), encoding="utf-8")
    model, tokenizer = pair(folder)
    assert generate_rules(model, tokenizer, examples, seed=0, max_new_tokens=24) == plain
    model.generation_config.update(**VENDOR)  # a model that was not loaded here
    assert generate_rules(model, tokenizer, examples, seed=0, max_new_tokens=24) == plain
    assert model.generation_config.repetition_penalty == 1.5  # left as it was
    ids = torch.tensor([render(tokenizer, examples[0].clause)])
    for _ in range(plain[0].tokens):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    written = tokenizer.decode(ids[0, len(render(tokenizer, examples[0].clause)) :], skip_special_tokens=True)
    assert plain[0].rule == written


def pair(folder):
    return load_base(rung_of(folder)), load_tokenizer(rung_of(folder))


def test_what_is_ignored_and_what_cannot_be_written_is_said_before_training(folder, examples, tmp_path):
    (folder / "generation_config.json").write_text(json.dumps(VENDOR | {"eos_token_id": 0}), encoding="utf-8")
    settings = StrategySettings(kind="full", steps=1, batch_size=2, evaluations=1)
    result = finetune(rung_of(folder), "full", settings, examples, examples, seed=0, out=tmp_path / "out")
    assert "repetition_penalty 1.5" in result.notes[0]
    assert "eos_token_id" not in result.notes[0]
    assert not json.loads((result.folder / "generation_config.json").read_text()).get("repetition_penalty")


def test_rules_that_a_tokenizer_cannot_write_are_counted():
    from tokenizers import normalizers

    tokenizer = make_tokenizer(bos=False)
    assert share_lost(tokenizer, ["if(a),then(b)", "greaterThan(x,1 m²)"]) == 0
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert share_lost(tokenizer, ["if(a),then(b)", "greaterThan(x,1 m²)"]) == 0.5


def test_padding_without_an_embedding_is_replaced(folder, examples):
    model, tokenizer = pair(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id >= model.get_input_embeddings().num_embeddings
    assert make_greedy(model, tokenizer, 5).pad_token_id == tokenizer.eos_token_id
    assert len(generate_rules(model, tokenizer, examples, seed=0, max_new_tokens=4)) == len(examples)


def test_an_end_of_text_without_an_embedding_is_refused(folder):
    model, tokenizer = pair(folder)
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    with pytest.raises(InputError, match=r"tokens that the model has embeddings for .*found '<\|im_end\|>'"):
        require_room_for_tokens(rung_of(folder), tokenizer, model)


def test_turns_without_embeddings_are_refused(folder):
    model, tokenizer = pair(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['content'] }}<eos>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    with pytest.raises(InputError, match=r"found '<\|im_start\|>' with the id"):
        require_room_for_tokens(rung_of(folder, template="chat"), tokenizer, model)


NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


@pytest.mark.parametrize(
    ("found", "quantised", "message"),
    [
        (
            NF4 | {"bnb_4bit_use_double_quant": True},
            False,
            r"expected unquantised weights, found .* \(bitsandbytes in 4",
        ),
        (NF4 | {"bnb_4bit_use_double_quant": False}, True, "expected weights in NF4 with double quantisation"),
        ({"quant_method": "gptq", "bits": 4}, False, r"quantised already \(gptq\)"),
    ],
)
def test_a_folder_that_is_quantised_already_is_refused(folder, found, quantised, message):
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": found}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_base(rung_of(folder), quantised=quantised)


def test_a_folder_in_nf4_serves_qlora(rungs, tmp_path):
    load_base(rungs["qwen2"], quantised=True).save_pretrained(tmp_path)
    model = load_base(rung_of(tmp_path), quantised=True)
    assert model.is_loaded_in_4bit


def damage(folder, kind):
    weights = folder / "model.safetensors"
    if kind == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n", encoding="utf-8")
    elif kind in ("bin", "gguf"):
        weights.rename(folder / f"model.{kind}")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pointer", "found a git-lfs pointer to them. Run 'git lfs pull'"),
        ("bin", r"expected weights in safetensors files, found weights in \.bin files\. Save the model"),
        ("gguf", "Give the file itself as the rung's gguf"),
    ],
)
def test_a_damaged_or_unusual_folder_is_explained_before_anything_runs(folder, kind, message):
    damage(folder, kind)
    with pytest.raises(InputError, match=message):
        load_base(rung_of(folder))


THINKING = (
    "{% for m in messages %}{{ m['role'] }}:{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
    "{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% if enable_thinking is defined and not enable_thinking %}"
    "<think></think>{% endif %}{% endif %}"
)


def test_a_template_that_writes_an_answer_otherwise_is_stopped_or_set_right(folder):
    tokenizer = load_tokenizer(rung_of(folder))
    tokenizer.chat_template = THINKING
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"found '<think></think>' before an answer, and '' to ask for one"):
        load_tokenizer(rung_of(folder, template="chat"))
    right = load_tokenizer(rung_of(folder, template="chat", template_variables={"enable_thinking": False}))
    asked = render(right, "a", [{"role": "user", "content": "{clause}"}])
    assert right.decode(asked) == "user:a<eos>assistant:<think></think>"


def test_a_control_token_inside_a_clause_is_text(folder):
    tokenizer = load_tokenizer(rung_of(folder))
    clause = "A <eos> is text."
    ids, spans = render_spans(tokenizer, clause)
    assert tokenizer.eos_token_id not in ids
    assert ids == render(tokenizer, clause)
    assert tokenizer.decode(ids) == DEFAULT_TEMPLATE.format(clause=clause)
    assert [clause[first:last] for first, last in spans if first >= 0 and last <= len(clause)] == list(clause)
    assert tokenizer.eos_token_id not in encode_target(tokenizer, "a<eos>")[0][:-1]


def test_padding_to_a_multiple_changes_no_loss(folder, examples):
    model, tokenizer = pair(folder)
    rows = encode_examples(tokenizer, examples, None, None)
    plain, labels = rule_losses(model, *make_tensors(rows))
    ids, target = make_tensors(rows, None, 32)
    assert ids.shape[1] % 32 == 0
    padded, same = rule_losses(model, ids, target, 32)
    assert torch.equal(labels, same)
    torch.testing.assert_close(padded, plain, rtol=1e-4, atol=1e-5)


def test_bfloat16_on_a_processor_is_for_large_models_that_gain_by_it(monkeypatch):
    from compliance_xai.models import training_loop

    settings = StrategySettings(kind="full")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for able, parameters, precision in ((True, 10**8, "bfloat16"), (True, 10**6, "float32"), (False, 10**8, "float32")):
        monkeypatch.setattr(training_loop, "computes_bfloat16", lambda able=able: able)
        assert choose_precision(settings, parameters) == precision
