"""The corpus stage: reads the study's clauses and rules, and describes them."""

import pandas as pd

from compliance_xai.corpus.corpora import Corpus
from compliance_xai.corpus.description import describe_corpus
from compliance_xai.pipeline.grid import find_corpus_path
from compliance_xai.pipeline.stage_examples import load_examples, read_corpus, read_vocabulary
from compliance_xai.pipeline.stages import Work, stage
from compliance_xai.records import Example, write_records


@stage
def corpus(work: Work) -> dict[str, pd.DataFrame]:
    """Read, check and describe the study's clauses and rules.

    Returns
    -------
    StageResult
        ``examples`` (``records.EXAMPLE_SCHEMA``: what the study uses), ``counts``, ``roles``, ``lengths``,
        ``categories``, ``shown`` (as ``corpus.description`` gives them) and ``notes`` (``note``: what a reader of
        results must know about the source).
    """
    source = read_corpus(work.study)
    examples = [example for split in load_examples(work.study).values() for example in split]
    used = Corpus(source.name, tuple(examples), source.source_sha256, source.notes)
    path = find_corpus_path(work.study)
    if path is not None and path.is_file():
        work.read(path)
    tables = describe_corpus(used, vocabulary=read_vocabulary(work.study))
    write_records(Example, examples, work.new_file("examples.parquet"))
    return tables | {"notes": pd.DataFrame({"note": pd.Series(source.notes, dtype="str")})}
