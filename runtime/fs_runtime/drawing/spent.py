"""Where the time of draws goes: a clock around the backend and around the noise."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar, cast

from fs_runtime.backends import Backend, Block, BlockResult
from fs_runtime.noise import DrawKey

Source = TypeVar("Source")


@dataclass
class Spent:
    """What was counted so far, by the caller's clock.

    Attributes:
        blocks: noise batches that the graph ran.
        waiting: seconds spent waiting for noise, and handing out the next.
        running: seconds inside the backend.
    """

    blocks: int = 0
    waiting: float = 0.0
    running: float = 0.0

    def around_backend(self, backend: Backend) -> Backend:
        """``backend`` with a clock around its blocks."""
        return cast("Backend", _TimedBackend(backend, self))

    def around_noise(self, noise: Source) -> Source:
        """``noise`` with a clock around waiting for it."""
        return cast("Source", _TimedNoise(noise, self))


class _Timed:
    """Whatever else is asked of it, the timed object answers."""

    def __init__(self, timed: Any, spent: Spent) -> None:
        self._timed = timed
        self._spent = spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._timed, name)


class _TimedBackend(_Timed):
    def run(self, block: Block) -> BlockResult:
        result = self._clocked(lambda: self._timed.run(block))
        self._spent.blocks += 1
        return cast("BlockResult", result)

    def start(self, block: Block) -> Callable[[], BlockResult]:
        """Of backends that run ahead: beginning a block and waiting for it both count."""
        wait = self._clocked(lambda: self._timed.start(block))
        self._spent.blocks += 1
        return lambda: self._clocked(wait)

    def _clocked(self, work: Callable[[], Any]) -> Any:
        begun = perf_counter()
        try:
            return work()
        finally:
            self._spent.running += perf_counter() - begun


class _TimedNoise(_Timed):
    def ahead(self, plans: Iterable[Sequence[DrawKey]]) -> Generator[Any]:
        blocks = self._timed.ahead(plans)
        try:
            while True:
                begun = perf_counter()
                noise = next(blocks, None)
                self._spent.waiting += perf_counter() - begun
                if noise is None:
                    return
                yield noise
        finally:
            blocks.close()
