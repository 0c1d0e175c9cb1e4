import pytest

from compliance_xai.files import write_atomic


def test_file_appears_whole(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with write_atomic(target) as part:
        part.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    writing = write_atomic(target)
    writing.__enter__().write_text("half")
    assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_folder_takes_the_place_of_another(tmp_path):
    target = tmp_path / "piece"
    target.mkdir()
    (target / "old").touch()
    with write_atomic(target) as part:
        part.mkdir()
        (part / "new").touch()
        assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in target.iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_remains_of_a_killed_process_are_removed(tmp_path, kind):
    left = tmp_path / ".a.txt.part"
    if kind == "file":
        left.write_text("half")
    else:
        left.mkdir()
        (left / "half").touch()
    with write_atomic(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_nothing_written_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), write_atomic(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"
