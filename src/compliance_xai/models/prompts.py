"""Example -> token ids: one rendering for training, generation and attribution.

Prompt and target are tokenised separately and their ids joined, so no token spans the boundary between them, and the
target's tokens are the same whatever the clause. A chat is written out once, with a place for the clause in it; its
target ends as the model's own turns end (``end_turns_with_their_own_token``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from compliance_xai.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_TEMPLATE = "Clause: {clause}\nRule:\n"

Prompt: TypeAlias = "str | Sequence[Mapping[str, str]] | Template"
"""A string with ``{clause}``, or chat messages (``role``, ``content``) of which one content holds ``{clause}``."""


@dataclass(frozen=True)
class Template:
    """Text around ``{clause}``. ``complete``: a chat template wrote every special token, so none is added."""

    text: str
    complete: bool = False


@dataclass(frozen=True)
class Encoded:
    """Prompt and target as one row of token ids; ``target_start`` is the index of the target's first token."""

    ids: tuple[int, ...]
    target_start: int


def check_template(template: str) -> str:
    """The template itself, if it holds ``{clause}`` once.

    Raises
    ------
    InputError
        Otherwise.
    """
    if template.count("{clause}") != 1:
        expected, remedy = "text with {clause} in it exactly once", f"Write it as in the default: {DEFAULT_TEMPLATE!r}."
        raise InputError("prompt template", expected=expected, found=repr(template), remedy=remedy)
    return template


def make_template(tokenizer: PreTrainedTokenizerBase, prompt: Prompt | None = None) -> Template:
    """The text around the clause: ``DEFAULT_TEMPLATE`` by default, a chat written out once.

    Raises
    ------
    InputError
        If there is no ``{clause}`` in it, or more than one, or the tokenizer has no chat template for messages.
    """
    if isinstance(prompt, Template):
        return prompt
    if prompt is None or isinstance(prompt, str):
        return Template(check_template(DEFAULT_TEMPLATE if prompt is None else prompt))
    if not getattr(tokenizer, "chat_template", None):
        remedy = "Set tokenizer.chat_template, or give the prompt as a string with {clause}."
        raise _refuse(tokenizer, "a chat template, because the prompt is a list of messages", "none", remedy)
    return Template(check_template(_write_chat(tokenizer, prompt, answer=None)), complete=True)


def _refuse(tokenizer: Any, expected: str, found: str, remedy: str) -> InputError:
    return InputError(f"tokenizer {type(tokenizer).__name__}", expected=expected, found=found, remedy=remedy)


_VARIABLES = "_compliance_xai_template_variables"


def set_template_variables(tokenizer: Any, variables: Mapping[str, Any]) -> None:
    """Render the tokenizer's chat template with these variables from now on."""
    setattr(tokenizer, _VARIABLES, dict(variables))


_ONE_DAY = "{%- macro strftime_now(form) -%}{{ {'%Y-%m-%d': '2024-07-26'}.get(form, '26 Jul 2024') }}{%- endmacro -%}"
"""Some chat templates write today's date, which would make a study differ from day to day; this replaces the clock."""


def _write_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], answer: str | None) -> str:
    """A conversation as text, up to the model's turn, or with its answer."""
    from jinja2 import TemplateError

    turns = [dict(message) for message in messages]
    turns += [] if answer is None else [{"role": "assistant", "content": answer}]
    try:
        text: Any = tokenizer.apply_chat_template(
            turns,
            chat_template=_ONE_DAY + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=answer is None,
            **getattr(tokenizer, _VARIABLES, {}),
        )
    except TemplateError as error:
        expected = "a chat template that takes the turns " + ", ".join(turn["role"] for turn in turns)
        remedy = "Leave prompt.system out, and write its text into prompt.template."
        raise _refuse(tokenizer, expected, str(error), remedy) from error
    return text


