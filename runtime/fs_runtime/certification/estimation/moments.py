"""Moments of the draws' off-axis parts, kept as the draws come."""

import numpy as np

from fs_runtime.certification.estimation.fourth_moment import FourthMoment
from fs_runtime.certification.laws.tails import cut_cosine
from fs_runtime.certification.normal import Floats

_POWER_STEPS = 8
_WAITING_SHARE = 8


class OffAxisMoments:
    """Accumulates U = (f - <f, v> v) 1{psi <= cut} over draws.

    Keeps the rows while there are fewer than dimensions (their Gram matrix has the same largest eigenvalue), then the
    D x D second moment and the latest rows, which join it D / 8 at a time: one large product is much faster than many
    thin ones. Memory never exceeds max(n, D) x D numbers with n <= D by more than those rows and a block of the fourth
    moment's.
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
        self._fourth = FourthMoment(len(reference))
        self._eigenvalue: float | None = None
        self.draws = 0

    def update(self, cosines: Floats, features: Floats) -> None:
        """Add draws: cosines [n] to the reference and unit features [n, D]."""
        inside = cosines >= self._cosine
        off_axis = features[inside] - np.outer(cosines[inside], self._reference)
        self.draws += len(cosines)
        self._sum += off_axis.sum(axis=0)
        self._square += float(np.square(off_axis).sum())
        self._fourth.update(off_axis)
        self._eigenvalue = None
        self._rows.append(off_axis)
        self._kept += len(off_axis)
        dimensions = len(self._reference)
        if self._kept > (dimensions if self._matrix is None else dimensions // _WAITING_SHARE):
            self._fold()

    def _fold(self) -> None:
        rows = self._kept_rows()
        moment = rows.T @ rows
        if self._matrix is None:
            self._matrix = moment
        else:
            self._matrix += moment
        self._rows, self._kept = [], 0

    def _kept_rows(self) -> Floats:
        if len(self._rows) > 1:
            self._rows = [np.concatenate(self._rows)]
        return self._rows[0]

    @property
    def mean_norm(self) -> float:
        """Norm of the sample mean of U."""
        return float(np.linalg.norm(self._sum)) / self.draws

    @property
    def mean_square(self) -> float:
        """Sample mean of ||U||^2."""
        return self._square / self.draws

    @property
    def fourth_moment(self) -> float:
        """An upper bound of the sample mean of <U, w>^4 in every unit direction w."""
        return self._fourth.total / self.draws

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
        image = np.zeros_like(direction) if self._matrix is None else self._matrix @ direction
        if self._rows:
            rows = self._kept_rows()
            image = image + (rows @ direction) @ rows
        return np.asarray(image)

    @property
    def largest_eigenvalue(self) -> float:
        """Largest eigenvalue of the sample mean of U U^T."""
        if self._eigenvalue is None:
            if self._matrix is not None and self._rows:
                self._fold()
            self._eigenvalue = max(0.0, self._computed_eigenvalue()) / self.draws
        return self._eigenvalue

    def _computed_eigenvalue(self) -> float:
        if self._matrix is not None:
            return float(np.linalg.eigvalsh(self._matrix)[-1])
        rows = self._kept_rows()
        return float(np.linalg.eigvalsh(rows @ rows.T)[-1]) if len(rows) else 0.0
