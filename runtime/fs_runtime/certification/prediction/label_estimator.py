"""Draws for label certificates of every kind at once, until a radius is proved where one is asked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fs_runtime.certification.curve import Bound, CertifiedCurve
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.any_time import AnyTimeEstimator, Decision
from fs_runtime.certification.estimation.fixed import FixedDrawsEstimator
from fs_runtime.certification.estimation.target import Target
from fs_runtime.certification.normal import Floats
from fs_runtime.certification.prediction.estimator import Kind, LabelClaim, PredictionEstimator, divided_alpha
from fs_runtime.certification.prediction.label_cone import LabelCone
from fs_runtime.certification.prediction.margin import MarginLaw
from fs_runtime.certification.prediction.rivals import Rivals, best_labels, checked_prototypes, same_labels
from fs_runtime.certification.prediction.target import LabelTarget
from fs_runtime.certification.prediction.vote import VoteLaw

_FIRST_CHECK = 32
_FIRST_DOUBT = 256
_STEP = 1.07
# Frequencies are taken this many standard errors low before a radius is given up.
_OPTIMISM = 2.0


@dataclass(frozen=True)
class LabelEvidence:
    """What the draws say of labels.

    Attributes:
        claims: of the kinds ``margin`` and ``vote``, where they were asked.
        curve: the certified angle to the reference, where the kind ``cone`` was asked.
        cone_target: what that curve was to prove, over the user's radius; None where the number of draws was fixed.
    """

    claims: tuple[LabelClaim, ...]
    curve: CertifiedCurve | None
    cone_target: Target | None


class LabelEstimator:
    """Takes certifying draws for labels; each kind at its share of alpha (:func:`divided_alpha`).

    With a target the draws stop where some kind has proved it about the reference's labels, by the any-time bounds that
    the certificate carries (docs/theory.md Theorems 4 and 16), or where it is hopeless by every kind. ``margin`` and
    ``vote`` are checked at numbers of draws that grow by 7 %.

    Futility: a kind is hopeless when it would miss the radius even at the most draws and with every frequency two
    standard errors below the one seen, asked at 256 draws and at each doubling; a vote for other labels than the
    reference's is hopeless from the start, and so is a cone whose boundary is too near. Stopping cannot break a
    certificate, whatever the rule.

    Attributes:
        draws: certifying draws so far.
        most_draws: those announced.
        decided: why no more are needed.
    """

    def __init__(
        self,
        pilot: Floats,
        reference: Floats,
        prototypes: Floats,
        *,
        sigma: float,
        alpha: float,
        draws: int,
        kinds: Sequence[Kind],
        top_k: int = 1,
        bound: Bound | None = None,
        pilot_features: Floats | None = None,
        target: LabelTarget | None = None,
        grid_cost: float = 0.0,
    ) -> None:
        """Fix labels and thresholds from the pilot.

        Args:
            pilot: [n0] cosines to the reference.
            reference: [D] the unit feature whose labels are certified.
            prototypes: [C, D] unit rows.
            sigma: noise standard deviation, in units of [0, 1] pixels.
            alpha: probability that any kind fails.
            draws: certifying draws, fixed beforehand; with a target the most of them.
            kinds: ``"cone"``, ``"margin"``, ``"vote"``.
            top_k: 1: the label; more: the set of the k best.
            bound: whose angle the cone takes; needed for it only.
            pilot_features: [n0, D] unit rows; not needed for a cone of the angle law.
            target: the radius to stop at.
            grid_cost: what the grid takes from every radius (docs/theory.md section 8).

        Raises:
            CertificationError: malformed numbers or settings, or too few draws for them.
        """
        share = divided_alpha(alpha, kinds)
        vectors = checked_prototypes(prototypes)
        self._sigma, self._target, self._grid_cost = sigma, target, grid_cost
        self.draws, self.most_draws = 0, draws
        self.decided: Decision | None = None
        self._members = best_labels(reference, vectors, top_k)
        drawn = tuple(kind for kind in kinds if kind != "cone")
        if drawn and pilot_features is None:
            raise CertificationError(f"{' and '.join(drawn)} need the features of every draw")
        self._cone: FixedDrawsEstimator | AnyTimeEstimator | None = None
        self._cone_target: Target | None = None
        if "cone" in kinds:
            if bound is None:
                raise CertificationError('the kind "cone" needs the bound that its angle is certified by')
            rivals = Rivals(vectors, self._members)
            cone = LabelCone(rivals.nearest(reference).margin)
            if target is None:
                self._cone = FixedDrawsEstimator(
                    pilot,
                    reference,
                    pilot_features=pilot_features,
                    sigma=sigma,
                    alpha=share,
                    bound=bound,
                    draws=draws,
                )
            else:
                self._cone_target = cone.target(target.radius)
                self._cone = AnyTimeEstimator(
                    pilot,
                    reference,
                    pilot_features=pilot_features,
                    sigma=sigma,
                    alpha=share,
                    bound=bound,
                    target=cone.target(target.radius + grid_cost),
                    draws=draws,
                    out_of_reach="hopeless",
                )
        self._drawn: PredictionEstimator | None = None
        if drawn and pilot_features is not None:
            self._drawn = PredictionEstimator(
                pilot_features,
                vectors,
                sigma=sigma,
                alpha=share,
                draws=draws,
                kinds=drawn,
                top_k=top_k,
                reference=reference,
                any_time=target is not None,
            )
        fewest = None if target is None else target.fewest_draws(share, sigma)
        self._next_check = min(max(_FIRST_CHECK, fewest or draws), draws)
        self._next_doubt = _FIRST_DOUBT
        self._drawn_hopeless = self._drawn is None

    def update(self, cosines: Floats, features: Floats | None = None) -> None:
        """Add certifying draws: cosines [n] to the reference, and unit features [n, D] where there are some.

        Raises:
            CertificationError: they are malformed, or more than announced.
        """
        if self._cone is not None:
            self._cone.update(cosines, features)
        if self._drawn is not None:
            if features is None:
                raise CertificationError("margin and vote need the features of every draw")
            self._drawn.update(features)
        self.draws += len(cosines)
        if self._target is not None and self.decided is None:
            self.decided = self._decision(self._target)

    def finish(self) -> LabelEvidence:
        """The evidence of the draws so far.

        Raises:
            CertificationError: the number of draws is not the one fixed beforehand; with a target: there were none.
        """
        return LabelEvidence(
            () if self._drawn is None else self._drawn.finish(),
            None if self._cone is None else self._cone.finish(),
            self._cone_target,
        )

    def _decision(self, target: LabelTarget) -> Decision | None:
        cone = None if self._cone is None else self._cone.decided
        if cone == "proved":
            return "proved"
        if self._drawn is not None and self.draws >= min(self._next_check, self._next_doubt):
            if self.draws >= self._next_check:
                self._next_check = min(math.ceil(_STEP * self.draws), self.most_draws)
            own = [claim for claim in self._drawn.finish() if same_labels(self._members, claim.members, claim.twins)]
            if any(self._radius(claim.evidence) >= target.radius for claim in own):
                return "proved"
            if not own:
                self._drawn_hopeless = True
            elif self.draws >= self._next_doubt:
                self._next_doubt = 2 * self.draws
                best = (self._radius(optimistic(claim.evidence, self.most_draws)) for claim in own)
                self._drawn_hopeless = all(radius < target.radius for radius in best)
        hopeless = self._drawn_hopeless and (self._cone is None or cone == "hopeless")
        return "hopeless" if hopeless and self.draws < self.most_draws else None

    def _radius(self, evidence: MarginLaw | VoteLaw) -> float:
        return drawn_radius(evidence, self._sigma, self._grid_cost)


def drawn_radius(evidence: MarginLaw | VoteLaw, sigma: float, grid_cost: float) -> float:
    """The l2 radius that a margin or a vote certifies; 0.0 where it certifies none.

    The draws were about the image on the grid; moving an attacked image there costs too (docs/theory.md section 8).
    """
    return max(0.0, sigma * evidence.shift() - grid_cost)


def optimistic(evidence: MarginLaw | VoteLaw, most_draws: int) -> MarginLaw | VoteLaw:
    """What ``most_draws`` draws may show at best: every frequency two standard errors below the one seen."""

    def later(counts: Sequence[int], draws: int) -> tuple[int, ...]:
        low = np.maximum(0.0, np.array(counts) - _OPTIMISM * np.sqrt(counts))
        return tuple(int(count) for count in np.floor(low * (most_draws / draws)))

    if isinstance(evidence, VoteLaw):
        [against] = later((evidence.draws - evidence.count,), evidence.draws)
        return replace(evidence, count=most_draws - against, draws=most_draws)
    tails = evidence.tails
    return MarginLaw(replace(tails, counts=later(tails.counts, tails.draws), draws=most_draws))
