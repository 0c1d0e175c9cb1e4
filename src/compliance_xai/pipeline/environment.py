"""The environment that a run gives to its notebooks: threads, quiet libraries, and caches inside the project."""

import os
from pathlib import Path

from compliance_xai.machine import THREAD_VARIABLES
from compliance_xai.study.folders import PROJECT_VARIABLE, WORKING_VARIABLE, find_project_folder

SETTINGS = {
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "agg",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",  # a page holds no progress bars of libraries
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Keep freed memory: torch would hand back and ask again for the same megabytes in every step (5 % of training).
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
    # Deprecations speak to the authors of other packages, and the missing widget is for progress bars, which are off.
    "PYTHONWARNINGS": "ignore::DeprecationWarning,ignore::FutureWarning,ignore:IProgress not found",
}


def notebook_environment(threads: int) -> dict[str, str]:
    """All environment variables of a notebook's process."""
    return run_environment() | SETTINGS | dict.fromkeys(THREAD_VARIABLES, str(threads))


def run_environment() -> dict[str, str]:
    """All environment variables of a run: this one's, the project and package, and caches that need no home folder.

    Models fetched from the hub stay where other projects find them too, if there is such a place.
    """
    project = find_project_folder()
    folders = {"XDG_CACHE_HOME": "", "MPLCONFIGDIR": "matplotlib", "IPYTHONDIR": "ipython"}
    caches = {name: project / ".cache" / folder for name, folder in folders.items()}
    for folder in caches.values():
        folder.mkdir(parents=True, exist_ok=True)
    if not {"HF_HOME", "HF_HUB_CACHE"} & set(os.environ):
        shared = Path(os.environ.get("XDG_CACHE_HOME", Path("~/.cache").expanduser())) / "huggingface"
        if os.access(shared, os.W_OK):
            caches["HF_HOME"] = shared
    source = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    own = {name: str(folder) for name, folder in caches.items()}
    working = os.environ.get(WORKING_VARIABLE) or os.getcwd()  # where paths that a person wrote start
    return {**os.environ, **own, PROJECT_VARIABLE: str(project), WORKING_VARIABLE: working, "PYTHONPATH": paths}
