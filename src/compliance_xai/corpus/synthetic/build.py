"""Builds the synthetic corpus from a seed, with gold alignment; byte-identical on every machine."""

import random
from collections.abc import Iterator

from compliance_xai.corpus.synthetic.meaning import Meaning, base_rule, draw_meaning, list_rule, rule_pieces
from compliance_xai.corpus.synthetic.wording import clause_words
from compliance_xai.records import Example, Link

SIZES = {"train": 1600, "validation": 200, "test": 300, "document": 200}


def build_corpus(seed: int = 2026, sizes: dict[str, int] = SIZES) -> list[Example]:
    """The examples of every split, in a fixed order; no clause occurs twice.

    ``seed`` decides everything; the shipped corpus uses the default. ``sizes`` are pairs per split.
    """
    examples: list[Example] = []
    seen: set[str] = set()
    for split, size in sizes.items():
        rng = random.Random(f"{seed}/{split}")
        count = 0
        while count < size:
            example = make_example(draw_meaning(rng, split), rng, identifier=f"syn-{split}-{count:04d}", split=split)
            if example.clause in seen:
                continue
            seen.add(example.clause)
            examples.append(example)
            count += 1
    return examples


def make_example(meaning: Meaning, rng: random.Random, *, identifier: str, split: str) -> Example:
    """One clause with its rule and gold alignment."""
    words, extra_number = clause_words(meaning, rng)
    clause, spans = "", {}
    for text, keys in words:
        for key in keys.split():
            spans.setdefault(key, []).append((len(clause), len(clause) + len(text)))
        clause += text
    rule, links = "", []
    for text, kind, keys in rule_pieces(meaning):
        if kind:
            decided_by = tuple(sorted(span for key in keys for span in spans[key]))
            # Brackets and commas that a keyword carries are not part of the element.
            links.append(Link(kind, len(rule), len(rule) + len(text.rstrip("(,")), decided_by))
        rule += text
    numbers = "decides" if any(link.kind == "value" for link in links) else "absent"
    role = "absent" if not meaning.identifier else "decides" if meaning.qualified else "distracts"
    return Example(identifier, clause, rule, meaning.context.name, split, tuple(links), role, extra_number or numbers)


BASE_NOTATIONS = {"infix": base_rule, "list": list_rule}
"""The notations that the embedded ladder is pre-trained on; neither shares a keyword with the fine-tuning target."""

BASE_TEMPLATES = {"infix": "Clause: {clause}\nShort form:\n", "list": "Clause: {clause}\nList form:\n"}
"""How each base notation is asked for in pre-training. Fine-tuning asks with another line, ``Rule:``."""

CURVE_CLAUSES = 32
"""Clauses of each base notation for a point of a pre-training's curve."""

ONE_THREAD = "one CPU thread"
"""What the ladder's training records name as their device unless it was a GPU."""


def base_pairs(seed: int | str, split: str = "train", notation: str = "infix") -> Iterator[tuple[str, str]]:
    """Endless (clause, rule in a base notation) pairs of one split; what the embedded ladder is pre-trained on."""
    rng = random.Random(f"base/{seed}/{split}/{notation}")
    while True:
        meaning = draw_meaning(rng, split)
        example = make_example(meaning, rng, identifier="", split=split)
        yield example.clause, BASE_NOTATIONS[notation](meaning)
