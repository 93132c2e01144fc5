"""An upper bound of the sample's fourth moment in every direction, kept as the draws come."""

import numpy as np

from fs_runtime.certification.normal import Floats

BLOCK = 512
_STEPS = 24
_ROUNDING = 1e-12


class FourthMoment:
    """Bounds sup over unit w of sum <U_i, w>^4 from above (docs/theory.md Lemma F).

    Rows are taken in blocks of 512: of the matrix of squares <U_i, U_j>^2 of a block the largest eigenvalue is bounded,
    and the bounds add up. So memory is that of one block, and the product of two rows is made when the later one comes.
    """

    def __init__(self, dimension: int) -> None:
        self._rows = np.empty((BLOCK, dimension))
        self._squares = np.empty((BLOCK, BLOCK))
        self._count = 0
        self._finished = 0.0
        self._total: float | None = 0.0

    def update(self, rows: Floats) -> None:
        """Add rows [n, D]."""
        self._total = None
        while len(rows):
            taken = rows[: BLOCK - self._count]
            first, last = self._count, self._count + len(taken)
            self._rows[first:last] = taken
            products = np.square(taken @ self._rows[:last].T)
            self._squares[first:last, :last] = products
            self._squares[:first, first:last] = products[:, :first].T
            self._count = last
            if last == BLOCK:
                self._finished += largest_eigenvalue_above(self._squares)
                self._count = 0
            rows = rows[len(taken) :]

    @property
    def total(self) -> float:
        """The bound for all rows so far."""
        if self._total is None:
            block = self._squares[: self._count, : self._count]
            self._total = self._finished + largest_eigenvalue_above(block)
        return self._total


def largest_eigenvalue_above(matrix: Floats) -> float:
    """An upper bound, close to it, of the largest eigenvalue of a symmetric matrix [n, n] of numbers >= 0.

    Collatz and Wielandt: max_i (A y)_i / y_i is one for every y > 0; power iteration brings it near.
    """
    if not matrix.any():
        return 0.0
    bound = np.inf
    vector = np.ones(len(matrix))
    for _ in range(_STEPS):
        image = matrix @ vector
        bound = min(bound, float((image / vector).max()))
        # The second term keeps entries positive where rows are zero.
        vector = image + 1e-3 * image.max() * vector / vector.max()
        vector /= vector.max()
    return bound * (1.0 + _ROUNDING * len(matrix))
