"""Pieces of work side by side, each on one thread: on a busy machine far faster than threads inside each operator."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from fs_models.threads import torch_threads

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Workers:
    """A pool; with one worker the caller does the work.

    Attributes:
        count: of workers.
        device: of the tensors that they work on.
    """

    count: int
    device: torch.device
    _pool: ThreadPoolExecutor | None

    def map(self, work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """``work`` of each item, in order; the first exception is raised."""
        if self._pool is None or len(items) < 2:
            return [work(item) for item in items]
        return list(self._pool.map(work, items))


@contextmanager
def workers(threads: int, device: torch.device, pieces: int) -> Iterator[Workers]:
    """Workers for ``threads`` cores, who share ``pieces`` evenly; operators use the other cores. One for a GPU."""
    count = 1 if device.type != "cpu" else max(1, min(threads, pieces))
    while pieces % count:
        count -= 1
    with torch_threads(max(1, threads // count)):
        if count == 1:
            yield Workers(1, device, None)
        else:
            with ThreadPoolExecutor(count) as pool:
                yield Workers(count, device, pool)
