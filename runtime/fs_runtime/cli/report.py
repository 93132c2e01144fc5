"""``fs-runtime report``: one page and one picture of many certificates."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import Progress

from fs_runtime.cli.run import writing
from fs_runtime.cli.terminal import messages, printable
from fs_runtime.errors import InputError
from fs_runtime.report import (
    Exhibit,
    ReportFiles,
    Results,
    check_free,
    read_results,
    report_paths,
    require_matplotlib,
    write_report,
)


@click.command()
@click.argument("results", metavar="RESULTS.jsonl", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for report.html and report.png.",
    metavar="DIR",
)
@click.option("--overwrite", is_flag=True, help="Replace a report that is there.")
def report(results: Path, output: Path, overwrite: bool) -> None:
    """Make a page to look at, and a picture, of what `certify --json` wrote (- reads stdin).

    The page is one file that loads nothing; photos are shown where they still lie where they were certified. What
    `classify` and `search` wrote becomes tables of the page.
    """
    require_matplotlib()
    check_free(report_paths(output), overwrite=overwrite)
    read = _read(results)
    if read.torn:
        messages().print("warning: last line is torn, ignored", style="yellow", highlight=False)
    written = make_report(read, output, overwrite=overwrite)
    click.echo(printable(str(written.page)))
    if written.picture is not None:
        click.echo(printable(str(written.picture)))
    messages().print("open it in a browser:", style="bold")
    for line in (f"xdg-open {shlex.quote(str(written.page))}", f"python3 -m http.server -d {shlex.quote(str(output))}"):
        messages().print(f"  {printable(line)}", markup=False, highlight=False, soft_wrap=True)


def make_report(results: Results, folder: Path, *, overwrite: bool, exhibits: Sequence[Exhibit] = ()) -> ReportFiles:
    """:func:`write_report` with a bar on stderr, and what the system says as a user's error."""
    with writing(folder), _measuring(len(results.certificates)) as advance:
        return write_report(results, folder, overwrite=overwrite, exhibits=exhibits, progress=advance)


def _read(path: Path) -> Results:
    if str(path) == "-":
        return read_results(sys.stdin.buffer, "stdin")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file that fs-runtime certify --json was written to")
    try:
        with path.open("rb") as lines:
            return read_results(lines, str(path))
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}; make it with fs-runtime certify DIR IMAGES... --json"
        ) from error


@contextmanager
def _measuring(certificates: int) -> Iterator[Callable[[], None]]:
    console = messages()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("curves", total=certificates)
        yield lambda: progress.advance(task)
