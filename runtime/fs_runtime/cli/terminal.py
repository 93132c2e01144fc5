"""The terminal: data on stdout, messages and progress on stderr, nothing from a file printed raw."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_WIDTH_IN_PIPES = 132
_NARROWEST_NAME = 12
_NARROWEST_TABLE = 80


def data() -> Console:
    """Console of stdout; where it is no terminal, as wide as COLUMNS says, or else wide enough for the tables."""
    console = Console()
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        return Console(width=_WIDTH_IN_PIPES)
    # Narrower than this, columns would be left out without a word; a wrapped line is better.
    return console if console.width >= _NARROWEST_TABLE else Console(width=_NARROWEST_TABLE)


def messages() -> Console:
    """Console of stderr."""
    return Console(stderr=True)


def printable(text: str) -> str:
    """``text`` with every character that could steer a terminal written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(text: str) -> Text:
    """``text`` for a table, literally: a plain string there would be read as markup."""
    return Text(printable(text))


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Of each path as much of its end as tells it from the others: the base name, where no other has the same."""
    left, short, length = set(names), {}, 0
    while left:
        length += 1
        ends = {name: Path(*Path(name).parts[-length:]) for name in left}
        shared = Counter(ends.values())
        for name, end in ends.items():
            # A path that is another's end is whole before that one.
            if shared[end] == 1 or len(Path(name).parts) <= length:
                short[name] = str(end)
        left -= short.keys()
    return short


def encodable(text: str) -> str:
    """``text`` for JSON: bytes of a file name that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def table(*columns: str, title: str | None = None, words: int = 1) -> Table:
    """A table whose first ``words`` columns are text and the others numbers."""
    made = Table(
        title=None if title is None else Text(title, style="table.title"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    for index, column in enumerate(columns):
        # Names fold where a terminal is narrow; numbers never do.
        if index >= words:
            made.add_column(column, justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold", min_width=_NARROWEST_NAME)
    return made


def next_commands(*lines: str) -> None:
    """Print the exact commands to run next, on stderr."""
    console = messages()
    console.print("next:", style="bold")
    for line in lines:
        console.print(f"  {printable(line)}", markup=False, highlight=False, soft_wrap=True)


def megabytes(count: int) -> str:
    """Bytes as MB, or kB where they are few, for people."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


class _DrawsPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} draws/s" if task.speed else "- draws/s")


@contextmanager
def draw_progress(images: int | None) -> Iterator["DrawProgress"]:
    """A bar on stderr that counts the draws of ``images`` images (None: unknown), with draws/s and the time left.

    Silent where stderr is no terminal.
    """
    console = messages()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _DrawsPerSecond(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield DrawProgress(progress, images)


class DrawProgress:
    """Counts draws over several images, of which some may be drawn for at the same time."""

    def __init__(self, progress: Progress, images: int | None) -> None:
        self._progress = progress
        self._images = images
        self._task = progress.add_task("draws", total=None)
        self._done: dict[int, int] = {}

    def update(self, number: int, name: str, done: int, total: int) -> None:
        """``done`` of ``total`` draws are made for the image ``number``, called ``name``."""
        self._done[number] = done
        self._progress.update(
            self._task,
            description=printable(name),
            completed=sum(self._done.values()),
            total=None if self._images is None else self._images * total,
        )
