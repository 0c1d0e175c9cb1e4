"""Write copies of embedded models whose weight matrices were quantised to a GGUF type and dequantised again.

The study 'quantised-start' asks whether a start from quantised weights, as models that travel in GGUF files have it,
changes what fine-tuned models read. Run in the project's folder: python scripts/round_weights.py
"""

import shutil
from pathlib import Path

from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file, save_file

from compliance_xai.files import write_atomic
from compliance_xai.study.folders import find_data_folder

SIZES = ("1m", "4m")
TYPES = ("Q4_1", "Q5_0")
BLOCK = 32
"""Weights of a row that share a scale; a matrix whose rows do not divide into blocks would stay as it is."""


def round_weights(source: Path, name: str, target: Path) -> None:
    """Copy a model's folder with every matrix rounded; vectors stay as they are, as in GGUF files."""
    kind = GGMLQuantizationType[name]
    with write_atomic(target) as part:
        shutil.copytree(source, part, ignore=shutil.ignore_patterns("README.md", "training.json"))
        weights = load_file(part / "model.safetensors")
        for key, values in weights.items():
            if values.ndim == 2 and values.shape[1] % BLOCK == 0:
                weights[key] = dequantize(quantize(values, kind), kind)
        save_file(weights, part / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    ladder = find_data_folder() / "ladders" / "embedded"
    for size in SIZES:
        for name in TYPES:
            folder = find_data_folder() / "external" / "models" / f"{size}_{name.lower()}"
            round_weights(ladder / size, name, folder)
            print(folder)
