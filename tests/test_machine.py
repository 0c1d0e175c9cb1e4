"""How far long work is, and how many threads it takes."""

import os
import time

from compliance_xai import machine


def test_long_work_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.delenv(machine.LINE_VARIABLE, raising=False)
    monkeypatch.setattr(machine, "EVERY", 0.02)
    for _ in machine.track(range(5), "clauses attributed"):
        time.sleep(0.03)
    said = capsys.readouterr().err.splitlines()
    assert any(line.startswith("3 of 5 clauses attributed, about 00:0") for line in said)
    assert all(line.endswith(" left") for line in said)


def test_short_work_says_nothing(monkeypatch, capsys):
    assert list(machine.track(iter("abc"), "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_notebook_of_the_grid_says_it_beside_its_page(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(machine.LINE_VARIABLE, str(tmp_path / "line"))
    machine.say("3 of 5 clauses attributed")
    assert (tmp_path / "line").read_text(encoding="utf-8") == "3 of 5 clauses attributed"
    assert capsys.readouterr().err == ""


def test_threads_are_limited_whether_libraries_are_loaded_or_not(monkeypatch):
    import torch

    before = torch.get_num_threads()
    for name in machine.THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    try:
        machine.limit_threads(2)
        assert torch.get_num_threads() == 2
        assert {os.environ[name] for name in machine.THREAD_VARIABLES} == {"2"}
    finally:
        torch.set_num_threads(before)
