"""Stored studies as pages: the summary notebook, executed over the tables of each study under ``data/results``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compliance_xai.files import digest, sha256_file
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import execute_page
from compliance_xai.pipeline.grid import STAGES, read_page_mark
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED
from compliance_xai.study.folders import find_project_folder

PAGES = Path("book") / "runs" / "stored"


@dataclass(frozen=True)
class StoredStudy:
    """A stored study and its page, in the terms of ``pipeline.execution``."""

    name: str

    @property
    def folder(self) -> Path:
        """Its tables."""
        return find_project_folder() / STORED / self.name

    @property
    def label(self) -> str:
        """For people."""
        return f"Summary of the stored study {self.name}"

    @property
    def notebook(self) -> Path:
        """The notebook's text source."""
        return find_project_folder() / "notebooks" / STAGES["summary"].notebook

    @property
    def page(self) -> Path:
        """The executed notebook."""
        return find_project_folder() / PAGES / f"{self.name}.ipynb"

    @property
    def failed_page(self) -> Path:
        """Where an attempt that ended in an error is kept."""
        return self.page.parent / "failed" / self.page.name

    @property
    def key(self) -> str:
        """Digest of everything that decides the page."""
        files = {path.name: sha256_file(path) for path in sorted(self.folder.iterdir()) if path.is_file()}
        return digest([sha256_file(self.notebook), code_digest(ROOMS), files])

    @property
    def is_current(self) -> bool:
        """Whether the page shows the tables as they are."""
        mark = read_page_mark(self.page)
        return bool(mark and mark.get("complete") and mark.get("key") == self.key)


def find_stored_studies() -> list[StoredStudy]:
    """Every stored study, by name."""
    return [StoredStudy(path.parent.name) for path in sorted((find_project_folder() / STORED).glob(f"*/{DESCRIPTION}"))]


def write_stored_pages(*, report: Callable[[str], None] = print) -> list[Path]:
    """Execute the summary of every stored study that is not current; returns all their pages."""
    studies = find_stored_studies()
    for study in studies:
        if not study.is_current:
            report(study.label)
            execute_page(study, {"study": (STORED / study.name).as_posix()}, title=f"Summary: {study.name}")
    return [study.page for study in studies]
