import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import make_tokenizer

from compliance_xai.errors import InputError
from compliance_xai.models.prompts import DEFAULT_TEMPLATE, check_template, encode, encode_target, render

PLAIN = make_tokenizer(bos=False)
OPENING = make_tokenizer(bos=True)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(ANY_TEXT)
@settings(deadline=None)
def test_the_prompt_holds_the_clause_untouched_whatever_it_says(clause):
    ids = render(PLAIN, clause)
    assert PLAIN.decode(ids) == DEFAULT_TEMPLATE.replace("{clause}", clause)


@given(ANY_TEXT, ANY_TEXT)
@settings(deadline=None)
def test_prompt_and_target_never_share_a_token(clause, rule):
    row = encode(PLAIN, clause, rule)
    target, _ = encode_target(PLAIN, rule)
    assert row.ids[: row.target_start] == tuple(render(PLAIN, clause))
    assert row.ids[row.target_start :] == tuple(target)


def test_target_tokens_carry_their_characters_and_end_with_an_empty_span():
    rule = "has(a,b)"
    ids, offsets = encode_target(PLAIN, rule)
    assert [rule[start:end] for start, end in offsets] == [*rule, ""]
    assert ids[-1] == PLAIN.eos_token_id


def test_the_opening_token_comes_once():
    bos = OPENING.bos_token_id
    assert render(OPENING, "A door.").count(bos) == 1
    assert render(OPENING, "A door.", "<bos>Clause: {clause}\n").count(bos) == 1
    assert encode_target(OPENING, "a")[0].count(bos) == 0
    assert render(PLAIN, "A door.").count(bos) == 0


@pytest.mark.parametrize("template", ["no place for it", "{clause} and {clause}"])
def test_a_template_must_hold_the_clause_once(template):
    with pytest.raises(InputError, match=r"expected text with {clause} in it exactly once"):
        check_template(template)


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = make_tokenizer(bos=False)
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="expected an end-of-text token, found none"):
        encode_target(tokenizer, "a")
