"""Blocks of noise, made ahead by threads while the graph runs."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType

import numpy as np
import numpy.typing as npt

from fs_runtime.noise.gaussian import GridNoise
from fs_runtime.noise.philox import Stream

_BUFFERS = 2


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

    def blocks(self, seed: int, stream: Stream, draws: int) -> Iterator[npt.NDArray[np.float32]]:
        """Blocks of draws 0, 1, ... of ``stream``, enough of them to hold ``draws`` draws.

        One such iterator at a time: all share the same buffers.
        """
        count = -(-draws // self._shape[0])
        pending = self._submit(seed, stream, 0)
        try:
            for block in range(count):
                for future in pending:
                    future.result()
                if block + 1 < count:
                    pending = self._submit(seed, stream, block + 1)
                yield self._buffers[block % _BUFFERS]
        finally:
            # A caller that stops early must not leave threads writing into buffers that the next blocks use.
            # One that was cancelled, here or by close(), never runs; waiting for it would never end.
            wait([future for future in pending if not future.cancel()])

    def _submit(self, seed: int, stream: Stream, block: int) -> list[Future[None]]:
        rows = self._buffers[block % _BUFFERS].reshape(self._shape[0], self._size)
        first = block * self._shape[0]
        return [self._pool.submit(self._fill, row, seed, stream, first + i) for i, row in enumerate(rows)]

    def _start(self) -> None:
        self._local.noise = GridNoise(self._sigma, self._size)

    def _fill(self, row: npt.NDArray[np.float32], seed: int, stream: Stream, draw: int) -> None:
        self._local.noise.fill(row, seed, stream, draw)
