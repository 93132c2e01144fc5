"""Encoders whose smoothed feature is known exactly, and the count of certificates that it breaks (docs/theory.md 10).

An encoder sees two independent standard normals: t, a coordinate of the noise, cut into cells, and an index that is
uniform over the columns. Its feature depends on the cell and the column alone, so that a shift of the noise by s
standard deviations along t gives the cells the probabilities Phi(edge - s) differences, and f_hat without error.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from fs_runtime.certification import Bound, CertifiedCurve, certify_features

Floats = npt.NDArray[np.float64]

BOUNDS: tuple[Bound, ...] = ("gram", "angle-law", "fcsb")
SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0)
SIGMA = 0.25
"""Standard deviation handed to the certificate: radii are SHIFTS times it."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class SimulatedEncoder:
    """Features [cells, columns, D], unit vectors, and the edges [cells - 1] between the cells of t, rising."""

    name: str
    edges: tuple[float, ...]
    features: Floats

    def probabilities(self, shift: float) -> Floats:
        """[cells] of the cells of t when the noise is moved by ``shift`` standard deviations along t."""
        edges = np.array([-np.inf, *self.edges, np.inf]) - shift
        # Differences of the smaller tail, so that rare cells keep their digits.
        below, above = np.diff(special.ndtr(edges)), -np.diff(special.ndtr(-edges))
        return np.asarray(np.where(edges[:-1] < 0.0, below, above))

    def smoothed(self, shift: float) -> Floats:
        """[D] f_hat, not normalised, under ``shift``."""
        return np.asarray(self.probabilities(shift) @ self.features.mean(axis=1))

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """[count, D] features of independent draws; their order does not matter to a certificate."""
        cells, columns, dimensions = self.features.shape
        weights = np.repeat(self.probabilities(0.0) / columns, columns)
        counts = rng.multinomial(count, weights / weights.sum())
        return np.repeat(self.features.reshape(cells * columns, dimensions), counts, axis=0)

    def truth(self, reference: Floats) -> Floats:
        """[len(SHIFTS)] the largest true angle between f_hat(x + delta) and ``reference``, delta along +t or -t."""
        return np.array(
            [max(angle_between(self.smoothed(sign * shift), reference) for sign in (-1.0, 1.0)) for shift in SHIFTS]
        )


def angle_between(first: Floats, second: Floats) -> float:
    """Angle in radians, in [0, pi], accurate for small angles too (Kahan)."""
    u, v = first / np.linalg.norm(first), second / np.linalg.norm(second)
    return 2.0 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))


def edges_from_tails(tails: list[float]) -> tuple[float, ...]:
    """Edges of t whose upper tails are ``tails``, falling."""
    return tuple(float(edge) for edge in -special.ndtri(np.array(tails)))


def planar(name: str, edges: tuple[float, ...], angles: list[float]) -> SimulatedEncoder:
    """The plane: f = (cos phi, sin phi), phi constant in each cell of t."""
    phi = np.array(angles)
    return SimulatedEncoder(name, edges, np.stack([np.cos(phi), np.sin(phi)], axis=-1)[:, None, :])


def scattered(
    name: str, edges: tuple[float, ...], angles: list[float], drift: list[float], *, columns: int, dimensions: int
) -> SimulatedEncoder:
    """Many dimensions: angle to the axis by the cell of t, off-axis direction by the column, leaning by ``drift``.

    In a cell with drift d the off-axis part points d along one fixed direction and sqrt(1 - d^2) along the column's
    own, so that drift 0 scatters and drift 1 aligns.
    """
    rng = np.random.default_rng(columns * dimensions)
    own = rng.standard_normal((columns, dimensions))
    own[:, :2] = 0.0
    own -= own.mean(axis=0)
    own /= np.linalg.norm(own, axis=1)[:, None]
    lean = np.array(drift)[:, None, None]
    off_axis = np.sqrt(1.0 - lean**2) * own + lean * np.eye(dimensions)[1]
    phi = np.array(angles)[:, None, None]
    return SimulatedEncoder(name, edges, np.cos(phi) * np.eye(dimensions)[0] + np.sin(phi) * off_axis)


