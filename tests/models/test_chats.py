"""Four families of tokenizers, plain and as a chat: one beginning, no token across the boundary, one end."""

import pytest
import torch
from tiny_checkpoints import make_model
from tokenizer_styles import STYLES, TURN_END, make_style

from compliance_xai.attribution.explain import attribute_many
from compliance_xai.attribution.options import Options
from compliance_xai.errors import InputError
from compliance_xai.models.finetuning import finetune
from compliance_xai.models.generation import generate_rules
from compliance_xai.models.loading import load_tokenizer
from compliance_xai.models.prompts import (
    encode,
    encode_target,
    end_turns_with_their_own_token,
    make_template,
    render,
    render_spans,
)
from compliance_xai.models.strategies import load_trained
from compliance_xai.records import Example
from compliance_xai.study.ladders import Rung
from compliance_xai.study.strategy_settings import StrategySettings

CLAUSE = "A door shall be at least 850 mm wide; see § 3.2."
RULE = "if(exist(door)),then(obligation(greaterThanEqual(door.width,850 mm)))"
PLAIN = "Clause: {clause}\nRule:\n"
CHAT = [{"role": "user", "content": PLAIN}]


@pytest.fixture(scope="module")
def tokenizers():
    made = {style: make_style(style) for style in STYLES}
    for tokenizer in made.values():
        end_turns_with_their_own_token(tokenizer)
    return made


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("prompt", [PLAIN, CHAT], ids=["plain", "chat"])
def test_a_prompt_begins_once_and_holds_the_clause(tokenizers, style, prompt):
    tokenizer = tokenizers[style]
    ids, spans = render_spans(tokenizer, CLAUSE, make_template(tokenizer, prompt))
    assert ids.count(tokenizer.bos_token_id) == (0 if style == "qwen2" else 1)
    assert style == "qwen2" or ids[0] == tokenizer.bos_token_id
    assert CLAUSE in tokenizer.decode(ids)
    covered = {place for start, end in spans if start < end for place in range(max(start, 0), min(end, len(CLAUSE)))}
    assert covered >= set(range(1, len(CLAUSE)))


@pytest.mark.parametrize("style", ["llama3", "mistral", "gemma"])
def test_a_template_that_writes_the_beginning_itself_is_given_no_second(tokenizers, style):
    tokenizer = tokenizers[style]
    ids = render(tokenizer, CLAUSE, tokenizer.bos_token + PLAIN)
    assert ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("prompt", [PLAIN, CHAT], ids=["plain", "chat"])
def test_no_token_lies_across_the_boundary(tokenizers, style, prompt):
    tokenizer = tokenizers[style]
    template = make_template(tokenizer, prompt)
    row = encode(tokenizer, CLAUSE, RULE, template)
    target, spans = encode_target(tokenizer, RULE)
    assert list(row.ids[: row.target_start]) == render(tokenizer, CLAUSE, template)
    assert list(row.ids[row.target_start :]) == target
    assert encode(tokenizer, "Another.", RULE, template).ids[-len(target) :] == tuple(target)
    assert tokenizer.decode(target, skip_special_tokens=True) == RULE
    assert "".join(RULE[start:end] for start, end in spans) == RULE
    if prompt is PLAIN:  # these tokenizers would have joined the line's end to the rule
        joined = tokenizer(template.text.replace("{clause}", CLAUSE) + RULE, add_special_tokens=False)["input_ids"]
        assert [i for i in row.ids if i != tokenizer.bos_token_id] != [*joined, tokenizer.eos_token_id]


