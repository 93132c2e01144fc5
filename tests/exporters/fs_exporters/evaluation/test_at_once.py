"""Work on several items at once: all of it is done, and none goes on where one failed."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from fs_exporters.evaluation.at_once import at_once


@pytest.mark.parametrize("workers", [1, 3])
def test_at_once_gives_every_result_when_all_goes_well(workers: int) -> None:
    threads = set()

    def square(number: int, go_on: Callable[[], None]) -> int:
        go_on()
        threads.add(threading.get_ident())
        time.sleep(0.02)
        return number * number

    assert sorted(at_once(square, range(6), workers)) == [0, 1, 4, 9, 16, 25]
    assert (threads == {threading.get_ident()}) == (workers == 1)


def test_at_once_ends_the_others_when_one_fails() -> None:
    begun, finished = [], []

    def work(number: int, go_on: Callable[[], None]) -> int:
        begun.append(number)
        if number == 0:
            raise ValueError("the first")
        for _ in range(1000):
            go_on()
            time.sleep(0.01)
        finished.append(number)
        return number

    before = time.monotonic()
    with pytest.raises(ValueError, match="the first"):
        list(at_once(work, range(50), 2))
    assert time.monotonic() - before < 5.0
    assert len(begun) < 50
    assert finished == []


def test_at_once_hands_out_what_is_done_before_it_raises_when_one_fails() -> None:
    """Items 1 and 2 are done while the caller is busy with the failure of 0, or with one another."""
    failing = threading.Event()

    def work(number: int, go_on: Callable[[], None]) -> int:
        if number == 0:
            failing.wait()
            raise ValueError("the first")
        if number == 2:
            failing.set()
            time.sleep(0.2)  # under way when 0 fails, and not asked to go on any more
        return number

    results = at_once(work, range(3), 3)
    assert {next(results), next(results)} == {1, 2}
    with pytest.raises(ValueError, match="the first"):
        next(results)


def test_at_once_ends_when_its_caller_stops_asking() -> None:
    calls = []

    def work(number: int, go_on: Callable[[], None]) -> int:
        for _ in range(100 * number):
            go_on()
            calls.append(number)
            time.sleep(0.01)
        return number

    with closing(at_once(work, range(4), 2)) as results:
        assert next(results) == 0
    before = len(calls)
    time.sleep(0.05)
    assert len(calls) == before
