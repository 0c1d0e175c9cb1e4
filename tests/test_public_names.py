import importlib
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
    assert not {"torch", "transformers", "pandas"} & set(loaded)


@pytest.mark.parametrize("name", compliance_xai.__all__)
def test_every_public_name_is_what_its_room_calls_it(name):
    room, attribute = compliance_xai._HOMES[name]
    value = getattr(compliance_xai, name)
    assert value is getattr(importlib.import_module(f"compliance_xai.{room}"), attribute)
    assert value.__doc__
    assert name in dir(compliance_xai)


def test_all_names_have_a_home():
    assert set(compliance_xai.__all__) == set(compliance_xai._HOMES)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="module 'compliance_xai' has no attribute 'load_corpse'"):
        compliance_xai.load_corpse  # noqa: B018
