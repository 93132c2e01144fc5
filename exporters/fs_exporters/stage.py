"""The steps of a long job, timed and told on as they begin and end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One finished step, for whoever watches.

    Attributes:
        name: of an export ``load``, ``prototypes``, ``trace``, ``calibrate`` (int8 only), ``clean`` (with a booster
            only), ``parity`` or ``write``; of a build of engines ``parse``, ``build``, ``parity`` or ``write``.
        seconds: how long it took.
        detail: what came of it.
        path: the file or folder it made, if any.
        bytes: its size.
    """

    name: str
    seconds: float
    detail: str
    path: Path | None = None
    bytes: int | None = None


@dataclass
class Notes:
    """What a running step will say of itself."""

    detail: str = ""
    path: Path | None = None
    bytes: int | None = None


@dataclass
class Watch:
    """Times the steps and tells them on."""

    started: Callable[[str], None]
    finished: Callable[[Stage], None]
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Notes]:
        """One step; it is finished when nothing is raised."""
        self.started(name)
        start, notes = time.perf_counter(), Notes()
        yield notes
        stage = Stage(name, time.perf_counter() - start, notes.detail, notes.path, notes.bytes)
        self.stages.append(stage)
        self.finished(stage)
