"""Several images at once, each on threads of its own: an attack's small batches leave threads inside operators idle."""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


class _UnwantedError(Exception):
    """Nobody waits for the result any more."""


def at_once(work: Callable[[Item, Callable[[], None]], Made], items: Sequence[Item], workers: int) -> Generator[Made]:
    """``work`` of each item, as each is done; the first exception is raised, and ends the work that is under way.

    Args:
        work: called with an item, and with what it is to call now and then: that ends it where it is not wanted.
        items: to work on.
        workers: how many items at once; with one the caller does the work.
    """
    if workers < 2:
        for item in items:
            yield work(item, lambda: None)
        return
    unwanted = threading.Event()

    def go_on() -> None:
        if unwanted.is_set():
            raise _UnwantedError

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(work, item, go_on) for item in items]):
                yield future.result()
        finally:
            unwanted.set()
            pool.shutdown(cancel_futures=True)
