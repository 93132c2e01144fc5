"""Encoders by a few numbers that a search can move (docs/theory.md section 10)."""

import math
from dataclasses import dataclass, replace

import numpy as np
from helpers.simulated_encoders import SimulatedEncoder, crossed, edges_from_tails, planar, scattered
from scipy import special

_DIMENSIONS = 10
_COLUMNS = 8
_RAREST, _COMMONEST = 1e-7, 0.999
_THRESHOLDS = (1, 3, 6)
"""What a pilot may leave; each has its share of alpha, which sets how rare an event is just missed."""


@dataclass(frozen=True)
class Recipe:
    """An encoder of the plane, of many scattered directions, or of two coordinates.

    Attributes:
        tails: falling, the upper tails of t at the edges between cells.
        angles: one a cell, to the axis, in radians; in [-pi, pi].
        drift: in [0, 1], one a cell, how far its off-axis part leans towards one direction that all cells share, the
            rest being scattered over the columns. Empty: the plane.
        column_tails: as ``tails``, for the columns of u; plane only.
        tilts: one a column, added to the angle; plane only.
    """

    tails: tuple[float, ...]
    angles: tuple[float, ...]
    drift: tuple[float, ...] = ()
    column_tails: tuple[float, ...] = ()
    tilts: tuple[float, ...] = ()

    def encoder(self, name: str) -> SimulatedEncoder:
        """The encoder."""
        edges = edges_from_tails(list(self.tails))
        if self.drift:
            return scattered(name, edges, list(self.angles), list(self.drift), columns=_COLUMNS, dimensions=_DIMENSIONS)
        if self.column_tails:
            angles = np.add.outer(np.array(self.angles), np.array(self.tilts))
            return crossed(name, (edges, edges_from_tails(list(self.column_tails))), angles)
        return planar(name, edges, list(self.angles))


def critical_recipe(draws: int, alpha: float, thresholds: int) -> Recipe:
    """One event that is unseen a little less often than alpha / thresholds, at the worst angle for a shift of 1."""
    event = -math.expm1(1.1 * math.log(alpha / thresholds) / draws)
    grown = float(special.ndtr(special.ndtri(event) + 1.0))
    return _tidy(Recipe((event,), (0.0, 0.5 * math.pi + math.asin(min(1.0, grown / (1.0 - grown))))))


def random_recipe(rng: np.random.Generator, draws: int, alpha: float) -> Recipe:
    """A common part of rising angles, and up to two events of about the probability that ``draws`` draws can miss."""
    common = int(rng.integers(1, 5))
    rare = int(rng.integers(0, 3))
    tails = [float(tail) for tail in rng.uniform(0.02, 0.98, common - 1)]
    tails += [_missed(rng, draws, alpha) for _ in range(rare)]
    spread = 10.0 ** rng.uniform(-2.5, -0.2)
    angles = [float(angle) for angle in np.sort(rng.exponential(spread, common))]
    angles += [float(angle) for angle in np.sort(rng.uniform(0.8, math.pi, rare))]
    if rng.random() < 0.3:
        # An event at the other end, so that both signs of a perturbation find one.
        tails.append(1.0 - _missed(rng, draws, alpha))
        angles.insert(0, -float(rng.uniform(0.2, math.pi)))
    recipe = Recipe(tuple(tails), tuple(angles))
    kind = rng.random()
    if kind < 0.3:
        recipe = replace(recipe, drift=tuple(float(lean) for lean in rng.random(len(angles))))
    elif kind < 0.5:
        recipe = replace(
            recipe, column_tails=(math.sqrt(_missed(rng, draws, alpha)),), tilts=(0.0, float(rng.uniform(0.0, 2.0)))
        )
    return _tidy(recipe)


def mutated(recipe: Recipe, rng: np.random.Generator, size: float) -> Recipe:
    """A neighbour: tails by factors, angles and drifts by additions, of about ``size``."""

    def moved(values: tuple[float, ...], by: float) -> tuple[float, ...]:
        chosen = rng.random(len(values)) < 0.6
        return tuple(float(value) for value in np.array(values) + chosen * rng.normal(0.0, by, len(values)))

    def scaled(tails: tuple[float, ...]) -> tuple[float, ...]:
        # On the odds, so that tails near one move as those near zero do.
        odds = np.log(np.array(tails)) - np.log1p(-np.array(tails))
        return tuple(float(1.0 / (1.0 + math.exp(-value))) for value in moved(tuple(odds), 2.0 * size))

    stretch = math.exp(rng.normal(0.0, size))
    return _tidy(
        Recipe(
            tails=scaled(recipe.tails),
            angles=moved(tuple(stretch * angle for angle in recipe.angles), 0.5 * size),
            drift=moved(recipe.drift, size),
            column_tails=scaled(recipe.column_tails),
            tilts=moved(recipe.tilts, 0.5 * size),
        )
    )


def _missed(rng: np.random.Generator, draws: int, alpha: float) -> float:
    """A probability of being unseen in ``draws`` draws near a level that alpha may be divided into, or just above."""
    level = alpha / float(rng.choice(_THRESHOLDS))
    return float(-np.expm1(math.log(level) / draws) * rng.uniform(0.7, 1.5))


def _tidy(recipe: Recipe) -> Recipe:
    """Tails that fall, and everything in its range, to five digits, so that the file reads well."""

    def falling(tails: tuple[float, ...]) -> tuple[float, ...]:
        # Equal tails would leave a cell that nothing falls into, which is harmless.
        return tuple(sorted((_short(min(max(tail, _RAREST), _COMMONEST)) for tail in tails), reverse=True))

    return Recipe(
        tails=falling(recipe.tails),
        angles=tuple(_short(min(max(angle, -math.pi), math.pi)) for angle in recipe.angles),
        drift=tuple(_short(min(max(lean, 0.0), 1.0)) for lean in recipe.drift),
        column_tails=falling(recipe.column_tails),
        tilts=tuple(_short(tilt) for tilt in recipe.tilts),
    )


def _short(value: float) -> float:
    return float(f"{value:.5g}")
