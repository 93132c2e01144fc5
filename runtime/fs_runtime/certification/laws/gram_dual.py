"""The dual of the Gram law: tails, mean and second moment in one optimisation (docs/theory.md section 11.3).

For an angle theta with C = cot(theta) and multipliers mu, kappa, nu_j >= 0 let N_j = sum_{i<j} nu_i and, for y > 0,

    h_j(y) = -cos(t_j) y + max_{|x| <= sin t_j} [(C y - mu) x - kappa x^2] - N_j    where t_j <= tau,
    h_j(y) = max_{psi <= t_j} [C sin(psi) - cos(psi)] y - N_j                       where t_j > tau,
    F = E max_j h_j(l_s(Z)) + mu beta + kappa lambda + sum_j nu_j p_j.

F sin(theta) is H(theta) of Theorem 14, with its multipliers divided by sin(theta): F < 0 proves that the smoothed
feature turns by less than theta. On this scale F is convex in C and the multipliers together, so the best angle is one
convex program. This file states it and proves angles; what searches it is in dual_search.py and proves nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.laws.chord_law import ChordLaw
from fs_runtime.certification.normal import Floats, quantile

# F must lie below zero by this part of its terms' magnitudes. Rounding is estimated at 1e-10 of them: the masses of
# chord laws are quotients of differences of Phi (errors of 1e-16) by widths of 0.6%, of cells with 1e-3 of the
# probability or more.
_MARGIN = 1e-9
# A search that went astray: the sums below must not overflow.
_LARGEST_MULTIPLIER = 1e100
# Constraints are loosened to these at least, which keeps the best multipliers bounded.
_SMALLEST_MEAN, _SMALLEST_MOMENT, _SMALLEST_TAIL = 1e-9, 1e-9, 1e-12


@dataclass(frozen=True)
class GramConstraints:
    """What is known of the law of a draw's feature f about the reference v, psi being the angle between them.

    Attributes:
        thresholds: [J] angles t_j in radians, strictly rising, in (0, pi).
        tails: [J] upper bounds p_j of P(psi > t_j).
        cut: index of tau among the thresholds; tau <= pi / 2.
        mean: upper bound of beta = ||E U||, where U = (f - <f, v> v) 1{psi <= tau}.
        second_moment: upper bound of lambda, the largest eigenvalue of E[U U^T].
    """

    thresholds: tuple[float, ...]
    tails: tuple[float, ...]
    cut: int
    mean: float
    second_moment: float


@dataclass(frozen=True)
class Pieces:
    """The functions h_j at the nodes y, and their derivatives in C.

    Attributes:
        values: [m, J + 1] h_j(y).
        across: [m, bulk] the maximising x of the pieces with t_j <= tau; its derivative in C is y x.
        slopes: [J + 1 - bulk] of the other pieces, per y.
        bends: [J + 1 - bulk] second derivatives of the other pieces, per y.
    """

    values: Floats
    across: Floats
    slopes: Floats
    bends: Floats


class GramDual:
    """F as a function of q = (C, mu, kappa, nu_1..nu_J) >= 0, bounded from above through a chord law.

    Attributes:
        law: the chord law.
        bulk: number of pieces with t_j <= tau.
        sines: [J + 1] sin t_j.
        costs: [J + 3] (0, beta, lambda, p_1..p_J).
    """

    def __init__(self, constraints: GramConstraints, law: ChordLaw) -> None:
        self.law = law
        self.bulk = constraints.cut + 1
        self._angles = np.array([*constraints.thresholds, math.pi])
        self._cosines, self.sines = np.cos(self._angles), np.sin(self._angles)
        rho = float(self.sines[constraints.cut])
        mean = max(constraints.mean, _SMALLEST_MEAN)
        second_moment = max(constraints.second_moment, _SMALLEST_MOMENT * rho * rho)
        self.costs = np.array([0.0, mean, second_moment, *(max(tail, _SMALLEST_TAIL) for tail in constraints.tails)])

    def pieces(self, q: Floats) -> Pieces:
        """All h_j at the nodes of the chord law."""
        cotangent, mu, kappa = (float(value) for value in q[:3])
        y, bulk = self.law.nodes[:, None], self.bulk
        gain = cotangent * y - mu
        sines = self.sines[:bulk]
        across = np.clip(gain / (2.0 * kappa), -sines, sines) if kappa > 0.0 else np.sign(gain) * sines
        # C sin(psi) - cos(psi) is largest at psi = theta + pi / 2.
        peak = math.hypot(1.0, cotangent)
        beyond = self._angles[bulk:] >= math.pi - math.atan(cotangent)
        growth = np.where(beyond, peak, cotangent * self.sines[bulk:] - self._cosines[bulk:])
        values = np.concatenate(((gain - kappa * across) * across - self._cosines[:bulk] * y, growth * y), axis=1)
        values[:, 1:] -= np.cumsum(q[3:])
        return Pieces(
            values=values,
            across=across,
            slopes=np.where(beyond, cotangent / peak, self.sines[bulk:]),
            bends=np.where(beyond, peak**-3, 0.0),
        )

    def bound(self, q: Floats) -> tuple[float, float, float]:
        """An upper bound of F, less rounding; the sum of its terms' magnitudes; its derivative in C."""
        pieces, law = self.pieces(q), self.law
        rows, best = np.arange(len(law.nodes)), pieces.values.argmax(axis=1)
        top = pieces.values[rows, best]
        # Neither -cos(t) + C sin(t) nor any other slope of an h_j exceeds it.
        steepest = math.hypot(1.0, float(q[0]))
        rest = float(self.costs @ q) + law.beyond * steepest
        terms = np.abs(top) + steepest * law.nodes + float(q[1]) + float(q[2])
        along = np.broadcast_to(pieces.slopes, (len(rows), len(pieces.slopes)))
        slope = np.concatenate((pieces.across, along), axis=1)[rows, best] * law.nodes
        masses = law.masses
        return float(masses @ top) + rest, float(masses @ terms) + rest, float(masses @ slope)

    def proved_cotangent(self, q: Floats) -> float | None:
        """C with F < 0, about the largest that the multipliers of ``q`` admit; None if none was found near q's own."""
        q = np.maximum(q, 0.0)
        if not (q < _LARGEST_MULTIPLIER).all():
            return None
        proved = None
        for _ in range(8):
            value, magnitude, slope = self.bound(q)
            margin = _MARGIN * magnitude
            if value < -margin:
                proved = max(proved or 0.0, float(q[0]))
            if not slope > 0.0 or -3.0 * margin < value < -margin:
                break
            # F is convex in C: Newton's method for F = -2 margins.
            q[0] = min(max(float(q[0]) - (value + 2.0 * margin) / slope, 0.0), _LARGEST_MULTIPLIER)
        return proved

    def guess(self, shift: float, known: float) -> Floats:
        """Multipliers that the proofs of the closed form (mu, kappa) and of Lemma B (nu) suggest at ``known``."""
        cotangent = max(1.0 / math.tan(known), 0.1)
        spread = max(math.sqrt(math.expm1(shift * shift)), 0.05)
        growth = np.sin(np.minimum(self._angles - known, 0.5 * math.pi)) / math.sin(known)
        # A tail of probability p does most harm where the likelihood ratio is above its upper p-quantile.
        levels = np.array([-quantile(min(float(tail), 1.0 - 1e-12)) for tail in self.costs[3:]])
        nu = np.maximum(np.diff(growth), 1e-3) * np.exp(shift * levels - 0.5 * shift * shift)
        kappa = 0.5 * cotangent * spread / math.sqrt(self.costs[2])
        return np.array([cotangent, cotangent, kappa, *np.maximum(nu, 1e-6)])
