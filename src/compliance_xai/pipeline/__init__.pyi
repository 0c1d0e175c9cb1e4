from .attribute_stage import attribute
from .compare_sizes_stage import compare_sizes
from .compare_strategies_stage import compare_strategies
from .contexts_stage import contexts
from .corpus_stage import corpus
from .faithfulness_stage import faithfulness
from .findings_stage import findings
from .finetune_stage import finetune
from .generate_stage import generate
from .ladder_stage import ladder
from .raw_frames import declare, recompute
from .stages import StageResult, open_study, read_stage, show_provenance
from .summary_stage import Summary, summary
