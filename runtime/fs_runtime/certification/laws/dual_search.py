"""The search for the best multipliers of the Gram law's dual: a primal-dual interior point method.

Nothing here needs to be right for a certificate to be valid: see gram_dual.py.
"""

import math
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from fs_runtime.certification.laws.gram_dual import GramDual, Pieces
from fs_runtime.certification.normal import Floats

_MOST_STEPS = 60
_FIRST_PRODUCT = 0.5
_LAST_GAP = 1e-8
_LARGEST_GAP = 1e3  # it starts at a few units
_SOFTNESS = 0.5
_LARGEST_PRICE = 1e6  # of F = 0: it is about 1, and grows without end where nothing can be proved
_SHARE = 0.9  # of the way to where a slack or a multiplier would vanish


@dataclass(frozen=True)
class _Point:
    """Primal (q, u, slack) and dual (weight, price, z) variables; all but u and z stay positive.

    q [n] is in units of the guess; u [m, 1] is the epigraph of max_j h_j at the nodes; slack and weight [m, J + 1]
    belong to u >= h_j, price [n] to q >= 0, z to F = 0.
    """

    q: Floats
    u: Floats
    slack: Floats
    weight: Floats
    price: Floats
    z: float

    def gap(self, masses: Floats) -> float:
        return float((masses * self.weight * self.slack).sum() + self.q @ self.price)

    def moved(self, step: "_Point", primal: float, dual: float) -> "_Point":
        return _Point(
            q=self.q + primal * step.q,
            u=self.u + primal * step.u,
            slack=self.slack + primal * step.slack,
            weight=self.weight + dual * step.weight,
            price=self.price + dual * step.price,
            z=self.z + dual * step.z,
        )

    def lengths(self, step: "_Point", share: float) -> tuple[float, float]:
        """Primal and dual steps in (0, 1] that go at most ``share`` of the way to the boundary."""
        primal = max(float(np.max(-step.slack / self.slack)), float(np.max(-step.q / self.q)))
        dual = max(float(np.max(-step.weight / self.weight)), float(np.max(-step.price / self.price)))
        return share / max(share, primal), share / max(share, dual)


def search(dual: GramDual, guess: Floats) -> Floats:
    """Multipliers (C, mu, kappa, nu_1..nu_J) near those of the largest C with F <= 0.

    Mehrotra's predictor and corrector for: maximise C subject to sum_i w_i u_i + costs q = 0, u_i >= h_j(y_i; q) and
    q >= 0. Each u_i is eliminated, so a step solves J + 4 equations. Products of slack and multiplier are aimed at
    multiples of (1 + y) / 2, the scale on which h_j varies. Deterministic; 20 steps as a rule.
    """
    masses = dual.law.masses[:, None]
    aim = 0.5 * (1.0 + dual.law.nodes[:, None])
    q = np.ones(len(guess))
    q[0] = 0.9
    values = dual.pieces(q * guess).values
    u = _soft_maximum(values, _FIRST_PRODUCT * aim)
    slack = u - values
    point = _Point(q, u, slack, _FIRST_PRODUCT * aim / slack, _FIRST_PRODUCT / q, 1.0)
    products = values.shape[1] + len(q)
    best, smallest = point, math.inf
    # Very close to the end the equations may lose their rank; the best point so far is good enough then.
    with np.errstate(all="ignore"), suppress(np.linalg.LinAlgError):
        for _ in range(_MOST_STEPS):
            gap = point.gap(masses)
            if gap < smallest:
                best, smallest = point, gap
            if not (_LAST_GAP < gap < _LARGEST_GAP and point.z < _LARGEST_PRICE):
                break
            system = _NewtonSystem(dual, guess, point, _SOFTNESS * gap / products)
            ahead = system.step(np.zeros_like(point.slack), np.zeros_like(q))
            left = point.moved(ahead, *point.lengths(ahead, 1.0)).gap(masses)
            product = max((left / gap) ** 3, 1e-4) * gap / products
            step = system.step(product * aim - ahead.weight * ahead.slack, product - ahead.price * ahead.q)
            point = point.moved(step, *point.lengths(step, _SHARE))
    return best.q * guess


