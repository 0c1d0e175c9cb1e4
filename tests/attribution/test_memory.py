"""Memory is bounded by ``batch_tokens``, whatever the length of the clause and the number of rows."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from compliance_xai.attribution import Options, score_texts
import torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers
raw = Tokenizer(models.WordLevel({**{str(n): n for n in range(2047)}, "<eos>": 2047}, unk_token="0"))
raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>")
config = transformers.Qwen2Config(
    vocab_size=2048, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8,
    num_key_value_heads=4, max_position_embeddings=8192, tie_word_embeddings=True,
)
model = transformers.AutoModelForCausalLM.from_config(config).eval()
words = np.random.default_rng(0).integers(2, 2047, 4000).astype(str).tolist()
texts = [" ".join(words[:cut] + words[cut + 1 :]) for cut in (4000, 3900, 3000)]
found = score_texts(model, tokenizer, texts, " ".join(words[:60]), Options(prompt="{clause}"))
print(model.num_parameters(), found.shape, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def test_a_clause_of_4000_tokens_on_5_million_parameters_stays_under_2_gib():
    source = str(Path(__file__).resolve().parents[2] / "src")
    run = subprocess.run(
        [sys.executable, "-c", CODE, source], capture_output=True, text=True, timeout=300, check=False, env=os.environ
    )
    assert run.returncode == 0, run.stderr
    parameters, *shape, peak = run.stdout.split()
    assert parameters == "5249280"
    assert shape == ["(3,", "61)"]
    assert 0.2 < float(peak) < 2.0
