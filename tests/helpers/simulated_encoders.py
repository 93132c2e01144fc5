"""Encoders whose smoothed feature is known exactly (docs/theory.md section 10).

An encoder sees two independent standard normals, coordinates of the noise: t, cut into cells, and u, cut into columns.
Its feature depends on the cell and the column alone, so that a shift of the noise gives both of them probabilities
that are differences of Phi, and f_hat without error. Without edges for u the columns stand for all other coordinates:
equally likely, and no perturbation moves them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0)
SIGMA = 0.25
"""Standard deviation handed to the certificate: radii are SHIFTS times it."""

_NOWHERE = 1e-12
_STEPS = 4
"""Perturbations of these many lengths up to each shift are tried, besides the shifts themselves."""


@dataclass(frozen=True)
class SimulatedEncoder:
    """Features [cells, columns, D], unit vectors, and the rising edges between the cells of t and the columns of u."""

    name: str
    edges: tuple[float, ...]
    features: Floats
    column_edges: tuple[float, ...] | None = None

    def probabilities(self, shift: float) -> Floats:
        """[cells] of the cells of t when the noise is moved by ``shift`` standard deviations along t."""
        return _differences(self.edges, shift)

    def weights(self, shift: float = 0.0, across: float = 0.0) -> Floats:
        """[cells, columns] probabilities when the noise is moved by ``shift`` along t and ``across`` along u."""
        columns = self.features.shape[1]
        if self.column_edges is None:
            beside = np.full(columns, 1.0 / columns)
        else:
            beside = _differences(self.column_edges, across)
        return np.outer(self.probabilities(shift), beside)

    def smoothed(self, shift: float, across: float = 0.0) -> Floats:
        """[D] f_hat, not normalised, under a shift."""
        return np.einsum("cu,cud->d", self.weights(shift, across), self.features)

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """[count, D] features of independent draws."""
        return self.rows[self.draw_indices(rng, count)]

    def draw_indices(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
        """[count] which of the cells times columns each of independent draws falls into."""
        counts = rng.multinomial(count, self.row_weights)
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))

    @property
    def directions(self) -> list[tuple[float, float]]:
        """Unit vectors (along t, along u) of the perturbations that are tried."""
        if self.column_edges is None:
            return [(1.0, 0.0), (-1.0, 0.0)]
        return [(math.cos(angle), math.sin(angle)) for angle in np.arange(8) * math.pi / 4.0]

    def truth(self, reference: Floats, shifts: tuple[float, ...] = SHIFTS) -> Floats:
        """[len(shifts)] the largest true angle found between f_hat(x + delta) and ``reference``, ||delta|| <= shift."""
        lengths, means = self._perturbed
        angles = angles_to(means, reference)
        return np.array([float(angles[lengths <= shift + 1e-12].max()) for shift in shifts])

    @cached_property
    def rows(self) -> Floats:
        return np.ascontiguousarray(self.features.reshape(-1, self.features.shape[2]))

    @cached_property
    def row_weights(self) -> Floats:
        weights = self.weights().reshape(-1)
        return np.asarray(weights / weights.sum())

    @cached_property
    def _perturbed(self) -> tuple[Floats, Floats]:
        """Lengths [m] and smoothed features [m, D] of all perturbations that are tried."""
        lengths = sorted({float(shift * part) for shift in SHIFTS for part in np.arange(1, _STEPS + 1) / _STEPS})
        tried = [(length, direction) for length in lengths for direction in self.directions]
        means = [self.smoothed(length * along, length * across) for length, (along, across) in tried]
        return np.array([length for length, _ in tried]), np.stack(means)


def _differences(edges: tuple[float, ...], shift: float) -> Floats:
    """Probabilities of the intervals between ``edges`` for a normal moved by ``shift``."""
    ends = np.array([-np.inf, *edges, np.inf]) - shift
    # Differences of the smaller tail, so that rare cells keep their digits.
    below, above = np.diff(special.ndtr(ends)), -np.diff(special.ndtr(-ends))
    return np.asarray(np.where(ends[:-1] < 0.0, below, above))


def angle_between(first: Floats, second: Floats) -> float:
    """Angle in radians, in [0, pi], accurate for small angles too (Kahan)."""
    return float(angles_to(first[None, :], second)[0])


def angles_to(vectors: Floats, reference: Floats) -> Floats:
    """[n] angles in radians between vectors [n, D] and ``reference`` [D]; pi where one is zero but for rounding."""
    lengths = np.linalg.norm(vectors, axis=1)
    u = vectors / np.maximum(lengths, _NOWHERE)[:, None]
    v = reference / np.linalg.norm(reference)
    angles = 2.0 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
    return np.asarray(np.where(lengths > _NOWHERE, angles, math.pi))


def edges_from_tails(tails: list[float]) -> tuple[float, ...]:
    """Edges of t whose upper tails are ``tails``, falling."""
    return tuple(float(edge) for edge in -special.ndtri(np.array(tails)))


def planar(name: str, edges: tuple[float, ...], angles: list[float]) -> SimulatedEncoder:
    """The plane: f = (cos phi, sin phi), phi constant in each cell of t."""
    phi = np.array(angles)
    return SimulatedEncoder(name, edges, np.stack([np.cos(phi), np.sin(phi)], axis=-1)[:, None, :])


def crossed(name: str, edges: tuple[tuple[float, ...], tuple[float, ...]], angles: Floats) -> SimulatedEncoder:
    """The plane, with angles [cells, columns] that depend on t and on u; ``edges`` are those of t and of u."""
    return SimulatedEncoder(name, edges[0], np.stack([np.cos(angles), np.sin(angles)], axis=-1), edges[1])


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
    off-axis part (two sides), its second moment (aligned), the direction of many dimensions (scattered). Some have no
    direction at all (uniform), or a hidden event that a perturbation of two coordinates must reach.
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
    yield planar(
        "rare-outliers",
        edges_from_tails([1.0 - missed / 8.0, 0.7, 0.3, missed, missed / 8.0]),
        [-3.0, 0.03, 0.04, 0.05, 2.0, 3.1],
    )
    yield planar("two-clusters", edges_from_tails([0.15]), [0.05, 1.2])
    even = edges_from_tails([float(tail) for tail in np.linspace(1.0, 0.0, 25)[1:-1]])
    yield planar("uniform-arc", even, [float(phi) for phi in np.linspace(-0.7, 0.7, 24)])
    yield planar("uniform-angles", even, [float(phi) for phi in (np.arange(24) - 11.5) * math.pi / 12.0])
    points = np.random.default_rng(8).standard_normal((1, 128, 8))
    yield SimulatedEncoder("uniform-sphere", (), points / np.linalg.norm(points, axis=2, keepdims=True))
    for name, drift in (("high-dimensional-scattered", 0.05), ("high-dimensional-aligned", 1.0)):
        yield scattered(
            name,
            edges_from_tails([0.5, 0.1, 0.01]),
            [0.3, 0.33, 0.38, 0.45],
            [drift] * 4,
            columns=64,
            dimensions=64,
        )
    yield crossed(
        "hidden-corner",
        (edges_from_tails([0.4, math.sqrt(missed)]), edges_from_tails([0.6, math.sqrt(missed)])),
        np.array([[-0.2, -0.1, 0.0], [0.0, 0.1, 0.2], [0.1, 0.2, 2.0]]),
    )