@pytest.mark.parametrize("style", STYLES)
def test_a_trained_row_is_the_conversation_that_the_model_knows(tokenizers, style):
    tokenizer = tokenizers[style]
    row = encode(tokenizer, CLAUSE, RULE, make_template(tokenizer, CHAT))
    turns = [{"role": "user", "content": PLAIN.replace("{clause}", CLAUSE)}, {"role": "assistant", "content": RULE}]
    today = tokenizer.get_chat_template().replace("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024")
    whole = tokenizer.apply_chat_template(turns, chat_template=today, tokenize=False)
    assert whole.rstrip("\n").endswith(TURN_END[style])
    assert tokenizer.decode(row.ids) == tokenizer.decode(
        tokenizer(whole.rstrip("\n"), add_special_tokens=False)["input_ids"]
    )
    assert tokenizer.convert_ids_to_tokens(row.ids[-1]) == tokenizer.eos_token == TURN_END[style]


def test_a_chat_template_is_told_one_day_for_ever(tokenizers):
    assert "Today: 26 Jul 2024" in make_template(tokenizers["llama3"], CHAT).text


@pytest.mark.parametrize(("style", "takes"), [("qwen2", True), ("llama3", True), ("mistral", False), ("gemma", False)])
def test_a_system_turn_is_written_or_refused(tokenizers, style, takes):
    turns = [{"role": "system", "content": "Be exact."}, *CHAT]
    if takes:
        assert "Be exact." in make_template(tokenizers[style], turns).text
    else:
        with pytest.raises(InputError, match=r"a chat template that takes the turns system, user, found .*role"):
            make_template(tokenizers[style], turns)


def test_a_chat_rung_ends_where_its_model_ends_a_turn_and_a_plain_one_as_before(tmp_path):
    make_style("gemma").save_pretrained(tmp_path)
    assert load_tokenizer(Rung("a", str(tmp_path), 1, template="chat")).eos_token == "<end_of_turn>"
    assert load_tokenizer(Rung("a", str(tmp_path), 1)).eos_token == "<eos>"


def test_a_chat_without_a_template_or_an_end_is_refused(tmp_path):
    tokenizer = make_style("qwen2")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    with pytest.raises(InputError, match=r"expected a chat template whose turns end with a special token"):
        end_turns_with_their_own_token(tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="expected a chat template, because the prompt is a list of messages"):
        end_turns_with_their_own_token(tokenizer)


@pytest.mark.parametrize(
    ("style", "architecture"), list(zip(STYLES, ("qwen2", "llama", "mistral", "gpt2"), strict=True))
)
def test_training_generation_and_attribution_see_the_same_conversation(tmp_path, style, architecture):
    tokenizer = make_style(style)
    make_model(architecture, len(tokenizer)).save_pretrained(tmp_path / "rung")
    tokenizer.save_pretrained(tmp_path / "rung")
    rung = Rung("tiny", str(tmp_path / "rung"), 1, template="chat")
    settings = StrategySettings(kind="full", steps=2, batch_size=2, evaluations=1, learning_rate=1e-3)
    examples = [Example(f"c{i}", f"A door is {i} mm wide.", f"if(wide({i}))", "", "train") for i in range(4)]
    result = finetune(rung, "full", settings, examples, examples, seed=0, out=tmp_path / "out", template=CHAT)
    model, tokenizer = load_trained(rung, settings, tmp_path / "out")
    found = list(attribute_many(model, tokenizer, examples, Options(prompt=CHAT)))
    nats = [-float(attribution.baseline_log_probs.sum()) for attribution in found]
    tokens = sum(len(attribution.target_tokens) for attribution in found)
    trained_loss = result.log[result.log["split"] == "validation"]["loss"].iloc[-1]
    assert sum(nats) / tokens == pytest.approx(trained_loss, rel=1e-4)
    written = generate_rules(model, tokenizer, examples[:1], seed=0, template=CHAT, max_new_tokens=1)[0]
    prompt = torch.tensor([render(tokenizer, examples[0].clause, make_template(tokenizer, CHAT))])
    with torch.inference_mode():
        first = int(model(input_ids=prompt).logits[0, -1].argmax())
    assert written.rule == (
        "" if first == tokenizer.eos_token_id else tokenizer.decode([first], skip_special_tokens=True)
    )
