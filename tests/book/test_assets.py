from __future__ import annotations

import numpy as np
from PIL import Image

from compliance_xai.book.building import collect_assets


def _figure(root, study, name):
    path = root / "results" / study / "runs" / "1m" / "lora" / "finetune" / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.tile(np.arange(240, dtype=np.uint8)[:, None], (1, 240))
    Image.fromarray(np.stack([shades, shades.T, shades], axis=2)).save(path, "png")
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


def test_pictures_have_few_colours_close_to_their_own(tmp_path):
    path = _figure(tmp_path, "quick", "a.png")
    (small,) = collect_assets(tmp_path, ["quick"]).rglob("a.png")
    assert small.stat().st_size < path.stat().st_size
    with Image.open(path) as own, Image.open(small) as few:
        assert few.mode == "P"
        apart = np.asarray(own, dtype=float) - np.asarray(few.convert("RGB"), dtype=float)
    assert np.abs(apart).mean() < 20
