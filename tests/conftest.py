"""Fixtures that several rooms share."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

STUDY = """\
name: toy
title: A toy study
corpus: {source: synthetic}
ladder: toy
scales: [s, m]
strategies:
  none: {}
  full: {steps: 5}
  lora: {steps: 5}
thresholds: {bootstrap: 100, permutations: 100}
"""

HEAD = """\
# %% [markdown]
# # {title}
#
# Some prose.

# %% tags=["parameters"]
study = "studies/toy.yaml"
"""

WORK = """
# %%
from pathlib import Path

from compliance_xai.pipeline.stages import run_stage


def work(task):
    task.clear_once()
    Path(task.folder / "made.txt").write_text(task.job.key)


result = run_stage(study, {arguments}, work=work)
print(result.manifest["stage"])
"""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real inputs that lie beside the checkout and are no part of it; absent for most people."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real inputs (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def shared_inputs() -> Path:
    """Small inputs that failed once when people used them; beside the checkout, as ``shared_data``."""
    folder = REPOSITORY.parent / "shared" / "inputs"
    if not folder.is_dir():
        pytest.skip("the collected inputs (../shared/inputs) are not beside this checkout")
    return folder


@dataclass(frozen=True)
class Toy:
    """A project whose notebooks write a text file instead of training: the whole grid in seconds."""

    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "studies" / "toy.yaml"

    def notebook(self, name: str) -> Path:
        return self.folder / "notebooks" / name

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Toy:
    from compliance_xai.pipeline.grid import STAGES

    project = tmp_path / "project"
    for name in ("studies", "notebooks", "book", "data/synthetic", "data/ladders/toy"):
        project.joinpath(name).mkdir(parents=True)
    shutil.copy(REPOSITORY / "Snakefile", project)
    shutil.copytree(REPOSITORY / "profiles", project / "profiles")
    (project / "studies" / "toy.yaml").write_text(STUDY, encoding="utf-8")
    (project / "data" / "synthetic" / "SHA256SUMS").write_text("0  train.jsonl\n", encoding="utf-8")
    ladder = project / "data" / "ladders" / "toy"
    rungs = ""
    for index, scale in enumerate(("s", "m")):
        (ladder / scale).mkdir()
        (ladder / scale / "config.json").write_text(f'{{"scale": "{scale}"}}', encoding="utf-8")
        rungs += f"- {{name: {scale}, path: {scale}, parameters: {index + 1}}}\n"
    (ladder / "ladder.yaml").write_text(f"name: toy\nrungs:\n{rungs}", encoding="utf-8")
    for stage in STAGES.values():
        arguments = f"{stage.name!r}" + (", scale, strategy" if stage.per_cell else "")
        text = HEAD.format(title=stage.title)
        text += 'scale = "s"\nstrategy = "full"\n' if stage.per_cell else ""
        (project / "notebooks" / stage.notebook).write_text(text + WORK.format(arguments=arguments), encoding="utf-8")
    monkeypatch.setenv("COMPLIANCE_XAI_PROJECT", str(project))
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(project / "data"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(project)
    return Toy(project)
