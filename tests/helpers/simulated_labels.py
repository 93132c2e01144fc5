"""How often a certified label is lost, on encoders whose smoothed feature is known exactly (docs/theory.md 5, 10)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from helpers.simulated_certificates import FAR, Truth, closeness, curves, remembered_bounds
from helpers.simulated_encoders import SIGMA, Floats, SimulatedEncoder, edges_from_tails, planar, simulated_encoders
from helpers.verdicts import p_value_of
from scipy import special

from fs_runtime.certification import Evidence, reference_of
from fs_runtime.certification.laws.tails import COSINE_SLACK, cut_cosine
from fs_runtime.certification.prediction import (
    Kind,
    LabelCone,
    MarginLaw,
    PredictionEstimator,
    Rivals,
    VoteLaw,
    best_labels,
)

_ROUNDING, _LEAST = 1e-9, 1e-15
_TILT = 0.9
_REACHES = np.concatenate(([0.0], np.linspace(0.02, 4.0, 200), np.linspace(4.5, 10.0, 12)))


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
        return self.reach(members) < shift

    def outvoted(self, members: tuple[int, ...], shift: float) -> bool:
        """Whether no more than half of the draws vote for ``members`` somewhere within ``shift``."""
        return self.reach(members, vote=True) < shift

    def reach(self, members: tuple[int, ...], *, vote: bool = False) -> float:
        """The shortest shift found, along +t or -t, at which ``members`` are lost (or outvoted); inf if none is."""
        key = (members, vote)
        if key not in self._reaches:
            self._reaches[key] = self._found_reach(members, vote)
        return self._reaches[key]

    def _found_reach(self, members: tuple[int, ...], vote: bool) -> float:
        rivals = Rivals(self.prototypes, members)
        votes = (self.margins(members) > 0.0).astype(float)

        def left(shift: float) -> float:
            """Negative where the labels are lost."""
            if vote:
                return float(self.encoder.weights(shift).reshape(-1) @ votes) - 0.5 + _ROUNDING
            smoothed = self.encoder.smoothed(shift)
            length = float(np.linalg.norm(smoothed))
            return -1.0 if length < _ROUNDING else float(rivals.margins(smoothed[None] / length)[0]) + _ROUNDING

        found = math.inf
        for sign in (1.0, -1.0):
            kept = 0.0
            for shift in _REACHES:
                if left(sign * shift) < 0.0:
                    low, high = kept, float(shift)
                    while high - low > 1e-10:
                        middle = 0.5 * (low + high)
                        low, high = (low, middle) if left(sign * middle) < 0.0 else (middle, high)
                    found = min(found, high)
                    break
                kept = float(shift)
        return found

    def margins(self, members: tuple[int, ...]) -> Floats:
        """[cells times columns] the smallest margin of each feature."""
        if members not in self._margins:
            self._margins[members] = Rivals(self.prototypes, members).margins(self.encoder.rows)
        return self._margins[members]

    @cached_property
    def _margins(self) -> dict[tuple[int, ...], Floats]:
        return {}

    @cached_property
    def _reaches(self) -> dict[tuple[tuple[int, ...], bool], float]:
        return {}

    def share(self, members: tuple[int, ...], shift: float) -> float:
        """Probability that a draw votes for ``members`` under ``shift``."""
        votes = (self.margins(members) > 0.0).reshape(self.encoder.features.shape[:2])
        return float((self.encoder.weights(shift) * votes).sum())


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
        looks: 1 for a number of draws fixed beforehand; else how often each certificate was looked at on the way.
        violations: certificates whose labels are lost within the certified shift, at any look.
        failures: certificates with a confidence bound on the wrong side of the truth at any look.
        solved: certificates whose shifts were computed at every look (see helpers.simulated_certificates).
        solved_violations: violations among those.
        certified: share of those with a shift above zero at the last look.
        shift: mean certified shift of those, at the last look.
        closest: as for features, with the shift up to which the labels truly stay, over the certified one.
    """

    name: str
    kind: Kind
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
    shift: float
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
    looks: int = 1,
    solve_every: int = 1,
) -> LostLabels:
    """Certify ``runs`` times with fresh pilots and draws, and compare with the truth.

    With ``looks`` above 1 the bounds are any-time ones, and one false look breaks a certificate. As for features, only
    one in ``solve_every`` of the certificates whose bounds all hold has its shifts computed.
    """
    violations = failures = solved_violations = 0
    shifts: list[float] = []
    closest: list[float] = []
    with remembered_bounds():
        for run in range(runs):
            first, fresh = labelled.encoder.draw(rng, pilot), labelled.encoder.draw(rng, draws)
            claims = list(_claims(kind, first, fresh, labelled.prototypes, alpha=alpha, top_k=top_k, looks=looks))
            always = run % solve_every == 0
            holds = [_holds(claim, labelled, first) for claim in claims]
            failures += not all(holds)
            reach = labelled.reach(claims[0].members, vote=kind == "vote")
            broken = any(
                shift > reach + _ROUNDING
                for claim, held in zip(claims, holds, strict=True)
                if (always or not held) and (shift := claim.shift()) > 0.0
            )
            violations += broken
            if always:
                solved_violations += broken
                shifts.append(claims[-1].shift())
                certified_one = shifts[-1] > 0.0 and reach < math.inf
                closest.append(min(FAR, math.log(max(reach, _ROUNDING) / shifts[-1])) if certified_one else FAR)
    return LostLabels(
        name=labelled.name,
        kind=kind,
        draws=draws,
        pilot=pilot,
        alpha=alpha,
        looks=looks,
        runs=runs,
        violations=violations,
        failures=failures,
        solved=len(shifts),
        solved_violations=solved_violations,
        certified=float(np.mean(np.array(shifts) > 0.0)),
        shift=float(np.mean(shifts)),
        closest=closeness(closest),
    )


