"""The Gram law's dual by other means than the library's: a linear program, and its integral in closed form."""

import math

import numpy as np
from helpers.simulated_encoders import Floats
from scipy import optimize, sparse, special

from fs_runtime.certification import GramLaw
from fs_runtime.certification.laws.gram_dual import GramConstraints


def constraints_of(law: GramLaw) -> GramConstraints:
    """What the law knows."""
    return GramConstraints(
        law.tails.thresholds, tuple(float(p) for p in law.tails.upper), law.cut, law.mean, law.second_moment
    )


def random_constraints(rng: np.random.Generator) -> GramConstraints:
    """One to seven thresholds anywhere, tails that fall, and moments up to the largest ones."""
    count = int(rng.integers(1, 8))
    thresholds = tuple(float(t) for t in np.sort(rng.uniform(0.02, 3.1, count)))
    if thresholds[0] > 1.5:
        thresholds = (0.3, *thresholds[1:])
    cut = int(rng.integers(0, sum(t <= math.pi / 2.0 for t in thresholds)))
    tails = tuple(float(p) for p in np.sort(rng.uniform(0.0, 1.0, count) ** 4)[::-1])
    rho = math.sin(thresholds[cut])
    return GramConstraints(thresholds, tails, cut, float(rng.uniform(0, rho)), float(rng.uniform(0, rho * rho)))


def angle_by_linear_program(known: GramConstraints, shift: float) -> float:
    """The best angle, a little low: l_s(Z) is replaced by its means on cells, and x and psi by grids."""
    edges = np.concatenate(([-np.inf], np.linspace(-4.5, 4.5 + shift, 110), [np.inf]))
    w = np.diff(special.ndtr(edges))
    y = np.diff(special.ndtr(edges - shift)) / w
    thresholds = np.array([*known.thresholds, math.pi])
    tau, levels, m = thresholds[known.cut], len(thresholds), len(y)
    # Variables: C, mu, kappa, nu_1..nu_J, u_1..u_m. Rows: every outcome (x, psi) at level j costs at most u.
    rows = []
    for j, t in enumerate(thresholds):
        nu = -(np.arange(levels - 1) < j).astype(float)
        if t <= tau:
            outcomes = [(x, -math.cos(t), 1.0) for x in np.linspace(-math.sin(t), math.sin(t), 25)]
        else:
            outcomes = [(math.sin(psi), -math.cos(psi), 0.0) for psi in np.linspace(tau, t, 25)]
        for x, along, in_bulk in outcomes:
            block = np.zeros((m, 3 + levels - 1))
            block[:, 0] = x * y
            block[:, 1], block[:, 2] = -in_bulk * x, -in_bulk * x * x
            block[:, 3:] = nu
            rows.append((sparse.hstack([sparse.csr_matrix(block), -sparse.identity(m)]), -along * y))
    budget = np.concatenate(([0.0, known.mean, known.second_moment], known.tails, w))
    matrix = sparse.vstack([*(block for block, _ in rows), sparse.csr_matrix(budget)])
    right = np.concatenate([*(bound for _, bound in rows), [0.0]])
    bounds = [(0.0, None)] * (levels + 2) + [(None, None)] * m
    objective = np.zeros(levels + 2 + m)
    objective[0] = -1.0
    result = optimize.linprog(objective, A_ub=matrix, b_ub=right, bounds=bounds, method="highs-ds")
    if result.status != 0:
        raise ArithmeticError(f"the linear program ended with status {result.status}: {result.message}")
    return math.atan2(1.0, float(result.x[0]))


def exact_value(known: GramConstraints, shift: float, q: Floats) -> float:
    """F at multipliers q, without quadrature: between its kinks max_j h_j(y) is a polynomial of degree two in y.

    E[l^k] over an interval of Z is exp(s^2 k (k - 1) / 2) times a difference of Phi, moved by k s.
    """
    pieces = _pieces(known, q)
    kinks = {0.0}
    for first, (low, high, a) in enumerate(pieces):
        kinks.update((low, high))
        for _, _, b in pieces[:first]:
            kinks.update(_positive_roots(a - b))
    ends = np.array(sorted(kink for kink in kinks if 0.0 <= kink < math.inf))
    if shift == 0.0:
        return _highest(pieces, 1.0) @ np.ones(3) + _costs(known, q)
    z = np.concatenate((np.log(np.maximum(ends, 1e-300)) / shift + 0.5 * shift, [np.inf]))
    z[0] = -np.inf
    total = 0.0
    for low, high, left, right in zip(ends, [*ends[1:], math.inf], z[:-1], z[1:], strict=True):
        middle = 0.5 * (low + high) if high < math.inf else 2.0 * low + 1.0
        moments = np.array(
            [math.exp(0.5 * shift * shift * k * (k - 1)) * _mass(left - k * shift, right - k * shift) for k in range(3)]
        )
        total += float(_highest(pieces, middle) @ moments)
    return total + _costs(known, q)


def _pieces(known: GramConstraints, q: Floats) -> list[tuple[float, float, Floats]]:
    """Intervals of y and the polynomial (coefficients rising) that one of the h_j is there."""
    cotangent, mu, kappa = (float(value) for value in q[:3])
    found = []
    for j, t in enumerate([*known.thresholds, math.pi]):
        paid, r = float(q[3 : 3 + j].sum()), math.sin(t)
        if t > known.thresholds[known.cut]:
            # Over psi <= t: at t, or where the slope vanishes.
            top = math.pi - math.atan(cotangent)
            slope = math.hypot(1.0, cotangent) if t >= top else cotangent * r - math.cos(t)
            found.append((0.0, math.inf, np.array([-paid, slope, 0.0])))
            continue
        along = -math.cos(t)
        # |C y - mu| against 2 kappa r decides whether x is inside.
        low = min(max((mu - 2.0 * kappa * r) / cotangent, 0.0), math.inf) if cotangent > 0.0 else 0.0
        high = (mu + 2.0 * kappa * r) / cotangent if cotangent > 0.0 else math.inf
        flat = -paid - kappa * r * r
        if low > 0.0:
            found.append((0.0, low, np.array([flat + mu * r, along - cotangent * r, 0.0])))
        if kappa > 0.0:
            bend = np.array([mu * mu, -2.0 * cotangent * mu, cotangent * cotangent]) / (4.0 * kappa)
            found.append((low, high, bend + np.array([-paid, along, 0.0])))
        found.append((high, math.inf, np.array([flat - mu * r, along + cotangent * r, 0.0])))
    return found


def _highest(pieces: list[tuple[float, float, Floats]], y: float) -> Floats:
    powers = np.array([1.0, y, y * y])
    return max((a for low, high, a in pieces if low <= y <= high), key=lambda a: float(a @ powers))


def _positive_roots(polynomial: Floats) -> list[float]:
    roots = np.roots(np.trim_zeros(polynomial[::-1], "f"))
    return [float(root.real) for root in roots if abs(root.imag) < 1e-9 * (1.0 + abs(root)) and root.real > 0.0]


def _costs(known: GramConstraints, q: Floats) -> float:
    return float(q[1] * known.mean + q[2] * known.second_moment + q[3:] @ np.array(known.tails))


def _mass(low: float, high: float) -> float:
    """Phi(high) - Phi(low), from the smaller tail."""
    if low > 0.0:
        return float(special.ndtr(-low) - special.ndtr(-high))
    return float(special.ndtr(high) - special.ndtr(low))
