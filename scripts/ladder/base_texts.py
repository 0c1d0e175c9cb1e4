"""The text that the embedded ladder is pre-trained on, and its tokenizer.

Five kinds of document, drawn from a seed:

``pair``
    a clause and its rule in one of two *base* notations (never in the fine-tuning target); combinations that the
    validation and test splits hold out, and the held-out context, do not occur.
``clause``
    plain clause text, the held-out context included.
``glossary``
    phrases of the whole vocabulary with their identifiers (``exit door = exitDoor``), keywords with their symbols.
``code``
    meaningless call trees over the target notation's keywords, copied or checked for balance; they exercise
    the keywords' embeddings without saying what any clause means.
``echo``
    random token sequences copied, so that *every* token of the vocabulary, the odd bytes included, has been trained
    as an input and as an output. Without it, adapters that freeze the embeddings could not learn keywords that
    pre-training never touched, and that would look like a difference between fine-tuning strategies.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from compliance_xai.corpus.synthetic.build import BASE_NOTATIONS, BASE_TEMPLATES, make_example
from compliance_xai.corpus.synthetic.meaning import LIST_WORDS, draw_meaning
from compliance_xai.corpus.synthetic.vocabulary import CONTEXTS, SYMBOLS, SYSTEMS, USES, camel, plural

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

KINDS = {"pair": 66, "clause": 6, "glossary": 12, "code": 8, "echo": 8}
"""Share of documents of each kind, in per cent."""

SPLIT_PATTERN = r"[0-9]| ?[A-Z]?[a-z]+| ?[A-Z]+(?![a-z])| ?[^\sA-Za-z0-9]+|\s+"
"""Digits one by one, and a new piece at every hump of a camelCase name: numbers and names are copied in parts."""


def build_tokenizer(seed: int = 0, *, vocabulary_size: int = 1280, documents: int = 20_000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the pre-training text; lossless on any Unicode string."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=20,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    stream = text_documents(seed)
    tokenizer.train_from_iterator(("".join(next(stream)) for _ in range(documents)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|pad|>")


def text_documents(seed: int | str) -> Iterator[tuple[str, str]]:
    """Endless documents but for ``echo``, as (given, asked) parts; plain text has an empty first part."""
    rng = random.Random(f"pretraining/{seed}")
    names = {kind: share for kind, share in KINDS.items() if kind != "echo"}
    writers = {"pair": _pair, "clause": _clause, "glossary": _glossary, "code": _code}
    while True:
        kind = rng.choices(list(names), list(names.values()))[0]
        yield writers[kind](rng)


def _pair(rng: random.Random) -> tuple[str, str]:
    notation = rng.choice(list(BASE_NOTATIONS))
    meaning = draw_meaning(rng, "train")
    example = make_example(meaning, rng, identifier="", split="train")
    return BASE_TEMPLATES[notation].format(clause=example.clause), BASE_NOTATIONS[notation](meaning)


def _clause(rng: random.Random) -> tuple[str, str]:
    split = "document" if rng.random() < 0.3 else "train"
    return "", make_example(draw_meaning(rng, split), rng, identifier="", split=split).clause


def _phrases() -> list[str]:
    phrases: list[str] = [
        *USES,
        *SYSTEMS,
        "requirement",
        "building",
        "material",
        "location",
        "occupant load",
        "storeys",
        "use",
    ]
    for context in CONTEXTS:
        phrases += [*context.places, *(name.lower() for name in context.standards)]
        for item in context.items:
            phrases += [item.name, *item.accessories, *item.places, *(prop.name for prop in item.properties)]
            phrases += [f"{item.name} {prop.name}" for prop in item.properties]
    return phrases


_PHRASES = _phrases()
_UNITS = sorted({prop.unit for context in CONTEXTS for item in context.items for prop in item.properties} - {":"})


def _glossary(rng: random.Random) -> tuple[str, str]:
    entries = []
    for phrase in rng.sample(_PHRASES, rng.randint(3, 6)):
        shown = plural(phrase) if rng.random() < 0.4 else phrase
        name = phrase.replace(" ", "_") if phrase[:3] in ("nzs", "as ") else camel(phrase)
        entries.append(f"{shown} = {name}" if rng.random() < 0.7 else f"{name}: {shown}")
    if rng.random() < 0.3:
        keyword, symbol = rng.choice(list(SYMBOLS.items()))
        entries.append(f"{keyword} is {symbol}" if rng.random() < 0.5 else f"{symbol} is {keyword}")
    if rng.random() < 0.2:
        entries.append("units: " + ", ".join(rng.sample(_UNITS, 4)))
    return "", "Glossary: " + "; ".join(entries)


def _code(rng: random.Random) -> tuple[str, str]:
    tree = _tree(rng, rng.randint(1, 3))
    task = rng.randrange(3)
    if task == 0:
        return f"Copy: {tree}\n", tree
    if task == 1:
        return f"Copy twice: {tree}\n", f"{tree}; {tree}"
    cut = rng.randrange(1, len(tree))
    return f"Complete: {tree[:cut]}\nGiven: {tree}\n", tree[cut:]


def _tree(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.15:
        return _leaf(rng)
    arguments = ",".join(_tree(rng, depth - 1) for _ in range(rng.randint(1, 3)))
    return f"{rng.choice([*LIST_WORDS])}({arguments})"


def _leaf(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.randint(1, 2500)} {rng.choice(_UNITS)}"
    if kind == 1:
        return f"{rng.choice('abcdefghijlp')}{rng.randint(1, 4)}_{rng.choice(('t', ''))}{rng.randint(1, 9)}"
    first = camel(rng.choice(_PHRASES).replace("_", " "))
    return first if kind == 2 else f"{first}.{camel(rng.choice(_PHRASES))}"


def token_documents(seed: int | str, tokenizer: Any) -> Iterator[tuple[list[int], int]]:
    """Endless pre-training documents as token ids ending in end-of-text, and how many of them are given.

    The loss weighs the given part (a clause, the text to copy) less than the rest.
    """
    rng = random.Random(f"echo/{seed}")
    texts = text_documents(seed)
    prompt, line = tokenizer("Echo: ")["input_ids"], tokenizer("\n")["input_ids"]
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    eos = tokenizer.eos_token_id
    deck: list[int] = []
    while True:
        if rng.random() * 100 < KINDS["echo"]:
            size = rng.randint(8, 32)
            if len(deck) < size:
                # A new shuffled deck on top of what is left: every token comes equally often.
                deck = rng.sample(ordinary, len(ordinary)) + deck
            sample, deck = deck[-size:], deck[:-size]
            given = [*prompt, *sample, *line]
            yield [*given, *sample, eos], len(given)
        else:
            given_text, asked = next(texts)
            given = tokenizer(given_text)["input_ids"] if given_text else []
            yield [*given, *tokenizer(asked)["input_ids"], eos], len(given)
