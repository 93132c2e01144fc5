"""The loop around the graph: blocks kept full, noise made ahead, images finished in the order they came."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import numpy as np

from fs_runtime.backends import Backend, Block, BlockResult, Noise, NoiseSource
from fs_runtime.bundle import Manifest
from fs_runtime.certification import CertificationError
from fs_runtime.drawing.job import FailedJob, Job, Measured, Share
from fs_runtime.drawing.spent import Spent
from fs_runtime.errors import BackendError, FsError, InputError
from fs_runtime.noise import DrawKey

AnyJob = TypeVar("AnyJob", bound=Job)


class DrawLoop:
    """Runs jobs through one graph. A graph exported with ``--images K`` mixes the draws of up to K of them.

    Memory does not grow with the number of jobs: they are taken from their iterator as there is room. Where the backend
    runs ahead, results are used while it works on the next block, wherever that block does not depend on them.
    """

    def __init__(self, backend: Backend, noise: NoiseSource, manifest: Manifest) -> None:
        self._backend = backend
        self._noise = noise
        self._batch = manifest.noise_batch
        self._slots = manifest.images
        # Where only sums of features come out of the graph, rows of no job must not be summed into a job's slot.
        self._most_mixed = self._slots if manifest.has_features or self._slots == 1 else self._slots - 1
        shape = (self._slots, 3, manifest.height, manifest.width)
        self._pixels = np.zeros(shape, np.float32)
        self._references = np.zeros((self._slots, manifest.dimension), np.float32)
        self._index = np.zeros(self._batch, np.int64)
        self._running = False

    def run(self, jobs: Iterable[AnyJob | FailedJob]) -> Generator[AnyJob | FailedJob]:
        """The jobs, each when it is finished or has failed, in the order in which they came.

        Raises:
            BackendError: the backend fails; what was yielded before stays good.
            InputError: other jobs are not finished.
        """
        if self._running:
            raise InputError(
                "this encoder is in the middle of certify_many, whose noise another call would overwrite: take all its "
                "results first, or load the bundle once more"
            )
        self._running = True
        try:
            yield from self._run_all(jobs)
        finally:
            self._running = False

    def watch(self) -> Spent:
        """What counts from now on where the time goes."""
        spent = Spent()
        self._backend = spent.around_backend(self._backend)
        self._noise = spent.around_noise(self._noise)
        return spent

    def _run_all(self, jobs: Iterable[AnyJob | FailedJob]) -> Generator[AnyJob | FailedJob]:
        schedule = _Schedule(iter(jobs), batch=self._batch, most_mixed=self._most_mixed)
        while not schedule.over:
            flying: deque[_Flying] = deque()
            # Closed at once when something fails, so that no thread goes on writing into the noise buffers.
            with closing(self._noise.ahead(schedule.plans())) as blocks:
                for noise in blocks:
                    shares = schedule.next_block()
                    if not all(job.ready(share) for job, share in shares):
                        _land(flying)
                    self._start(shares, noise, flying)
                    _land(flying, but=1 if self._backend.runs_ahead and all(job.greedy for job, _ in shares) else 0)
                    yield from schedule.finished()
            _land(flying)
            yield from schedule.finished()

    def _start(self, shares: "_Shares", noise: Noise, flying: "deque[_Flying]") -> None:
        """Begin one block."""
        if all(job.finished for job, _ in shares):
            return  # they stopped while its noise was being made
        row = 0
        self._index[:] = min(len(shares), self._slots - 1)
        for slot, (job, share) in enumerate(shares):
            self._pixels[slot] = job.prepared.pixel_values[0]
            self._references[slot] = 0.0 if job.finished else job.reference
            self._index[row : row + share.count] = slot
            row += share.count
        flying.append((shares, self._backend.start(Block(self._pixels, noise, self._references, self._index))))


def _land(flying: "deque[_Flying]", *, but: int = 0) -> None:
    """Hand out the results of blocks, oldest first, ``but`` for the newest."""
    while len(flying) > but:
        shares, wait = flying.popleft()
        result = wait()
        row = 0
        for slot, (job, share) in enumerate(shares):
            rows = slice(row, row + share.count)
            row = rows.stop
            if job.finished:
                continue
            try:
                job.take(share, _measured(result, slot, rows))
            except BackendError:
                raise
            except (FsError, CertificationError) as error:
                job.fail(error)


_Shares = list[tuple[Job, Share]]
_Flying = tuple[_Shares, Callable[[], BlockResult]]


class _Schedule:
    """Decides which draws go into which block, one block ahead of the results."""

    def __init__(self, jobs: Iterator[Job | FailedJob], *, batch: int, most_mixed: int) -> None:
        self._jobs = jobs
        self._batch = batch
        self._most_mixed = most_mixed
        self._most_waiting = 2 * most_mixed + 1
        self._waiting: deque[Job | FailedJob] = deque()
        self._blocks: deque[_Shares] = deque()
        self._exhausted = False

    @property
    def over(self) -> bool:
        return self._exhausted and not self._waiting

    def plans(self) -> Iterator[list[DrawKey]]:
        """The draws of one block after another, until no draw is left to hand out."""
        while shares := self._fill():
            self._blocks.append(shares)
            yield [_key(job, share, i) for job, share in shares for i in range(share.count)]

    def next_block(self) -> _Shares:
        return self._blocks.popleft()

    def finished(self) -> Iterator[Any]:
        while self._waiting and self._waiting[0].finished:
            yield self._waiting.popleft()

    def _fill(self) -> _Shares:
        mixed = self._open_jobs()
        shares: _Shares = []
        room = self._batch
        for number, job in enumerate(mixed):
            most = room if job.greedy else -(-room // (len(mixed) - number))
            if most == 0:
                break
            share = job.share(most)
            shares.append((job, share))
            room -= share.count
        return shares

    def _open_jobs(self) -> list[Job]:
        """The oldest jobs with draws left, new ones taken as there is room."""
        found = [job for job in self._waiting if isinstance(job, Job) and not job.handed_out]
        while len(found) < self._most_mixed and len(self._waiting) < self._most_waiting and not self._exhausted:
            job = next(self._jobs, None)
            if job is None:
                self._exhausted = True
                break
            self._waiting.append(job)
            if isinstance(job, Job) and not job.handed_out:
                found.append(job)
        return found[: self._most_mixed]


def _key(job: Job, share: Share, offset: int) -> DrawKey:
    return DrawKey(job.seed.value, job.phases[share.phase].stream, share.first + offset)


def _measured(result: BlockResult, slot: int, rows: slice) -> Measured:
    return Measured(
        cosine=result.cosine[rows],
        raw_norm=result.raw_norm[rows],
        feature_sum=result.feature_sum[slot],
        features=None if result.features is None else result.features[rows],
    )
