"""Telling a person how far an export is: one line a stage, on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fs_runtime.cli.terminal import megabytes, messages, printable
from fs_runtime.cli.terminal import next_commands as next_commands

if TYPE_CHECKING:
    from fs_exporters.stage import Stage


@dataclass(frozen=True)
class StageReporter:
    """What an export calls as its steps begin and end."""

    on_start: Callable[[str], None]
    on_progress: Callable[[str, int, int], None]
    on_stage: Callable[["Stage"], None]


@contextmanager
def stage_reporter() -> Iterator[StageReporter]:
    """A spinner with the running step, and a line for each finished one: what, time, outcome, path, MB."""
    console = messages()
    with console.status("starting") as status:

        def finished(stage: "Stage") -> None:
            made = "" if stage.path is None else f"  {stage.path}"
            size = "" if stage.bytes is None else f"  {megabytes(stage.bytes)}"
            line = f"{stage.name:<11}{stage.seconds:6.1f} s  {stage.detail}{made}{size}"
            console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

        begun = time.monotonic()

        def started(name: str) -> None:
            nonlocal begun
            begun = time.monotonic()
            status.update(name)

        def advanced(name: str, done: int, total: int) -> None:
            left = (time.monotonic() - begun) * (total - done) / max(done, 1)
            status.update(f"{name}  {done} of {total} images, {left:.0f} s left")

        yield StageReporter(on_start=started, on_progress=advanced, on_stage=finished)