def simulated_encoders(draws: int, alpha: float) -> Iterator[SimulatedEncoder]:
    """The encoders of the simulation; rare events are about as rare as ``draws`` draws can miss.

    Each is made to hurt a particular step: the tails (hidden events), the worst alignment (rising angles), the mean
    off-axis part (two sides), its second moment (aligned), the direction of many dimensions (scattered).
    """
    missed = 1.0 / draws
    body = [0.8, 0.5, 0.25, 0.08]
    yield planar("rising", edges_from_tails([*body, 0.02, 2.0 * missed / 5.0]), [0.02, 0.05, 0.1, 0.18, 0.3, 0.5, 1.6])
    yield planar("hidden-turn", edges_from_tails([missed]), [0.0, 1.9])
    # Unseen with probability a little below alpha / 3 (such a pilot leaves three thresholds), and then just uncovered:
    # the angle is the worst one for what the event grows to at s = 1 (theory section 11, the floor).
    critical = 1.1 * -math.expm1(math.log(alpha / 3.0) / draws)
    grown = float(special.ndtr(special.ndtri(critical) + 1.0))
    yield planar(
        "hidden-critical",
        edges_from_tails([critical]),
        [0.0, math.pi / 2.0 + math.asin(min(1.0, grown / (1.0 - grown)))],
    )
    yield planar("hidden-opposite", edges_from_tails([0.5, 3.0 * missed]), [0.01, 0.05, math.pi - 0.01])
    yield planar("two-sides", edges_from_tails([0.5]), [-0.3, 0.3])
    yield planar(
        "two-sides-rare",
        edges_from_tails([1.0 - 0.5 * missed, 0.7, 0.3, 0.5 * missed]),
        [-1.4, -0.15, 0.0, 0.15, 1.4],
    )
    yield scattered(
        "scattered",
        edges_from_tails([*body, missed]),
        [0.15, 0.2, 0.25, 0.3, 0.4, 1.5],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        columns=32,
        dimensions=24,
    )
    # The likelihood ratio at s = 1, less its mean, is the off-axis part that Cauchy-Schwarz is tight for.
    z = np.linspace(-2.0, 2.5, 10)
    ratio = np.clip((np.exp(z - 0.5) - 1.0) / 8.0, -0.9, 0.9)
    yield scattered(
        "aligned",
        tuple(0.5 * (z[1:] + z[:-1])),
        [0.35] * len(z),
        [float(lean) for lean in ratio],
        columns=24,
        dimensions=16,
    )
    slope = np.sin(np.clip(z, -2.0, 2.0) * 0.12)
    yield planar("likelihood-ratio", tuple(0.5 * (z[1:] + z[:-1])), [float(np.arcsin(value)) for value in slope])


@dataclass(frozen=True)
class Violations:
    """How often one bound broke on one encoder.

    Attributes:
        violations: certificates with a true angle above the certified one, at any of the shifts.
        certified: share of the certificates that say something at shift 0.5; a vacuous bound never breaks.
        slack: mean of certified less true angle at shift 0.5, in radians, over those.
    """

    encoder: str
    bound: Bound
    draws: int
    pilot: int
    alpha: float
    runs: int
    violations: int
    certified: float
    slack: float

    @property
    def p_value(self) -> float:
        """Probability of as many violations, or more, if each certificate failed with probability alpha."""
        return float(stats.binomtest(self.violations, self.runs, self.alpha, alternative="greater").pvalue)


def count_violations(
    encoder: SimulatedEncoder,
    rng: np.random.Generator,
    *,
    draws: int,
    pilot: int,
    alpha: float,
    runs: int,
    bounds: tuple[Bound, ...] = BOUNDS,
) -> list[Violations]:
    """Certify ``runs`` times with fresh pilots and draws, by each bound, and compare with the truth."""
    broken = dict.fromkeys(bounds, 0)
    slacks: dict[Bound, list[float]] = {bound: [] for bound in bounds}
    middle = SHIFTS.index(0.5)
    for _ in range(runs):
        first, fresh = encoder.draw(rng, pilot), encoder.draw(rng, draws)
        truth = encoder.truth(first.mean(axis=0))
        for bound in bounds:
            certified = angles_of(certify_features(first, fresh, sigma=SIGMA, alpha=alpha, bound=bound))
            broken[bound] += bool(np.any(certified < truth - _ROUNDING))
            if certified[middle] < math.pi:
                slacks[bound].append(float(certified[middle] - truth[middle]))
    return [
        Violations(
            encoder=encoder.name,
            bound=bound,
            draws=draws,
            pilot=pilot,
            alpha=alpha,
            runs=runs,
            violations=broken[bound],
            certified=len(slacks[bound]) / runs,
            slack=float(np.mean(slacks[bound])) if slacks[bound] else math.nan,
        )
        for bound in bounds
    ]


def angles_of(curve: CertifiedCurve) -> Floats:
    """[len(SHIFTS)] certified angles."""
    return np.array([curve.angle(shift * SIGMA) for shift in SHIFTS])
