"""Is noise on the grid normal, and free of bias in its lowest bits? Counts that add up over any number of values."""

import math
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from fs_runtime.grid import GRID_STEP

RARE = 2.0 * float(special.ndtr(-5.0))
"""A check that a healthy generator fails with this probability: 6e-7."""
BEYOND = (2.0, 3.0, 4.0, 5.0, 6.0)
_SMALLEST_EXPECTED = 5.0
_LARGEST = 7.0


class NoiseStatistics:
    """Moments, tails and residues of k, where noise is k grid steps.

    The residues are counted by ranges of |k|, because float32 loses bits with size.
    """

    def __init__(self, sigma: float) -> None:
        self.values = 0
        self._scale = sigma / GRID_STEP
        self._powers = np.zeros(4)
        self._tails = np.zeros((2, len(BEYOND)), np.int64)
        # Last |k| of "near zero", "bulk", "middle", "3 to 4 sigma"; the rest is beyond 4 sigma.
        self._edges = np.array([round(share * self._scale) for share in (0.01, 1.0, 3.0, 4.0)])
        self._residues = np.zeros((len(self._edges) + 1, 4), np.int64)

    def add(self, steps: npt.NDArray[np.integer]) -> None:
        """Count ``steps``, the values of k."""
        flat = steps.ravel()
        self.values += flat.size
        x = flat / self._scale
        square = x * x
        self._powers += (x.sum(), square.sum(), (square * x).sum(), (square * square).sum())
        for column, beyond in enumerate(BEYOND):
            self._tails[:, column] += ((x < -beyond).sum(), (x > beyond).sum())
        ranges = np.searchsorted(self._edges, np.abs(flat))
        self._residues += np.bincount(4 * ranges + np.mod(flat, 4), minlength=self._residues.size).reshape(-1, 4)

    def moment_scores(self) -> dict[str, float]:
        """Distance of each moment from the normal one, in standard deviations."""
        n = self.values
        mean, square, cube, fourth = self._powers / n
        # E x^6 = 15, E x^8 = 105: Var x^3 = 15, and Var x^4 = 96.
        return {
            "mean": float(mean * math.sqrt(n)),
            "variance": float((square - 1.0) / math.sqrt(2.0 / n)),
            "skewness": float(cube / math.sqrt(15.0 / n)),
            "kurtosis": float((fourth - 3.0) / math.sqrt(96.0 / n)),
        }

    def tail_p_values(self) -> dict[str, float]:
        """Binomial p-value of how many values lie beyond so many sigma, on each side."""
        p_values = {}
        for side, counts in zip("-+", self._tails, strict=True):
            for beyond, count in zip(BEYOND, counts, strict=True):
                # The smallest |k| beyond is the rounding of anything from half a step below it.
                share = float(special.ndtr(-(math.floor(beyond * self._scale) + 0.5) / self._scale))
                p_values[f"{side}{beyond:g} sigma"] = float(stats.binomtest(int(count), self.values, share).pvalue)
        return p_values

    def residue_p_values(self, modulus: int) -> dict[str, float]:
        """For ranges of |k|, the chi-square p-value of k mod 2 or 4 against its exact law."""
        seen = self._residues.reshape(len(self._residues), -1, modulus).sum(axis=1)
        law = self._law.reshape(len(self._residues), -1, modulus).sum(axis=1)
        near, bulk, middle, below_four, beyond_four = range(5)
        ranges = {
            "all": slice(None),
            "near zero": near,
            "bulk": bulk,
            "middle": middle,
            "beyond 3 sigma": [below_four, beyond_four],
            "beyond 4 sigma": beyond_four,
        }
        p_values = {}
        for name, rows in ranges.items():
            counts = np.atleast_2d(seen[rows]).sum(axis=0)
            weights = np.atleast_2d(law[rows]).sum(axis=0)
            expected = counts.sum() * weights / weights.sum()
            assert expected.min() > _SMALLEST_EXPECTED, f"too few values in the range {name!r}"
            p_values[name] = float(stats.chi2.sf(np.square(counts - expected) @ (1.0 / expected), modulus - 1))
        return p_values

    @cached_property
    def _law(self) -> npt.NDArray[np.float64]:
        """[ranges, 4] probabilities of |k| and k mod 4."""
        largest = int(_LARGEST * self._scale)
        magnitudes = np.arange(largest + 1, dtype=np.int64)
        # P(|k| = m), exact: differences of the upper tail at m - 1/2 and m + 1/2; both signs.
        tail = special.ndtr(-(np.arange(largest + 2) - 0.5) / self._scale)
        mass = tail[:-1] - tail[1:]
        mass[0] *= 0.5  # 0 has no sign; the two halves meet below
        ranges = 4 * np.searchsorted(self._edges, magnitudes)
        return np.sum(
            [
                np.bincount(ranges + np.mod(sign * magnitudes, 4), mass, minlength=self._residues.size)
                for sign in (1, -1)
            ],
            axis=0,
        )
