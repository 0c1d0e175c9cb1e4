from .attribution.engine import score_masks, score_texts
from .attribution.explain import attribute
from .corpus.corpora import Corpus, load_corpus
from .corpus.counterfactuals import collect_pool
from .corpus.description import describe_corpus
from .corpus.download import fetch_corpus
from .corpus.features import perturb, segment
from .corpus.table_source import TableOptions
from .errors import InputError
from .records import Attribution, Example, Feature, Generation, Link
from .rules.notation.parse import parse_rule
from .rules.notation.tolerant import read_tolerant
from .rules.notation.tree import format_rule
from .rules.scores import score_rules
from .study.ladders import load_ladder
from .study.settings import Study, load_study

__version__: str
