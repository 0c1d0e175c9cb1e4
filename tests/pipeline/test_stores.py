"""What is made once is kept whole or made again, and one process at a time makes it."""

import os
import subprocess
import sys
import time

import pytest

from compliance_xai.errors import InputError
from compliance_xai.pipeline.stores import (
    MARK,
    find_damage,
    find_folder,
    find_holder,
    hash_once,
    hold_lock,
    is_kept,
    keep_file,
    keep_folder,
    read_kept,
    stamp_files,
    write_changed,
)


def write(*contents):
    def make(folder):
        for number, content in enumerate(contents):
            (folder / f"{number}.txt").write_text(content, encoding="utf-8")

    return make


def refuse(folder):
    raise AssertionError("made again")


def test_a_folder_is_made_once_for_its_key(tmp_path):
    kept = keep_folder(tmp_path / "a", "k", write("one", "two"))
    assert (kept.folder / "1.txt").read_text() == "two"
    assert keep_folder(tmp_path / "a", "k", refuse) == kept
    assert find_folder(tmp_path / "a", "other") is None
    keep_folder(tmp_path / "a", "other", write("three"))
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["0.txt", MARK]


def flip(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def flip_in_secret(path):
    """A bit flips, and the file's size and time stay."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("damage", "name", "said"),
    [
        (flip, "0.txt", "0.txt was altered after it was made; it is made again"),
        (flip_in_secret, "0.txt", "0.txt was altered after it was made; it is made again"),
        (lambda path: path.unlink(), "0.txt", "0.txt is missing; it is made again"),
        (lambda path: path.write_text("{"), MARK, f"{MARK} is damaged; it is made again"),
        (lambda path: path.write_text("[]"), MARK, f"{MARK} is damaged; it is made again"),
        (lambda path: path.write_text('{"key": "k", "files": [1]}'), MARK, f"{MARK} is damaged; it is made again"),
    ],
)
def test_a_damaged_folder_is_named_and_made_again(tmp_path, damage, name, said):
    folder = keep_folder(tmp_path / "a", "k", write("one")).folder
    damage(folder / name)
    heard = []
    keep_folder(folder, "k", write("one"), say=heard.append)
    assert heard == [f"{folder}/{said}"]
    assert (folder / "0.txt").read_text() == "one"
    assert find_folder(folder, "k", say=refuse) is not None


def test_an_interrupted_making_leaves_the_old_folder(tmp_path):
    keep_folder(tmp_path / "a", "k", write("one"))

    def fail(folder):
        (folder / "0.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_folder(tmp_path / "a", "other", fail)
    assert find_folder(tmp_path / "a", "k") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_damage_is_looked_for_in_size_and_time_first(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"abc")
    stamps = stamp_files([tmp_path / "x"], tmp_path)
    os.utime(tmp_path / "x")  # a copy has another time and the same content
    assert find_damage(stamps, tmp_path) == []
    stamps = stamp_files([tmp_path / "x"], tmp_path)
    flip_in_secret(tmp_path / "x")
    assert find_damage(stamps, tmp_path) == []
    assert find_damage(stamps, tmp_path, content=True) == [f"{tmp_path / 'x'} was altered after it was made"]


@pytest.mark.parametrize("ending", [".md", ".js", ".txt"])
def test_a_file_is_made_once_for_its_key_and_again_where_it_was_altered(tmp_path, ending):
    path = tmp_path / f"part{ending}"
    assert keep_file(path, "k", lambda: "text\n\nmore\n\n")
    assert read_kept(path) == "text\n\nmore\n"
    assert is_kept(path, "k")
    assert not keep_file(path, "k", lambda: refuse(path))
    assert keep_file(path, "other", lambda: "text")
    path.write_text(path.read_text().replace("text", "test"))
    assert not is_kept(path, "other")
    assert keep_file(path, "other", lambda: "text")
    path.write_bytes(b"\xff")
    assert keep_file(path, "other", lambda: "text")
    assert is_kept(path, "other")


def test_an_unchanged_text_keeps_its_time(tmp_path):
    before = write_changed(tmp_path / "a" / "x.md", "one").stat().st_mtime_ns
    assert write_changed(tmp_path / "a" / "x.md", "one").stat().st_mtime_ns == before
    assert write_changed(tmp_path / "a" / "x.md", "two").read_text() == "two"


def test_a_big_file_is_read_once_for_all_processes(tmp_path, monkeypatch):
    from compliance_xai.pipeline import stores

    (tmp_path / "studies").mkdir()
    monkeypatch.setenv("COMPLIANCE_XAI_PROJECT", str(tmp_path))
    monkeypatch.setattr(stores, "BIG", 2)
    (tmp_path / "x").write_bytes(b"abc")
    real = hash_once(tmp_path / "x")
    stores._hash_once.cache_clear()
    monkeypatch.setattr(stores, "sha256_file", refuse)
    assert hash_once(tmp_path / "x") == real
    monkeypatch.setattr(stores, "sha256_file", lambda path: "new")
    (tmp_path / "x").write_bytes(b"abcd")
    assert hash_once(tmp_path / "x") == "new"


HOLD = """
import sys, time
from pathlib import Path
from compliance_xai.pipeline.stores import hold_lock

with hold_lock(Path(sys.argv[1]), "the work"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    lock = tmp_path / "locks" / "a.lock"
    assert find_holder(lock) is None
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert find_holder(lock) == holder.pid
    message = f"the work: expected no other process at work on it, found process {holder.pid}, which is"
    with pytest.raises(InputError, match=message), hold_lock(lock, "the work"):
        pass
    heard = []
    holder.kill()
    start = time.monotonic()
    with hold_lock(lock, "the work", wait=30, say=heard.append):
        assert find_holder(lock) == os.getpid()
    assert time.monotonic() - start < 10
    assert find_holder(lock) is None
    assert lock.is_file()  # a lock that is removed could be held twice
    holder.wait()
    holder.stdout.close()
