"""The mean of an image's noisy features."""

import numpy as np

from fs_runtime.drawing.job import Floats, Job, Measured, Phase, Progress
from fs_runtime.noise import Seed, Stream
from fs_runtime.preprocess import PreparedImage


class SmoothJob(Job):
    """Sums unit features and raw norms."""

    def __init__(
        self, prepared: PreparedImage, seed: Seed, *, draws: int, dimension: int, progress: Progress | None
    ) -> None:
        super().__init__(prepared, seed, (Phase(Stream.SMOOTH, draws),), progress)
        self.draws = draws
        self._nothing = np.zeros(dimension)
        self._sum = np.zeros(dimension)
        self._raw_norm = 0.0

    @property
    def reference(self) -> Floats:
        """Zero: no cosine is asked for."""
        return self._nothing

    @property
    def mean(self) -> Floats:
        """[D] mean of the unit features."""
        return np.asarray(self._sum / self.draws)

    @property
    def mean_raw_norm(self) -> float:
        """Mean norm of the raw features."""
        return self._raw_norm / self.draws

    def _take(self, phase: int, last: bool, measured: Measured) -> None:  # noqa: ARG002  # it has one phase
        features = measured.features
        # Rows of no image may have been summed with this one's.
        self._sum += measured.feature_sum if features is None else features.sum(axis=0, dtype=np.float64)
        self._raw_norm += float(measured.raw_norm.sum(dtype=np.float64))
