from __future__ import annotations

from compliance_xai.book.building import collect_assets


def _figure(root, study, name, content="x"):
    path = root / "results" / study / "runs" / "1m" / "lora" / "finetune" / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_study_that_has_not_run_still_gets_a_book(tmp_path):
    static = collect_assets(tmp_path, ["quick"])
    assert static == tmp_path / "book" / "runs" / "_static"


def test_figures_are_copied_where_pages_link_to_and_stale_ones_go(tmp_path):
    path = _figure(tmp_path, "quick", "a.png")
    _figure(tmp_path, "quick", "a.json")
    _figure(tmp_path, "other", "b.png")
    static = collect_assets(tmp_path, ["quick"])
    kept = {str(file.relative_to(static)) for file in static.rglob("*") if file.is_file()}
    assert kept == {"figures/quick/runs/1m/lora/finetune/a.png"}
    path.unlink()
    collect_assets(tmp_path, ["quick"])
    assert not list(static.rglob("a.png"))


def test_unchanged_files_are_left_alone(tmp_path):
    _figure(tmp_path, "quick", "a.png")
    static = collect_assets(tmp_path, ["quick"])
    before = {file: file.stat().st_mtime_ns for file in static.rglob("*.*")}
    collect_assets(tmp_path, ["quick"])
    assert before == {file: file.stat().st_mtime_ns for file in before}
