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
    """``work`` of each item, as each is done; the first exception ends the work that is under way.

    It is raised when every result that was done by then has been handed out.

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
        waiting = [pool.submit(work, item, go_on) for item in items]
        try:
            for future in as_completed(tuple(waiting)):
                if future.exception() is not None:
                    break
                waiting.remove(future)
                yield future.result()
            else:
                return
            unwanted.set()
            pool.shutdown(cancel_futures=True)
            for done in waiting:
                if not done.cancelled() and done.exception() is None:
                    yield done.result()
            future.result()
        finally:
            unwanted.set()
            pool.shutdown(cancel_futures=True)
