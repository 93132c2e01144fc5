"""How often certificates of simulated encoders break, with draws fixed beforehand and at the worst place to stop.

What is counted is what the theorems promise: a certified angle below the true one at any of SHIFTS, or a score outside
its interval, in one certificate. With any-time bounds one certificate is looked at after every block of draws, and one
false look breaks it: no rule of stopping could do worse.

A certificate all of whose confidence bounds hold cannot be wrong unless a law is (docs/theory.md Theorems 1, 5, 12 and
14). Solving the laws takes most of the time, so where all bounds hold those of ``gram`` and ``cone``, and that of
``angle-law`` at many looks, are solved in one certificate out of ``solve_every`` only; ``solved`` says in how many.
Wherever a bound fails they are solved.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from unittest import mock

import numpy as np
from helpers.simulated_encoders import SHIFTS, SIGMA, Floats, SimulatedEncoder
from helpers.verdicts import p_value_of

from fs_runtime.certification import (
    AngleLaw,
    AnyTimeEstimator,
    Bound,
    CertifiedCurve,
    Cone,
    Evidence,
    Fcsb,
    FixedDrawsEstimator,
    GramLaw,
    TailBounds,
    Target,
    reference_of,
)
from fs_runtime.certification.laws import tails
from fs_runtime.certification.laws.tails import cut_cosine

BOUNDS: tuple[Bound, ...] = ("gram", "angle-law", "cone", "fcsb")

FAR = 3.0
"""Of a certificate that says nothing, for the logarithm of how much too large a certified angle is."""

_ROUNDING = 1e-9
_SMALL_ANGLE = 1e-3
_MIDDLE = SHIFTS.index(0.5)


@dataclass(frozen=True)
class Violations:
    """How often one bound broke on one encoder.

    Attributes:
        bound: of the certificate, or ``score``: the interval of the score that comes with it.
        looks: 1 for a number of draws fixed beforehand; else how often each certificate was looked at on the way.
        violations: certificates with a true angle above the certified one, at any of the shifts and looks.
        failures: certificates with a confidence bound on the wrong side of the truth, which seldom shows in the angle.
        solved: certificates whose angles were computed at every look.
        solved_violations: violations among those.
        certified: share of those that say something at shift 0.5 in the end; a vacuous bound never breaks.
        slack: median of certified less true angle at shift 0.5, in radians, over those that do.
        closest: how near the solved ones come to breaking: see :func:`closeness`.
    """

    encoder: str
    bound: str
    draws: int
    pilot: int
    alpha: float
    looks: int
    runs: int
    violations: int
    failures: int
    solved: int
    solved_violations: int
    certified: float
    slack: float
    closest: float

    @property
    def p_value(self) -> float:
        """Probability of as many violations, or more, if each certificate failed with probability alpha.

        The smallest one of those of the violations among all certificates, of those among the solved ones, which show a
        wrong law better, and of the failures: all bounds hold together with probability 1 - alpha, too.
        """
        return min(
            p_value_of(self.violations, self.runs, self.alpha),
            p_value_of(self.failures, self.runs, self.alpha),
            p_value_of(self.solved_violations, self.solved, self.alpha),
        )


@contextmanager
def remembered_bounds() -> Iterator[None]:
    """Clopper-Pearson and mixture bounds computed once for equal arguments, which recur."""
    names = ("clopper_pearson_upper", "mixture_upper")
    kept = {name: lru_cache(maxsize=1 << 17)(getattr(tails, name)) for name in names}
    with mock.patch.multiple(tails, **kept):
        yield


class Truth:
    """What is true of an encoder about one reference."""

    def __init__(self, encoder: SimulatedEncoder, reference: Floats, bound: Bound) -> None:
        self._rows, self._weights = encoder.rows, encoder.row_weights
        self._reference = reference
        self._cosines = self._rows @ reference
        self.mean_cosine = float(self._weights @ self._cosines)
        # The cone is about the angle between f_hat(x + delta) and f_hat(x).
        self.angles = encoder.truth(encoder.smoothed(0.0) if bound == "cone" else reference)

    def score_room(self, curve: CertifiedCurve) -> float:
        """How far the score is inside its interval; negative outside."""
        score = 0.5 * (1.0 + self.mean_cosine)
        return min(score - curve.score.lower, curve.score.upper - score)

    def bounds_hold(self, evidence: Evidence) -> bool:
        """Whether every confidence bound of the evidence holds."""
        if isinstance(evidence, Fcsb):
            return evidence.score_lower <= 0.5 * (1.0 + self.mean_cosine)
        if isinstance(evidence, Cone):
            return evidence.mean <= self.mean_cosine
        if isinstance(evidence, AngleLaw):
            return self._tails_hold(evidence.tails)
        return self._tails_hold(evidence.tails) and self._moments_hold(evidence)

    def _tails_hold(self, bounds: TailBounds) -> bool:
        cuts = np.array([cut_cosine(threshold) for threshold in bounds.thresholds])
        beyond = (self._cosines[None, :] < cuts[:, None]) @ self._weights
        return bool((beyond <= bounds.upper + 1e-15).all())

    def _moments_hold(self, law: GramLaw) -> bool:
        inside = self._cosines >= cut_cosine(law.tails.thresholds[law.cut])
        off_axis = self._rows[inside] - np.outer(self._cosines[inside], self._reference)
        weights = self._weights[inside]
        if float(np.linalg.norm(weights @ off_axis)) > law.mean + 1e-12:
            return False
        moment = (off_axis * weights[:, None]).T @ off_axis
        return float(np.linalg.eigvalsh(moment)[-1]) <= law.second_moment + 1e-12


@dataclass
class _Tally:
    violations: int = 0
    failures: int = 0
    solved: int = 0
    solved_violations: int = 0
    certified: int = 0
    slacks: list[float] = field(default_factory=list)
    closest: list[float] = field(default_factory=list)


def solve_always(bound: Bound) -> int:
    """Every certificate is solved."""
    return 1


def count_violations(
    encoder: SimulatedEncoder,
    rng: np.random.Generator,
    *,
    draws: int,
    pilot: int,
    alpha: float,
    runs: int,
    bounds: tuple[Bound, ...] = BOUNDS,
    looks: int = 1,
    solve_every: int = 1,
) -> list[Violations]:
    """Certify ``runs`` times with fresh pilots and draws, by each bound, and compare with the truth.

    Args:
        encoder: which.
        rng: of pilots and draws.
        draws: certifying draws; with ``looks`` the most of them.
        pilot: draws that fix the reference and the thresholds.
        alpha: of each certificate.
        runs: certificates for each bound.
        bounds: which.
        looks: 1: draws are fixed beforehand. More: any-time bounds, looked at after each of so many blocks.
        solve_every: of the certificates whose bounds all hold, one in so many is solved, where that is dear.

    Returns:
        A line for each bound; with ``looks`` of 1 and for the first bound also one for the score.
    """
    tallies: dict[str, _Tally] = {bound: _Tally() for bound in bounds} | {"score": _Tally()}
    with remembered_bounds():
        for run in range(runs):
            first, fresh = encoder.draw(rng, pilot), encoder.draw(rng, draws)
            for number, bound in enumerate(bounds):
                truth = Truth(encoder, reference_of(first.mean(axis=0)), bound)
                taken = list(curves(first, fresh, bound, alpha, looks))
                always = bound == "fcsb" or (bound == "angle-law" and looks == 1) or run % solve_every == 0
                _add(tallies[bound], truth, taken, always)
                if number == 0:
                    _add_score(tallies["score"], min(truth.score_room(curve) for curve in taken))
    return [
        Violations(
            encoder=encoder.name,
            bound=bound,
            draws=draws,
            pilot=pilot,
            alpha=alpha,
            looks=looks,
            runs=runs,
            violations=tally.violations,
            failures=tally.failures,
            solved=tally.solved,
            solved_violations=tally.solved_violations,
            certified=tally.certified / max(tally.solved, 1),
            slack=float(np.median(tally.slacks)) if tally.slacks else math.nan,
            closest=closeness(tally.closest),
        )
        for bound, tally in tallies.items()
    ]


def _add(tally: _Tally, truth: Truth, taken: list[CertifiedCurve], always: bool) -> None:
    doubtful = [not truth.bounds_hold(curve.evidence) for curve in taken]
    tally.failures += any(doubtful)
    broken, nearest = False, FAR
    for curve, failed in zip(taken, doubtful, strict=True):
        if always or failed:
            angles = angles_of(curve)
            excess = angles - truth.angles
            broken |= bool(np.any(excess < -_ROUNDING))
            nearest = min(nearest, _nearest(angles, truth.angles))
    tally.violations += broken
    if always:
        tally.solved_violations += broken
        tally.closest.append(nearest)
        tally.solved += 1
        if angles[_MIDDLE] < math.pi:
            tally.certified += 1
            tally.slacks.append(float(angles[_MIDDLE] - truth.angles[_MIDDLE]))


def _nearest(angles: Floats, truth: Floats) -> float:
    """The smallest ln(certified / true angle) over shifts above 0; FAR where nothing is certified."""
    ratios = np.log(angles[1:]) - np.log(np.maximum(truth[1:], _SMALL_ANGLE))
    return float(np.where(angles[1:] < math.pi, ratios, FAR).min())


def closeness(distances: list[float]) -> float:
    """Mean of the lowest tenth: certificates that break are rare, so an average would look at the others."""
    if not distances:
        return math.nan
    return float(np.mean(np.sort(distances)[: max(1, len(distances) // 10)]))


def _add_score(tally: _Tally, room: float) -> None:
    outside = room < -_ROUNDING
    tally.violations += outside
    tally.failures += outside
    tally.solved_violations += outside
    tally.solved += 1
    tally.certified += 1
    tally.closest.append(room)


def curves(first: Floats, fresh: Floats, bound: Bound, alpha: float, looks: int) -> Iterator[CertifiedCurve]:
    """The certificate of all draws, or those after each block."""
    reference = reference_of(first.mean(axis=0))
    cosines = fresh @ reference
    if looks == 1:
        fixed = FixedDrawsEstimator(
            first @ reference,
            reference,
            sigma=SIGMA,
            alpha=alpha,
            bound=bound,
            draws=len(fresh),
            pilot_features=first,
        )
        fixed.update(cosines, fresh)
        yield fixed.finish()
        return
    stopping = AnyTimeEstimator(
        first @ reference,
        reference,
        sigma=SIGMA,
        alpha=alpha,
        bound=bound,
        target=Target(0.0, 0.01),
        draws=len(fresh),
        pilot_features=first,
    )
    # Told that it is decided, it looks no more for itself, and takes all draws.
    stopping.decided = "proved"
    for block in np.array_split(np.arange(len(fresh)), looks):
        stopping.update(cosines[block], fresh[block])
        yield stopping.finish()


def angles_of(curve: CertifiedCurve) -> Floats:
    """[len(SHIFTS)] certified angles."""
    return np.array([curve.angle(shift * SIGMA) for shift in SHIFTS])