def certified(
    kind: Kind, pilot: Floats, drawn: Floats, prototypes: Floats, *, alpha: float, top_k: int = 1
) -> tuple[tuple[int, ...], float]:
    """Labels, and the shift within which they are certified, from a number of draws that was fixed beforehand."""
    [claim] = _claims(kind, pilot, drawn, prototypes, alpha=alpha, top_k=top_k, looks=1)
    return claim.members, claim.shift()


@dataclass(frozen=True)
class _Claim:
    """Labels at one look, what they rest on, and the certified shift, computed when asked for."""

    members: tuple[int, ...]
    evidence: Evidence | MarginLaw | VoteLaw
    shift: Callable[[], float]


def _claims(
    kind: Kind, pilot: Floats, drawn: Floats, prototypes: Floats, *, alpha: float, top_k: int, looks: int
) -> Iterator[_Claim]:
    """What is claimed at each look."""
    if kind == "cone":
        reference = reference_of(pilot.mean(axis=0))
        members = best_labels(reference, prototypes, top_k)
        cone = LabelCone(Rivals(prototypes, members).nearest(reference).margin)
        for curve in curves(pilot, drawn, "angle-law", alpha, looks):
            yield _Claim(members, curve.evidence, lambda curve=curve: cone.radius(curve) / SIGMA)
        return
    estimator = PredictionEstimator(
        pilot,
        prototypes,
        sigma=SIGMA,
        alpha=alpha,
        draws=len(drawn),
        kinds=(kind,),
        top_k=top_k,
        any_time=looks > 1,
    )
    for block in np.array_split(drawn, looks):
        estimator.update(block)
        [claim] = estimator.finish()
        yield _Claim(claim.members, claim.evidence, claim.evidence.shift)


def _holds(claim: _Claim, labelled: LabelledEncoder, pilot: Floats) -> bool:
    """Whether every confidence bound that the claim rests on holds."""
    evidence, weights = claim.evidence, labelled.encoder.row_weights
    if isinstance(evidence, VoteLaw):
        against = labelled.margins(claim.members) <= COSINE_SLACK
        return float(weights @ against) <= evidence.against + _LEAST
    if isinstance(evidence, MarginLaw):
        cuts = np.array([cut_cosine(threshold) for threshold in evidence.tails.thresholds])
        beyond = (labelled.margins(claim.members)[None, :] < cuts[:, None]) @ weights
        return bool((beyond <= evidence.tails.upper + _LEAST).all())
    return Truth(labelled.encoder, reference_of(pilot.mean(axis=0)), "angle-law").bounds_hold(evidence)


def half_space(tail: float, inside: float, outside: float) -> LabelledEncoder:
    """Two prototypes, and a feature that turns from ``inside`` to ``outside`` where t is above its upper ``tail``."""
    return LabelledEncoder(planar("half-space", edges_from_tails([tail]), [inside, outside]), fan(2, 0.0, _TILT))


def true_shift(labelled: LabelledEncoder) -> float:
    """The largest shift along +t at which label 0 of the smoothed feature stays, for an encoder that turns away."""
    return labelled.reach((0,))


def vote_shift(tail: float) -> float:
    """The largest shift at which the vote for the inside of a half-space stays."""
    return float(-special.ndtri(tail))
