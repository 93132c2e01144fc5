"""What one image asks of the graph: draws, in phases."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fs_runtime.noise import Seed, Stream
from fs_runtime.preprocess import PreparedImage

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with (draws done, draws in all) after every block, the pilot's included."""


@dataclass(frozen=True)
class Phase:
    """Draws 0 .. draws - 1 of one stream; a later phase may need what an earlier one measured."""

    stream: Stream
    draws: int


@dataclass(frozen=True)
class Share:
    """Draws of one phase that one block is to hold: [first, first + count)."""

    phase: int
    first: int
    count: int


@dataclass(frozen=True)
class Measured:
    """What a block says of one job's share, draw by draw.

    Attributes:
        cosine: [count] to the job's reference.
        raw_norm: [count] norms before features were made unit.
        feature_sum: [D] sum of the unit features of the block's rows in the job's slot. Where the graph gives no
            features these are the share's rows, in phases that fill whole batches.
        features: [count, D] where the graph gives them.
    """

    cosine: Float32
    raw_norm: Float32
    feature_sum: Float32
    features: Float32 | None


class Job(ABC):
    """One image's draws. Shares are handed out in order, ahead of their results; results come back in order."""

    greedy = True
    """Whether it takes all room of a block, or shares it evenly with other images, so as to stop at a better time."""

    def __init__(
        self, prepared: PreparedImage, seed: Seed, phases: tuple[Phase, ...], progress: Progress | None
    ) -> None:
        self.prepared = prepared
        self.seed = seed
        self.phases = phases
        self.error: Exception | None = None
        self._progress = progress
        self._handed = [0] * len(phases)
        self._done = 0
        self._total = sum(phase.draws for phase in phases)
        self._stopped = False

    @property
    @abstractmethod
    def reference(self) -> Floats:
        """[D] what the graph is to compare the next draws with."""

    @abstractmethod
    def _take(self, phase: int, last: bool, measured: Measured) -> None:
        """Use the next draws of a phase; ``last`` says that it is complete with them.

        Raises:
            FsError, CertificationError: nothing can be made of this image; the job is over.
        """

    @property
    def finished(self) -> bool:
        """Whether no result is awaited any more."""
        return self._stopped or self.error is not None or self._done == self._total

    @property
    def handed_out(self) -> bool:
        """Whether every draw it may need is handed out."""
        return self.finished or sum(self._handed) == self._total

    def share(self, room: int) -> Share:
        """The next draws, at most ``room`` of them and all of one phase."""
        phase = next(number for number, handed in enumerate(self._handed) if handed < self.phases[number].draws)
        first = self._handed[phase]
        count = min(room, self.phases[phase].draws - first)
        self._handed[phase] += count
        return Share(phase, first, count)

    def ready(self, share: Share) -> bool:
        """Whether a share may be started: nothing is awaited of the phases before it, which fix the reference."""
        return self.finished or self._done >= sum(phase.draws for phase in self.phases[: share.phase])

    def take(self, share: Share, measured: Measured) -> None:
        """Use the result of a share."""
        self._take(share.phase, share.first + share.count == self.phases[share.phase].draws, measured)
        self._done += share.count
        if self._progress is not None:
            self._progress(self._total if self._stopped else self._done, self._total)

    def stop(self) -> None:
        """Ask for no more draws; what was handed out is not awaited."""
        self._stopped = True

    def fail(self, error: Exception) -> None:
        """End it with a user's error."""
        self.error = error


class FailedJob:
    """An image that could not even be prepared; it keeps its place in the order."""

    finished = True

    def __init__(self, error: Exception) -> None:
        self.error = error
