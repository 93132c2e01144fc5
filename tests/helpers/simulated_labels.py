"""How often a certified label is lost, on encoders whose smoothed feature is known exactly (docs/theory.md 5, 10)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from helpers.simulated_encoders import SIGMA, SimulatedEncoder, edges_from_tails, planar, simulated_encoders
from scipy import special, stats

from fs_runtime.certification import certify_features
from fs_runtime.certification.prediction import Kind, LabelCone, PredictionEstimator, Rivals, best_labels

Floats = npt.NDArray[np.float64]

_ROUNDING = 1e-9
_TILT = 0.9


@dataclass(frozen=True)
class LabelledEncoder:
    """An encoder and the prototypes [C, D] that its features are compared with."""

    encoder: SimulatedEncoder
    prototypes: Floats

    @property
    def name(self) -> str:
        """That of the encoder."""
        return self.encoder.name

    def lost(self, members: tuple[int, ...], shift: float) -> bool:
        """Whether the smoothed feature has other labels than ``members`` somewhere within ``shift``, along +t or -t."""
        rivals = Rivals(self.prototypes, members)
        shifts = np.concatenate([np.linspace(0.0, shift, 9), -np.linspace(0.0, shift, 9)])
        smoothed = np.stack([self.encoder.smoothed(float(each)) for each in shifts])
        lengths = np.linalg.norm(smoothed, axis=1)
        if lengths.min() < _ROUNDING:
            return True
        return bool((rivals.margins(smoothed / lengths[:, None]) < -_ROUNDING).any())

    def outvoted(self, members: tuple[int, ...], shift: float) -> bool:
        """Whether no more than half of the draws vote for ``members`` somewhere within ``shift``."""
        return any(
            self.share(members, sign * each) < 0.5 - _ROUNDING
            for each in np.linspace(0.0, shift, 9)
            for sign in (-1.0, 1.0)
        )

    def share(self, members: tuple[int, ...], shift: float) -> float:
        """Probability that a draw votes for ``members`` under ``shift``."""
        cells, columns, dimensions = self.encoder.features.shape
        margins = Rivals(self.prototypes, members).margins(self.encoder.features.reshape(-1, dimensions))
        votes = (margins > 0.0).reshape(cells, columns).mean(axis=1)
        return float(self.encoder.probabilities(shift) @ votes)


def fan(dimensions: int, *angles: float) -> Floats:
    """Prototypes in the plane of the first two axes."""
    vectors = np.zeros((len(angles), dimensions))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return vectors


def labelled_encoders(draws: int, alpha: float) -> list[LabelledEncoder]:
    """Those of :func:`simulated_encoders` with prototypes about their axis, and some made to hurt labels."""
    usual = [
        LabelledEncoder(encoder, fan(encoder.features.shape[2], 0.0, _TILT, -1.2, 2.5))
        for encoder in simulated_encoders(draws, alpha)
    ]
    missed = 1.0 / draws
    # The worst feature for the boundary between 0 and _TILT is at right angles beyond it.
    worst = 0.5 * _TILT + 0.5 * math.pi
    # Unseen with probability a little below alpha / 6 (a constant pilot leaves six thresholds), and just uncovered.
    critical = 1.1 * -math.expm1(math.log(alpha / 6.0) / draws)
    rising = edges_from_tails([0.8, 0.5, 0.2, 0.05, 2.0 * missed])
    own = [
        planar("label-hidden", edges_from_tails([missed]), [0.0, worst]),
        planar("label-critical", edges_from_tails([critical]), [0.0, worst]),
        planar("label-rising", rising, [-0.1, 0.0, 0.1, 0.2, 0.4, worst]),
        planar("label-even", edges_from_tails([0.4]), [0.1, 0.8]),
    ]
    return [*usual, *(LabelledEncoder(encoder, fan(2, 0.0, _TILT)) for encoder in own)]


@dataclass(frozen=True)
class LostLabels:
    """How often one kind broke on one encoder.

    Attributes:
        violations: certificates whose labels are lost within the certified shift.
        certified: share of the certificates with a shift above zero.
        shift: mean certified shift over all.
    """

    name: str
    kind: Kind
    alpha: float
    runs: int
    violations: int
    certified: float
    shift: float

    @property
    def p_value(self) -> float:
        """Probability of as many violations, or more, if each certificate failed with probability alpha."""
        return float(stats.binomtest(self.violations, self.runs, self.alpha, alternative="greater").pvalue)


def count_lost_labels(
    labelled: LabelledEncoder,
    rng: np.random.Generator,
    *,
    kind: Kind,
    draws: int,
    pilot: int,
    alpha: float,
    runs: int,
    top_k: int = 1,
) -> LostLabels:
    """Certify ``runs`` times with fresh pilots and draws, and compare with the truth."""
    broken, shifts = 0, []
    for _ in range(runs):
        first, fresh = labelled.encoder.draw(rng, pilot), labelled.encoder.draw(rng, draws)
        members, shift = certified(kind, first, fresh, labelled.prototypes, alpha=alpha, top_k=top_k)
        shifts.append(shift)
        if shift > 0.0:
            broken += labelled.outvoted(members, shift) if kind == "vote" else labelled.lost(members, shift)
    return LostLabels(
        name=labelled.name,
        kind=kind,
        alpha=alpha,
        runs=runs,
        violations=broken,
        certified=float(np.mean(np.array(shifts) > 0.0)),
        shift=float(np.mean(shifts)),
    )


def certified(
    kind: Kind, pilot: Floats, drawn: Floats, prototypes: Floats, *, alpha: float, top_k: int = 1
) -> tuple[tuple[int, ...], float]:
    """Labels, and the shift within which they are certified."""
    if kind == "cone":
        mean = pilot.mean(axis=0)
        reference = mean / np.linalg.norm(mean)
        members = best_labels(reference, prototypes, top_k)
        cone = LabelCone(Rivals(prototypes, members).nearest(reference).margin)
        curve = certify_features(pilot, drawn, sigma=SIGMA, alpha=alpha, bound="angle-law")
        return members, cone.radius(curve) / SIGMA
    estimator = PredictionEstimator(
        pilot, prototypes, sigma=SIGMA, alpha=alpha, draws=len(drawn), kinds=(kind,), top_k=top_k
    )
    estimator.update(drawn)
    [claim] = estimator.finish()
    return claim.members, claim.evidence.shift()


def half_space(tail: float, inside: float, outside: float) -> LabelledEncoder:
    """Two prototypes, and a feature that turns from ``inside`` to ``outside`` where t is above its upper ``tail``."""
    return LabelledEncoder(planar("half-space", edges_from_tails([tail]), [inside, outside]), fan(2, 0.0, _TILT))


def true_shift(labelled: LabelledEncoder) -> float:
    """The largest shift along +t at which label 0 of the smoothed feature stays, for an encoder that turns away."""
    low, high = 0.0, 16.0
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if labelled.lost((0,), middle) else (middle, high)
    return low


def vote_shift(tail: float) -> float:
    """The largest shift at which the vote for the inside of a half-space stays."""
    return float(-special.ndtri(tail))
