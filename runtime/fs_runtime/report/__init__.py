"""The report: certificates as one self-contained HTML page and one overview picture.

Reading results, measuring, drawing and writing are a file each. matplotlib draws the picture only and is imported when
that is drawn: it is the extra ``fs-runtime[report]``.
"""

from fs_runtime.report.exhibit import Exhibit
from fs_runtime.report.overview import MissingMatplotlibError, require_matplotlib
from fs_runtime.report.results import Failure, Results, read_results
from fs_runtime.report.writing import ReportFiles, check_free, report_paths, write_report

__all__ = [
    "Exhibit",
    "Failure",
    "MissingMatplotlibError",
    "ReportFiles",
    "Results",
    "check_free",
    "read_results",
    "report_paths",
    "require_matplotlib",
    "write_report",
]
