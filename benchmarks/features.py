"""How well the feature categories agree with people: CODE-ACCORD's labels, on both of its published splits.

    compliance-xai corpus fetch code-accord-train
    compliance-xai corpus fetch code-accord-test
    python benchmarks/features.py [folder of the two files]

writes ``benchmarks/results/features.json`` and ``features.md``. The word lists were tuned on the train split and never
on the test split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from code_accord import count_disagreements, measure_agreement, read_entities
from keep import keep_result

from compliance_xai.corpus.download import PUBLIC_FILES
from compliance_xai.files import sha256_file
from compliance_xai.pipeline.code_keys import code_digest
from compliance_xai.study.folders import find_data_folder

SPLITS = {"train": "tuned on", "test": "held out"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the feature categories with CODE-ACCORD's labels.")
    parser.add_argument("folder", nargs="?", type=Path, default=find_data_folder() / "external")
    folder = parser.parse_args().folder
    result: dict = {"code": code_digest(["compliance_xai.corpus.features"], leave_out=()), "splits": []}
    for split, role in SPLITS.items():
        path = folder / PUBLIC_FILES[f"code-accord-{split}"].filename
        sentences = read_entities(path)
        result["splits"].append(
            {
                "split": split,
                "role": role,
                "sha256": sha256_file(path),
                "sentences": len(sentences),
                "labels": measure_agreement(sentences).to_dict("records"),
                "disagreements": count_disagreements(sentences),
            }
        )
    keep_result("features", result, write_markdown(result))


def write_markdown(result: dict) -> str:
    """A row per split and label."""
    lines = [
        "# Feature categories against people's labels",
        "",
        "Words of CODE-ACCORD, by `python benchmarks/features.py`; F1 with a 95 % bootstrap interval over sentences.",
        "",
        "| split | label | words | precision | recall | F1 |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for split in result["splits"]:
        place = f"{split['split']} ({split['role']}, {split['sentences']} sentences)"
        for row in split["labels"]:
            shares = " | ".join(f"{row[name]:.2f}" for name in ("precision", "recall", "f1"))
            interval = f"({row['low']:.2f} to {row['high']:.2f})"
            lines.append(f"| {place} | {row['label']} | {row['words']} | {shares} {interval} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
