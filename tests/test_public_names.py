import subprocess
import sys

import pytest

import compliance_xai

HEAVY = ("torch", "transformers", "pandas", "numpy", "pyarrow", "plotly", "matplotlib")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, compliance_xai; dir(compliance_xai); print(*(m for m in {HEAVY} if m in sys.modules))"
    assert run(code) == []


def test_reading_a_corpus_loads_no_model_library():
    code = "import sys; from compliance_xai import load_corpus; print(*sys.modules)"
    loaded = run(code)
    assert "compliance_xai.corpus.corpora" in loaded
    assert not {"torch", "transformers"} & set(loaded)


@pytest.mark.parametrize("name", [name for name in compliance_xai.__all__ if name != "__version__"])
def test_every_public_name_has_its_room_and_a_docstring(name):
    value = getattr(compliance_xai, name)
    assert value.__module__.startswith("compliance_xai.")
    assert value.__doc__
    assert name in dir(compliance_xai)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="No compliance_xai attribute load_corpse"):
        compliance_xai.load_corpse  # noqa: B018
