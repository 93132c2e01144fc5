"""Second moments of the draws' off-axis parts, kept as the draws come."""

import numpy as np

from fs_runtime.certification.laws.tails import cut_cosine
from fs_runtime.certification.normal import Floats

_POWER_STEPS = 4


class OffAxisMoments:
    """Accumulates U = (f - <f, v> v) 1{psi <= cut} over draws.

    Keeps the rows while there are fewer than dimensions (their Gram matrix has the same largest eigenvalue), then the
    D x D second moment: memory never exceeds max(n, D) x D numbers with n <= D.
    """

    def __init__(self, reference: Floats, cut: float) -> None:
        self._reference = reference
        self._cosine = cut_cosine(cut)
        self._sum = np.zeros_like(reference)
        self._rows: list[Floats] = []
        self._kept = 0
        self._matrix: Floats | None = None
        self._direction: Floats | None = None
        self._square = 0.0
        self.draws = 0

    def update(self, cosines: Floats, features: Floats) -> None:
        """Add draws: cosines [n] to the reference and unit features [n, D]."""
        inside = cosines >= self._cosine
        off_axis = features[inside] - np.outer(cosines[inside], self._reference)
        self.draws += len(cosines)
        self._sum += off_axis.sum(axis=0)
        self._square += float(np.square(off_axis).sum())
        if self._matrix is not None:
            self._matrix += off_axis.T @ off_axis
            return
        self._rows.append(off_axis)
        self._kept += len(off_axis)
        if self._kept > len(self._reference):
            rows = np.concatenate(self._rows)
            self._matrix = rows.T @ rows
            self._rows = []

    @property
    def mean_norm(self) -> float:
        """Norm of the sample mean of U."""
        return float(np.linalg.norm(self._sum)) / self.draws

    @property
    def mean_square(self) -> float:
        """Sample mean of ||U||^2."""
        return self._square / self.draws

    def eigenvalue_from_below(self) -> float:
        """A lower bound of :attr:`largest_eigenvalue`, close to it and far cheaper: a few steps of power iteration."""
        direction = self._direction
        if direction is None:
            direction = self._sum if float(np.linalg.norm(self._sum)) > 0.0 else np.ones_like(self._sum)
        found = 0.0
        for _ in range(_POWER_STEPS):
            direction = direction / np.linalg.norm(direction)
            image = self._times(direction)
            found = max(found, float(direction @ image))
            if not float(np.linalg.norm(image)) > 0.0:
                return 0.0
            direction = image
        self._direction = direction
        return found / self.draws

    def _times(self, direction: Floats) -> Floats:
        if self._matrix is not None:
            return np.asarray(self._matrix @ direction)
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        rows = self._rows[0]
        return np.asarray((rows @ direction) @ rows)

    @property
    def largest_eigenvalue(self) -> float:
        """Largest eigenvalue of the sample mean of U U^T."""
        if self._matrix is not None:
            moment = self._matrix
        else:
            rows = np.concatenate(self._rows)
            if len(rows) == 0:
                return 0.0
            moment = rows @ rows.T
        return max(0.0, float(np.linalg.eigvalsh(moment)[-1])) / self.draws
