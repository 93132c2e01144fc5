"""Writing a report: both files whole, or none."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report.measures import measure
from fs_runtime.report.overview import overview
from fs_runtime.report.page import page
from fs_runtime.report.results import Results

PAGE, PICTURE = "report.html", "report.png"


@dataclass(frozen=True)
class ReportFiles:
    """What was written."""

    page: Path
    picture: Path


def check_free(paths: list[Path], *, overwrite: bool) -> None:
    """Refuse to replace files, before any work is done.

    Raises:
        InputError: one of them exists.
    """
    for path in paths:
        if not overwrite and (path.exists() or path.is_symlink()):
            raise InputError(f"{path} exists: choose another folder, or replace it with --overwrite")


def report_paths(folder: Path) -> ReportFiles:
    """Where a report in ``folder`` lies."""
    return ReportFiles(folder / PAGE, folder / PICTURE)


def write_report(
    results: Results, folder: Path, *, overwrite: bool = False, progress: Callable[[], None] = lambda: None
) -> ReportFiles:
    """Write ``report.html`` and ``report.png`` to ``folder``, which is made if need be.

    Args:
        results: what :func:`read_results` read.
        folder: where to.
        overwrite: replace a report that is there.
        progress: called after each certificate was measured.

    Raises:
        InputError: a report is there.
        MissingMatplotlibError: matplotlib, which draws the picture, is not installed.
        OSError: the folder or a file cannot be written; nothing is left half-written.
    """
    written = report_paths(folder)
    check_free([written.page, written.picture], overwrite=overwrite)
    measures = measure(results, progress)
    picture = overview(measures)
    folder.mkdir(parents=True, exist_ok=True)
    write_together({written.page: page(measures).encode("utf-8"), written.picture: picture})
    return written
