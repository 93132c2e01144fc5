"""Telling a person how far an evaluation is, and what came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from fs_runtime.cli.terminal import cell, data, messages, printable, table

if TYPE_CHECKING:
    from fs_exporters.evaluation import Evaluation, Watch
    from fs_exporters.evaluation.results import ImageResult


@contextmanager
def evaluation_watch() -> Iterator["Watch"]:
    """A bar with the time left on stderr, where it is a terminal, and a line for each finished image."""
    from fs_exporters.evaluation import Watch

    console = messages()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading images", total=None)
        begun = time.monotonic()
        share = 0.0

        def worked(what: str, done: int, total: int) -> None:
            nonlocal share
            share = done / total
            progress.update(task, description=printable(what), completed=done, total=total)

        def finished(image: "ImageResult", done: int, images: int) -> None:
            left = (time.monotonic() - begun) * (1.0 - share) / max(share, 1e-9)
            line = f"{done} of {images}  {image.seconds:.1f} s  {image.name}  about {left:.0f} s left"
            console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

        yield Watch(on_work=worked, on_image=finished)


def show_evaluation(evaluation: "Evaluation") -> None:
    """Print the tables on stdout, and what must not be overlooked on stderr."""
    from fs_exporters.evaluation import grids, headline, warnings

    console = data()
    console.print(cell(headline(evaluation.facts)))
    for grid in grids(evaluation.summary):
        made = table(*grid.columns, title=grid.title, words=grid.words)
        for row in grid.rows:
            made.add_row(*map(cell, row))
        console.print(made)
    for warning in warnings(evaluation.facts, evaluation.summary):
        messages().print(cell(f"note: {warning}"), style="yellow", soft_wrap=True)
