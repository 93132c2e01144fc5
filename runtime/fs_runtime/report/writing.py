"""Writing a report: both files whole, or none."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report.exhibit import Exhibit
from fs_runtime.report.measures import measure
from fs_runtime.report.overview import overview
from fs_runtime.report.page import page
from fs_runtime.report.results import Results

PAGE, PICTURE = "report.html", "report.png"


@dataclass(frozen=True)
class ReportFiles:
    """What was written, or would be; a page of predictions alone has no picture beside it."""

    page: Path
    picture: Path | None


def check_free(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to replace files, before any work is done.

    Raises:
        InputError: one of them exists.
    """
    for path in paths:
        if not overwrite and (path.exists() or path.is_symlink()):
            raise InputError(f"{path} exists: choose another folder, or replace it with --overwrite")


def report_paths(folder: Path) -> tuple[Path, Path]:
    """Where the page and the picture of a report in ``folder`` lie."""
    return folder / PAGE, folder / PICTURE


def write_report(
    results: Results,
    folder: Path,
    *,
    overwrite: bool = False,
    exhibits: Sequence[Exhibit] = (),
    progress: Callable[[], None] = lambda: None,
) -> ReportFiles:
    """Write ``report.html`` and, of features, ``report.png`` to ``folder``, which is made if need be.

    Args:
        results: what :func:`read_results` read.
        folder: where to.
        overwrite: replace a report that is there.
        exhibits: sections of the caller's own, before the certificates; the picture does not show them.
        progress: called after each certificate was measured.

    Raises:
        InputError: a report is there.
        MissingMatplotlibError: matplotlib, which draws the picture, is not installed.
        OSError: the folder or a file cannot be written; nothing is left half-written.
    """
    page_path, picture_path = report_paths(folder)
    check_free((page_path, picture_path), overwrite=overwrite)
    measures = measure(results, progress)
    files = {page_path: page(measures, exhibits).encode("utf-8")}
    if measures.sections:
        files[picture_path] = overview(measures)
    folder.mkdir(parents=True, exist_ok=True)
    write_together(files)
    return ReportFiles(page_path, picture_path if measures.sections else None)
