from .attribute_picked_stage import attribute_picked
from .attribute_stage import attribute_cell
from .contexts_stage import compare_contexts
from .corpus_stage import prepare_corpus
from .faithfulness_stage import judge_attribution
from .findings_stage import judge_claims
from .finetune_stage import finetune_cell
from .generate_stage import generate_cell
from .ladder_stage import describe_ladder
from .pick_stage import pick_protocols
from .protocols_stage import compare_protocols
from .scales_stage import compare_scales
from .stages import StageResult, read_stage, show_provenance
from .strategies_stage import compare_strategies
from .summary_stage import Summary, summarise
