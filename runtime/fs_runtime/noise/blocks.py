"""Blocks of noise, made ahead by threads while the graph runs."""

import threading
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fs_runtime.noise.gaussian import GridNoise
from fs_runtime.noise.philox import Stream

_BUFFERS = 2


class DrawKey(NamedTuple):
    """One draw's place in the noise: (seed, stream, index)."""

    seed: int
    stream: Stream
    draw: int


class NoiseBlocks:
    """Yields noise [N, 3, H, W], block after block, the next one made while the caller uses the last.

    A block yielded is overwritten two blocks later: memory does not grow with the number of draws.
    """

    def __init__(self, *, sigma: float, shape: tuple[int, int, int, int], threads: int) -> None:
        """Prepare blocks of ``shape`` (N, 3, H, W), made by ``threads`` threads.

        Raises:
            ValueError: sigma out of range.
        """
        GridNoise(sigma, 1)  # so that a bad sigma fails here and not in a thread
        self._shape = shape
        self._size = shape[1] * shape[2] * shape[3]
        self._buffers = [np.zeros(shape, np.float32) for _ in range(_BUFFERS)]
        self._local = threading.local()
        self._sigma = sigma
        # A row is the smallest piece of work, so more threads than rows would idle.
        workers = min(threads, shape[0])
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="fs-noise", initializer=self._start)

    def __enter__(self) -> "NoiseBlocks":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def blocks(self, seed: int, stream: Stream, draws: int) -> Generator[npt.NDArray[np.float32]]:
        """Blocks of draws 0, 1, ... of ``stream``, enough of them to hold ``draws`` draws.

        One iterator at a time, of this or :meth:`ahead`: all share the same buffers.
        """
        batch = self._shape[0]
        plans = ([DrawKey(seed, stream, first + i) for i in range(batch)] for first in range(0, draws, batch))
        return self.ahead(plans)

    def ahead(self, plans: Iterable[Sequence[DrawKey]]) -> Generator[npt.NDArray[np.float32]]:
        """One block for each plan, which says whose draw each of its first rows is.

        Rows beyond a plan's keep what they held. A plan is taken from ``plans`` before the block of the plan before it
        is yielded, so that its noise is made while that one is used.
        """
        pending: list[Future[None]] = []
        remaining = enumerate(plans)
        try:
            number, plan = next(remaining, (0, None))
            pending = self._submit(number, plan or ())
            while plan is not None:
                for future in pending:
                    future.result()
                ready = number
                number, plan = next(remaining, (0, None))
                pending = self._submit(number, plan or ())
                yield self._buffers[ready % _BUFFERS]
        finally:
            # A caller that stops early must not leave threads writing into buffers that the next blocks use.
            # One that was cancelled, here or by close(), never runs; waiting for it would never end.
            wait([future for future in pending if not future.cancel()])

    def _submit(self, number: int, plan: Sequence[DrawKey]) -> list[Future[None]]:
        rows = self._buffers[number % _BUFFERS].reshape(self._shape[0], self._size)
        return [self._pool.submit(self._fill, row, key) for row, key in zip(rows, plan, strict=False)]

    def _start(self) -> None:
        self._local.noise = GridNoise(self._sigma, self._size)

    def _fill(self, row: npt.NDArray[np.float32], key: DrawKey) -> None:
        self._local.noise.fill(row, key.seed, key.stream, key.draw)
