import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance_xai.errors import InputError
from compliance_xai.files import digest, hash_files, sha256_file
from compliance_xai.machine import measure_time, package_versions, peak_memory_bytes
from compliance_xai.pipeline.manifests import Manifest, footer_html, read_manifest, verify_outputs, write_manifest

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
        "code": "c" * 64,
        "versions": {"torch": "2.13.0"},
        "machine": {"cores": "2"},
        "started": "2026-11-20T00:00:00+00:00",
        "wall_seconds": 12.34,
        "peak_memory_bytes": 3 * 2**20,
    }
    return Manifest(**(values | changes))


def test_files_are_hashed_by_their_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == ABC
    assert hash_files([tmp_path / "x"], tmp_path) == {"x": ABC}


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
    assert verify_outputs(stored, tmp_path) == []
    (tmp_path / "a.txt").write_bytes(b"abd")
    assert verify_outputs(stored, tmp_path) == [f"{tmp_path / 'a.txt'} is not the file that its manifest describes"]
    (tmp_path / "a.txt").unlink()
    assert verify_outputs(stored, tmp_path) == [f"{tmp_path / 'a.txt'} is missing"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("{", "a broken one"), ("{}", "none (code, inputs"), (json.dumps({**manifest(), "key": 1})[:-9], "a broken")],
)
def test_a_broken_manifest_is_named(tmp_path, text, found):
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_manifest(tmp_path)
    assert f"{tmp_path / 'manifest.json'}: expected a manifest written by this project, found {found}" in str(
        caught.value
    )
    assert "Delete this file" in str(caught.value)


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
    with measure_time() as watch:
        sum(range(1000))
    assert 0 < watch.seconds < 10
    assert watch.seconds == watch.seconds
    assert watch.started.endswith("+00:00")
    assert 2**20 < peak_memory_bytes() < 2**40
    assert package_versions(["pytest", "no-such-package"]) == {"pytest": pytest.__version__}
