"""What a change to the code makes stale: everything it decides, and no training for a reworded message."""

import ast
import re
import shutil
from pathlib import Path

import pytest

import compliance_xai
from compliance_xai.errors import InputError
from compliance_xai.pipeline.code_keys import PACKAGE, UNDECIDING, code_digest, list_files
from compliance_xai.pipeline.grid import STAGES, make_jobs
from compliance_xai.study.settings import load_study

PLUMBING = {"errors", "machine", "cli", "corpus.download"}
"""Modules that move settings and files around; what a study sets is in the key by value, a file by its hash."""


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "pack", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "pack"


@pytest.fixture(scope="module")
def jobs():
    return make_jobs(load_study("hybrids"))


def edit(package, name, pattern, replacement):
    path = package / name
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
    assert count == 1, f"{name} holds nothing like {pattern}"
    path.write_text(text, encoding="utf-8")


def stale_stages(package, jobs):
    """The stages with a changed digest, and those that need one of them."""
    changed = {
        name
        for name, stage in STAGES.items()
        if code_digest((*stage.rooms, f"pipeline.{stage.module}"), package=package)
        != code_digest((*stage.rooms, f"pipeline.{stage.module}"))
    }
    for job in jobs.values():
        if any(jobs[name].stage in changed for name in job.needs):
            changed.add(job.stage)
    return changed


COMPARISONS = {"compare_strategies", "compare_sizes", "contexts", "findings"}


@pytest.mark.parametrize(
    ("name", "pattern", "replacement"),
    [
        ("rules/legalruleml/documents.py", r'found="', 'found="reworded '),
        ("rules/legalruleml/documents.py", r"\ndef ", "\nANSWER = 42\n\n\ndef "),
        ("study/yaml_files.py", r'remedy="', 'remedy="Reworded. '),
        ("corpus/download.py", r'expected="', 'expected="reworded '),
        ("corpus/checks.py", r'expected="', 'expected="reworded '),
        ("models/loading.py", r'remedy = "', 'remedy = "Reworded. '),
        ("models/training_loop.py", r'"""', '"""Reworded. '),
        ("attribution/engine.py", r'remedy="', 'remedy="Reworded. '),
        ("models/planning.py", r"\ndef ", "\nANSWER = 42\n\n\ndef "),
    ],
)
def test_words_and_undeciding_modules_make_nothing_stale(copy, jobs, name, pattern, replacement):
    edit(copy, name, pattern, replacement)
    assert stale_stages(copy, jobs) == set()


@pytest.mark.parametrize(
    ("name", "stale", "current"),
    [
        ("stats/contrasts.py", COMPARISONS, {"corpus", "finetune", "generate", "attribute"}),
        ("models/training_loop.py", {"finetune", "generate", "attribute", "faithfulness"} | COMPARISONS, {"corpus"}),
        ("attribution/focus.py", {"attribute"} | COMPARISONS, {"corpus", "finetune", "generate"}),
        ("rules/compare/equivalence.py", {"generate"} | COMPARISONS, {"corpus", "finetune", "attribute"}),
        ("rules/notation/parse.py", {"corpus", "finetune", "generate", "attribute"}, set()),
        ("corpus/features.py", {"corpus", "finetune", "attribute"}, set()),
        ("pipeline/finetune_stage.py", {"finetune", "generate", "attribute"}, {"corpus"}),
        ("records.py", {"corpus", "finetune", "generate", "attribute"}, set()),
    ],
)
def test_what_decides_results_makes_them_stale(copy, jobs, name, stale, current):
    edit(copy, name, r"\n(class|def|@)", r"\nANSWER = 42\n\n\n\1")
    found = stale_stages(copy, jobs)
    assert stale <= found
    assert not current & found


SOURCE = 'def check(x):\n    """Check."""\n    if x > 1:\n        raise InputError("x", found=str(x))\n    return x\n'


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Check.", "Look.", True),
        ('"x"', '"the x"', True),
        ("    if", "    # why\n    if", True),
        ("x > 1", "x > 2", False),
        ("return x", "return -x", False),
        ("raise InputError", "print", False),
    ],
)
def test_the_digest_sees_code_not_words(tmp_path, old, new, same):
    (tmp_path / "room.py").write_text(SOURCE, encoding="utf-8")
    before = code_digest(["room"], package=tmp_path)
    (tmp_path / "room.py").write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert (code_digest(["room"], package=tmp_path) == before) is same


LOCAL = """
def check(x):
    remedy, name = "Write 1.", "out"
    kept = {"a": 1}
    kept["b"] = "text"
    if x > 1:
        raise InputError("x", found=str(x), remedy=remedy)
    return name, kept
"""


@pytest.mark.parametrize(
    ("source", "old", "new", "same"),
    [
        (LOCAL, '"Write 1."', '"Write 2."', False),  # beside a text that is given back
        (LOCAL.replace("remedy, name = ", "remedy = ").replace(', "out"', ""), '"Write 1."', '"Write 2."', True),
        (LOCAL, '"text"', '"another"', False),
        (LOCAL.replace("    return name", "    return remedy"), '"Write 1."', '"Write 2."', False),
        (LOCAL.replace("(x):\n", "(x):\n    nonlocal remedy\n"), '"Write 1."', '"Write 2."', False),
    ],
)
def test_a_text_that_only_an_error_uses_is_no_code(tmp_path, source, old, new, same):
    (tmp_path / "room.py").write_text(source, encoding="utf-8")
    before = code_digest(["room"], package=tmp_path)
    (tmp_path / "room.py").write_text(source.replace(old, new), encoding="utf-8")
    assert (code_digest(["room"], package=tmp_path) == before) is same


def test_the_digest_sees_data_files(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "grammar.lark").write_text("start: WORD", encoding="utf-8")
    before = code_digest(["room"], package=tmp_path)
    (tmp_path / "room" / "grammar.lark").write_text("start: NUMBER", encoding="utf-8")
    assert code_digest(["room"], package=tmp_path) != before


def imported(path):
    """The modules of the package that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("compliance_xai"):
            base = node.module.removeprefix("compliance_xai").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                names.add(inner if module_file(inner) else base)
        elif isinstance(node, ast.Import):
            names |= {
                a.name.removeprefix("compliance_xai.") for a in node.names if a.name.startswith("compliance_xai.")
            }
    return {name for name in names if module_file(name)}


def module_file(name):
    path = Path(compliance_xai.__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
    return path if name and path.is_file() else None


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stage_names_every_room_that_it_reaches(stage):
    """Every module that its own module imports, directly or not, counts in its key."""
    named = {path for room in (*stage.rooms, f"pipeline.{stage.module}") for path in list_files(room)}
    found, waiting = set(), [f"pipeline.{stage.module}"]
    while waiting:
        name = waiting.pop()
        if name in found or name in PLUMBING or name.startswith("study.") or name in UNHASHED:
            continue
        found.add(name)
        waiting.extend(imported(module_file(name)))
    missing = sorted(name for name in found if module_file(name) not in named)
    assert missing == []


UNHASHED = {"pipeline.stages", "pipeline.grid", "pipeline.manifests", "pipeline.code_keys", "pipeline.stores"}


def test_every_undeciding_name_exists():
    assert [name for name in UNDECIDING if not (module_file(name) or PACKAGE.joinpath(*name.split(".")).is_dir())] == []


def test_a_misspelt_room_is_an_error():
    with pytest.raises(InputError, match="room 'corpse'"):
        list_files("corpse")
