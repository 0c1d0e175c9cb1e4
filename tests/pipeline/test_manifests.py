import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.errors import InputError
from compliance_xai.files import digest, sha256_file
from compliance_xai.machine import Stopwatch, package_versions, peak_memory_bytes
from compliance_xai.pipeline.manifests import (
    Manifest,
    footer_html,
    notes_html,
    peek_manifest,
    read_manifest,
    stamps_of,
    write_manifest,
)
from compliance_xai.pipeline.stores import find_damage

# printf abc | sha256sum
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def manifest(**changes):
    values = {
        "stage": "finetune",
        "study": "toy",
        "scale": "1m",
        "strategy": "full",
        "seeds": [0, 1],
        "parameters": {"strategy": {"steps": 5}, "prompt": "<b>{clause}</b>"},
        "key": "k" * 64,
        "inputs": {"data/x": ABC},
        "outputs": {"a.txt": ABC},
        "stamps": {"a.txt": (3, 0)},
        "code": "c" * 64,
        "versions": {"torch": "2.13.0"},
        "machine": {"cores": "2"},
        "started": "2026-11-20T00:00:00+00:00",
        "wall_seconds": 12.34,
        "peak_memory_bytes": 3 * 2**20,
        "notes": [],
        "page": None,
    }
    return Manifest(**(values | changes))


def test_files_are_hashed_by_their_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == ABC


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_a_digest_depends_on_content_not_on_order(values):
    assert digest(values) == digest(dict(reversed(values.items())))
    assert digest(values) != digest({**values, "another key that is not there": 1})


def test_a_manifest_comes_back_and_vouches_for_its_files(tmp_path):
    assert read_manifest(tmp_path) is None
    (tmp_path / "a.txt").write_bytes(b"abc")
    write_manifest(manifest(), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    stored = read_manifest(tmp_path)
    assert stored == manifest()
    assert find_damage(stamps_of(stored), tmp_path) == []
    (tmp_path / "a.txt").write_bytes(b"abd")
    altered = [f"{tmp_path / 'a.txt'} was altered after it was made"]
    assert find_damage(stamps_of(stored), tmp_path) == altered
    (tmp_path / "a.txt").unlink()
    assert find_damage(stamps_of(stored), tmp_path) == [f"{tmp_path / 'a.txt'} is missing"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "found invalid json"),
        ("[]", "found input should be a"),
        ("{}", "key 'stage': expected a manifest as this version writes it, found field required"),
        (json.dumps({**manifest(), "outputs": ["a.txt"]}), "key 'outputs': expected a manifest"),
        (json.dumps({**manifest(), "key": 1}), "key 'key': expected a manifest"),
        ("\xff", "found invalid json"),
    ],
)
def test_a_broken_manifest_is_named_and_blocks_nothing(tmp_path, text, found):
    (tmp_path / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=re.escape(found)) as caught:
        read_manifest(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "manifest.json"))
    assert "The next run makes the stage again." in str(caught.value)
    assert peek_manifest(tmp_path) is None


def test_notes_are_folded_and_escaped():
    assert notes_html([]) == ""
    assert (
        notes_html(["<b>"])
        == "<details><summary>Notes of libraries (1)</summary><ul><li><code>&lt;b&gt;</code></li></ul></details>"
    )


def test_the_footer_shows_everything_and_escapes_it():
    footer = footer_html(manifest(strategy="<script>"))
    for part in (
        "1m, &lt;script&gt;",
        "0, 1",
        "12.3 s",
        "3 MiB",
        "torch 2.13.0",
        "strategy.steps",
        "&lt;b&gt;{clause}",
        ABC,
    ):
        assert part in footer
    assert "<script>" not in footer
    assert "<b>" not in footer


def test_the_footer_of_a_whole_study_names_no_run():
    footer = footer_html(manifest(scale=None, strategy=None, seeds=[]))
    assert ">Run<" not in footer
    assert "<td>none</td>" in footer


def test_time_memory_and_versions_are_measured():
    watch = Stopwatch()
    sum(range(1000))
    assert 0 < watch.seconds < 10
    assert watch.started.endswith("+00:00")
    assert 2**20 < peak_memory_bytes() < 2**40
    assert package_versions(["pytest", "no-such-package"]) == {"pytest": pytest.__version__}