def end_turns_with_their_own_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the token that ends a model's turn in a chat the tokenizer's end of text.

    Some chat models (Gemma) end a turn with another token than a text. Trained rules must end, and generated ones be
    cut, where the model's turn ends.

    Raises
    ------
    InputError
        If the tokenizer has no chat template, a turn does not end with a special token, or the template writes an
        answered conversation otherwise than as the prompt followed by the answer.
    """
    question, answer = [{"role": "user", "content": "{clause}"}], "{rule}"
    prompt = make_template(tokenizer, question).text
    before, _, tail = _write_chat(tokenizer, question, answer).rpartition(answer)
    if before.rstrip() != prompt.rstrip():  # a space before the answer belongs to the tokens of some tokenizers
        pairs = enumerate(zip(before, prompt, strict=False))
        same = next((index for index, (one, other) in pairs if one != other), min(len(before), len(prompt)))
        raise _refuse(
            tokenizer,
            "a chat template that writes the same before an answer as it writes to ask for one",
            f"{before[same:]!r} before an answer, and {prompt[same:]!r} to ask for one",
            "Set the template's variables for this rung, such as template_variables: {enable_thinking: false}, or "
            "write template: plain.",
        )
    ids: Any = tokenizer(tail.lstrip(), add_special_tokens=False)["input_ids"]
    if not ids or ids[0] not in tokenizer.all_special_ids + list(tokenizer.added_tokens_decoder):
        remedy = "Write template: plain for this rung, or chat: false in the study's prompt."
        raise _refuse(tokenizer, "a chat template whose turns end with a special token", repr(tail), remedy)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[0])


def render(tokenizer: PreTrainedTokenizerBase, clause: str, template: Prompt = DEFAULT_TEMPLATE) -> list[int]:
    """Token ids of the prompt; the clause is put in as it is, braces included.

    The beginning-of-text token comes first if the tokenizer adds one by itself, and never twice. A chat template
    decides its place itself.
    """
    return render_all(tokenizer, [clause], template)[0]


def render_all(
    tokenizer: PreTrainedTokenizerBase, clauses: Sequence[str], template: Prompt = DEFAULT_TEMPLATE
) -> list[list[int]]:
    """``render`` of many clauses, cut into tokens in one call."""
    return [ids for ids, _ in _encode_prompts(tokenizer, clauses, template)] if clauses else []


def render_spans(
    tokenizer: Any, clause: str, template: Prompt = DEFAULT_TEMPLATE
) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of the prompt, and the characters of the clause that each token covers.

    Spans are offsets into ``clause``; they reach below 0 or beyond its length for tokens of the text around it.
    """
    return _encode_prompts(tokenizer, [clause], template)[0]


def _encode_prompts(
    tokenizer: Any, clauses: Sequence[str], template: Prompt
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Ids and spans of prompts.

    A clause that holds the text of a control token is tokenised apart from the text around it, because inside the
    clause it is text; every other one is tokenised together with it.
    """
    chosen = make_template(tokenizer, template)
    added = [] if chosen.complete else tokenizer("")["input_ids"][:1]
    opening = added if added == [tokenizer.bos_token_id] else []  # what the tokenizer puts before any text
    marks = _find_marks(tokenizer)
    before, _, after = chosen.text.partition("{clause}")
    plain = [clause for clause in clauses if not any(mark in clause for mark in marks)]
    texts = [before + clause + after for clause in plain]
    options = {"add_special_tokens": False, "return_offsets_mapping": True}
    encoded: Any = tokenizer(texts, **options) if texts else {"input_ids": [], "offset_mapping": []}
    found = dict(zip(plain, zip(encoded["input_ids"], encoded["offset_mapping"], strict=True), strict=True))
    rows = []
    for clause in clauses:
        if clause in found:
            ids, spans = list(found[clause][0]), [(a - len(before), b - len(before)) for a, b in found[clause][1]]
        else:
            ids, spans, start = [], [], -len(before)
            for part, control in ((before, True), (clause, False), (after, True)):
                cut: Any = tokenizer(part, **options, split_special_tokens=not control)
                ids += cut["input_ids"]
                spans += [(first + start, last + start) for first, last in cut["offset_mapping"]]
                start += len(part)
        if ids[: len(opening)] != opening:
            ids, spans = [*opening, *ids], [*[(-len(before) - 1,) * 2] * len(opening), *spans]
        rows.append((ids, spans))
    return rows


def _find_marks(tokenizer: Any) -> list[str]:
    """Texts that a tokenizer reads as control tokens, such as the end of a turn."""
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content]


def encode_target(tokenizer: PreTrainedTokenizerBase, rule: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of a target and their character spans; the end-of-text token comes last, with an empty span.

    Raises
    ------
    InputError
        If the tokenizer has no end-of-text token or gives no character offsets.
    """
    if tokenizer.eos_token_id is None:
        raise _refuse(tokenizer, "an end-of-text token", "none", "Set tokenizer.eos_token before use.")
    if not tokenizer.is_fast:
        remedy = "Convert it (AutoTokenizer with use_fast=True) or use the model's tokenizer.json."
        raise _refuse(tokenizer, "a fast tokenizer, which gives character offsets", "a slow one", remedy)
    control = any(mark in rule for mark in _find_marks(tokenizer))
    encoded: Any = tokenizer(rule, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=control)
    eos: Any = tokenizer.eos_token_id
    ids: list[int] = [*encoded["input_ids"], eos]
    return ids, [*((start, end) for start, end in encoded["offset_mapping"]), (len(rule), len(rule))]


def encode(tokenizer: PreTrainedTokenizerBase, clause: str, rule: str, template: Prompt = DEFAULT_TEMPLATE) -> Encoded:
    """Prompt and target as one row, for training."""
    prompt = render(tokenizer, clause, template)
    target, _ = encode_target(tokenizer, rule)
    return Encoded((*prompt, *target), len(prompt))


def share_lost(tokenizer: PreTrainedTokenizerBase, rules: Sequence[str]) -> float:
    """Share of rules that the tokenizer cannot write exactly: lower case only, other spaces, lost accents."""
    targets = [encode_target(tokenizer, rule)[0][:-1] for rule in rules]
    written = tokenizer.batch_decode(targets, skip_special_tokens=True)
    return sum(text != rule for text, rule in zip(written, rules, strict=True)) / len(rules)
