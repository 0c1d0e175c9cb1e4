"""Write the weights that lesson 1 uses: the quick study's fully fine-tuned 1M model, as float16.

Run the study first: ``compliance-xai study run quick``.
"""

from safetensors.torch import save_file

from compliance_xai.pipeline.cells import open_model
from compliance_xai.pipeline.lessons import TUNED
from compliance_xai.study.settings import load_study

model = open_model(load_study("quick"), "1m", "full", None, current=True).model
weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
TUNED.parent.mkdir(parents=True, exist_ok=True)
save_file(weights, TUNED)
print(f"{TUNED}: {TUNED.stat().st_size / 1e6:.1f} MB")
