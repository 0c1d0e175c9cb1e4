"""Stored studies as pages: the summary notebook, executed over the tables of each study under ``data/results``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compliance_xai.files import digest, sha256_file
from compliance_xai.pipeline.code_keys import ROOMS, code_digest
from compliance_xai.pipeline.execution import keep_page
from compliance_xai.pipeline.grid import STAGES
from compliance_xai.pipeline.stores import write_changed
from compliance_xai.pipeline.summary_stage import DESCRIPTION, STORED
from compliance_xai.study.folders import find_project_folder

PAGES = Path("book") / "runs" / "stored"


@dataclass(frozen=True)
class StoredStudy:
    """A study whose tables are kept, and its page."""

    name: str

    @property
    def folder(self) -> Path:
        """Its tables."""
        return find_project_folder() / STORED / self.name

    @property
    def notebook(self) -> Path:
        """The notebook's text source."""
        return find_project_folder() / "notebooks" / STAGES["summary"].notebook

    @property
    def key(self) -> str:
        """Digest of everything that decides the page."""
        files = {path.name: sha256_file(path) for path in sorted(self.folder.iterdir()) if path.is_file()}
        return digest([sha256_file(self.notebook), code_digest(ROOMS), files])

    def write_page(self) -> Path:
        """Put the executed summary into the book; it is executed once for its tables and the code."""
        project = find_project_folder()
        kept = keep_page(
            project / "results" / "stored" / self.name / "page",
            self.key,
            self.notebook,
            {"study": (STORED / self.name).as_posix()},
            name=self.name,
            title=f"Summary: {self.name}",
        )
        return write_changed(project / PAGES / f"{self.name}.ipynb", kept.read_text(encoding="utf-8"))


def find_stored_studies() -> list[StoredStudy]:
    """Every stored study, by name."""
    return [StoredStudy(path.parent.name) for path in sorted((find_project_folder() / STORED).glob(f"*/{DESCRIPTION}"))]


def write_stored_pages() -> list[Path]:
    """The summary of every stored study as a page."""
    return [study.write_page() for study in find_stored_studies()]
