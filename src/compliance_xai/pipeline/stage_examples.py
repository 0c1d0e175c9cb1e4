"""Which examples each stage of a study works on."""

from collections import Counter
from collections.abc import Iterable

from compliance_xai.corpus.corpora import Corpus, load_corpus
from compliance_xai.corpus.table_source import TableOptions
from compliance_xai.errors import InputError
from compliance_xai.pipeline.grid import find_corpus_path
from compliance_xai.records import SPLITS, Example
from compliance_xai.study.settings import Study


def read_corpus(study: Study) -> Corpus:
    """The study's corpus, all of it."""
    settings = study.corpus
    options = TableOptions(**settings.table_options) if settings.source == "table" else None
    path = find_corpus_path(study)
    return load_corpus(settings.source, path=path, scheme=settings.scheme, seed=settings.seed, options=options)


def read_vocabulary(study: Study) -> dict[str, str] | None:
    """Phrase -> feature category, if the corpus brings its own vocabulary (the synthetic one does)."""
    if study.corpus.source != "synthetic":
        return None
    from compliance_xai.corpus.synthetic.vocabulary import words_of_category

    return words_of_category()


def load_examples(study: Study) -> dict[str, list[Example]]:
    """Split -> the examples that the study uses; a split that the corpus lacks is not there."""
    corpus = read_corpus(study)
    chosen = {}
    for split in SPLITS:
        members = [example for example in corpus if example.split == split]
        count = getattr(study.corpus, split)
        if members or count:
            chosen[split] = take_in_turn(members, count, f"study {study.name!r}, key 'corpus.{split}'")
    return chosen


def read_split(study: Study, name: str, splits: dict[str, list[Example]] | None = None) -> list[Example]:
    """The examples of one split that the study uses, from ``splits`` if those are loaded; an error if it has none."""
    return (splits or load_examples(study)).get(name) or read_corpus(study).split(name)


def evaluated_examples(study: Study) -> list[Example]:
    """What rules are generated for: the evaluated split and the held-out documents or context, if there are any."""
    splits = load_examples(study)
    return [*read_split(study, study.corpus.evaluate_on, splits), *splits.get("document", [])]


def attributed_examples(study: Study) -> list[Example]:
    """What is attributed: the first clauses of the evaluated split, and of the held-out documents where asked for."""
    evaluated = evaluated_examples(study)
    settings, name = study.attribution, study.name
    main = [example for example in evaluated if example.split == study.corpus.evaluate_on]
    held_out = [example for example in evaluated if example.split == "document"]
    return [
        *take_in_turn(main, settings.clauses, f"study {name!r}, key 'attribution.clauses'"),
        *take_in_turn(held_out, settings.document_clauses, f"study {name!r}, key 'attribution.document_clauses'"),
    ]


def take_in_turn(examples: Iterable[Example], count: int | None, where: str) -> list[Example]:
    """The first ``count`` examples, taken from each context in turn, so that few of them still show every context."""
    examples = list(examples)
    if count is None:
        return examples
    if count > len(examples):
        expected, remedy = f"at most the {len(examples)} examples there are", "Ask for fewer, or leave the key out."
        raise InputError(where, expected=expected, found=str(count), remedy=remedy)
    places, seen, turns = {}, Counter(), []
    for example in examples:
        turns.append((seen[example.context], places.setdefault(example.context, len(places)), example))
        seen[example.context] += 1
    return [example for *_, example in sorted(turns, key=lambda turn: turn[:2])][:count]
