"""What the pinned packages permit, and whether advisories name them: ``dependencies.py licences`` or ``audit``.

Each exits with 1 if it finds something to decide on: a licence outside those below, or a known vulnerability.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
PERMITTED = re.compile(
    r"(Apache|BSD|0BSD|MIT|MIT-CMU|ISC|PSF|CNRI|Python Software|MPL|Mozilla|Zlib|BSL-1\.0|CC0|Public Domain|Unlicense)"
)
"""Licences under which a package may be installed beside this one; a package under several needs one of them."""
ACCEPTED = {"pingouin": "GPL-3.0: imported by those who install it, never passed on with this project's files"}
AUDITOR = "pip-audit==2.10.1"
ADVISORIES = "https://pypi.org/pypi/{name}/{version}/json"


def read_lock() -> dict[str, str]:
    """Package -> pinned version."""
    return dict(line.split("==") for line in LOCK.read_text(encoding="utf-8").split())


def find_licence(name: str) -> str:
    """What a package states: as an expression, a classifier, a word, or in the first line of its licence's text."""
    about = metadata.metadata(name)
    words = [entry.rpartition(" :: ")[2] for entry in about.get_all("Classifier") or [] if entry.startswith("License")]
    stated = about.get("License-Expression") or "; ".join(words) or (about.get("License") or "").partition("\n")[0]
    if stated:
        return stated
    texts = [file for file in metadata.files(name) or [] if re.match(r"LICEN[CS]E", file.name, re.IGNORECASE)]
    return texts[0].read_text().strip().partition("\n")[0] if texts else "none stated"


def list_licences() -> int:
    """Print every licence with its packages."""
    found = defaultdict(list)
    for name in read_lock():
        try:
            found[find_licence(name)].append(name)
        except metadata.PackageNotFoundError:
            found["not installed here"].append(name)
    problems = []
    for licence, names in sorted(found.items()):
        print(f"{licence} ({len(names)}): {' '.join(names)}")
        if licence != "not installed here" and not PERMITTED.search(licence):
            problems += [f"{name}: {licence}" for name in names if name not in ACCEPTED]
    for problem in problems:
        print(
            f"Error: {problem}: decide whether it may be used, and note it in scripts/dependencies.py", file=sys.stderr
        )
    return 1 if problems else 0


def serves_advisories(name: str, version: str) -> bool:
    """Whether the package index answers with what is known against a version; mirrors often do not."""
    try:
        with urllib.request.urlopen(ADVISORIES.format(name=name, version=version), timeout=30) as answer:
            return "vulnerabilities" in json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError):
        return False


def audit() -> int:
    """Ask the package index for advisories on every pinned version."""
    pins = read_lock()
    if not serves_advisories("requests", pins["requests"]):
        print(f"Not audited: no advisories at {ADVISORIES.format(name='requests', version=pins['requests'])}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        python, report = Path(folder, "venv", "bin", "python"), Path(folder, "report.json")
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", AUDITOR], check=True)
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", report]
        status = subprocess.run([python, "-m", "pip_audit", "--requirement", LOCK, *options], check=False).returncode
        if not report.is_file():
            print(f"Error: {AUDITOR} ended with status {status} and no report", file=sys.stderr)
            return 1
        packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    known = [package for package in packages if package.get("vulns")]
    for package in known:
        for one in package["vulns"]:
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            print(f"Error: {package['name']} {package['version']}: {one['id']}, fixed in {fixed}", file=sys.stderr)
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    print(
        f"{len(packages) - len(skipped)} of {len(packages)} packages audited, {len(known)} with known vulnerabilities"
    )
    return 1 if known else 0


if __name__ == "__main__":
    commands = {"licences": list_licences, "audit": audit}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"Usage: dependencies.py {'|'.join(commands)}")
    sys.exit(commands[sys.argv[1]]())