class _NewtonSystem:
    """The optimality conditions, linearised at a point, with slack, weight, price and u eliminated."""

    def __init__(self, dual: GramDual, guess: Floats, point: _Point, softness: float) -> None:
        # A kappa near zero makes kinks of the h_j, which Newton's method would jump across.
        at = point.q * guess
        at[2] += softness / float(dual.sines[dual.bulk - 1]) ** 2
        pieces = dual.pieces(at)
        size = len(guess)
        self._point = point
        self._masses = masses = dual.law.masses[:, None]
        self._costs = dual.costs * guess
        self._gradient = gradient = _gradient(dual, guess, pieces)
        self._defect = point.u - pieces.values - point.slack
        self._stiffness = stiffness = point.weight / point.slack
        self._total = stiffness.sum(axis=1, keepdims=True)
        # Rows are centred about their weighted mean, so that eliminating u subtracts no large numbers.
        self._mean = np.matmul(stiffness[:, None, :], gradient)[:, 0, :] / self._total
        centred = (gradient - self._mean[:, None, :]).reshape(-1, size)
        matrix = np.empty((size + 1, size + 1))
        matrix[:size, :size] = centred.T @ ((masses * stiffness).reshape(-1, 1) * centred)
        matrix[:size, :size] += _curvature(dual, guess, pieces, point.weight, float(at[2])) + np.diag(
            point.price / point.q
        )
        matrix[:size, size] = matrix[size, :size] = self._costs + masses[:, 0] @ self._mean
        matrix[size, size] = -float((masses / self._total).sum())
        # Equations in units of their diagonal: near the end it spans many orders of magnitude.
        self._units = 1.0 / np.sqrt(np.abs(np.diag(matrix)))
        self._matrix = self._units[:, None] * matrix * self._units

    def step(self, products: Floats, prices: Floats) -> _Point:
        """The step towards slack weight = ``products`` [m, J + 1] and q price = ``prices`` [n]."""
        at, masses, stiffness, gradient = self._point, self._masses, self._stiffness, self._gradient
        size = len(at.q)
        weight = products / at.slack - stiffness * self._defect
        excess = weight.sum(axis=1, keepdims=True) - at.z
        right = np.empty(size + 1)
        right[:size] = prices / at.q - at.z * self._costs + (masses * excess)[:, 0] @ self._mean
        right[:size] -= (masses * weight).reshape(-1) @ gradient.reshape(-1, size)
        right[0] += 1.0
        right[size] = -float(masses[:, 0] @ at.u[:, 0] + self._costs @ at.q + (masses * excess / self._total).sum())
        solution = self._units * np.linalg.solve(self._matrix, self._units * right)
        q, z = np.asarray(solution[:size], dtype=np.float64), float(solution[size])
        u = (excess - z) / self._total + (self._mean @ q)[:, None]
        slack = u - gradient @ q + self._defect
        return _Point(
            q=q,
            u=u,
            slack=slack,
            weight=products / at.slack - at.weight - stiffness * slack,
            price=(prices - at.price * q) / at.q - at.price,
            z=z,
        )


def _gradient(dual: GramDual, guess: Floats, pieces: Pieces) -> Floats:
    """[m, J + 1, n] first derivatives of h_j in q, in units of the guess."""
    y, bulk = dual.law.nodes[:, None], dual.bulk
    nodes, levels = pieces.values.shape
    gradient = np.empty((nodes, levels, len(guess)))
    gradient[:, :, 3:] = -np.tri(levels, levels - 1, -1) * guess[3:]
    gradient[:, bulk:, 1:3] = 0.0
    gradient[:, :bulk, 0] = y * pieces.across * guess[0]
    gradient[:, bulk:, 0] = y * pieces.slopes * guess[0]
    gradient[:, :bulk, 1] = -pieces.across * guess[1]
    gradient[:, :bulk, 2] = -np.square(pieces.across) * guess[2]
    return gradient


def _curvature(dual: GramDual, guess: Floats, pieces: Pieces, weight: Floats, kappa: float) -> Floats:
    """[n, n] second derivatives of h_j in q, summed with their weights."""
    y, bulk, across = dual.law.nodes[:, None], dual.bulk, pieces.across
    weights = dual.law.masses[:, None] * weight
    # Where x = (C y - mu) / (2 kappa) is inside its range, the second derivative has rank one.
    inside = np.abs(across) < dual.sines[:bulk]
    amount = weights[:, :bulk] * inside / (2.0 * kappa)
    direction = np.stack((np.broadcast_to(y, across.shape), -np.ones_like(across), -2.0 * across), axis=-1)
    rows = direction.reshape(-1, 3) * guess[:3]
    curvature = np.zeros((len(guess), len(guess)))
    curvature[:3, :3] = rows.T @ (amount.reshape(-1, 1) * rows)
    curvature[0, 0] += float((weights[:, bulk:] * y).sum(axis=0) @ pieces.bends) * guess[0] ** 2
    return curvature


def _soft_maximum(values: Floats, heat: Floats) -> Floats:
    """[m, 1] u above every value [m, J + 1] with sum_j heat / (u - value_j) = 1, for heat [m, 1]."""
    below = values.max(axis=1, keepdims=True) - values
    above = heat
    # The sum falls in u, is convex, and is at least 1 at the start: Newton's method rises to the solution.
    for _ in range(12):
        ratio = heat / (above + below)
        above = above + heat * (ratio.sum(axis=1, keepdims=True) - 1.0) / np.square(ratio).sum(axis=1, keepdims=True)
    return np.asarray(values.max(axis=1, keepdims=True) + above)
