"""From draws to the evidence of label certificates: the pilot fixes labels and thresholds, fresh draws are counted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.errors import CertificationError, TooFewDrawsError
from fs_runtime.certification.estimation.checks import UNIT_SLACK, unit_rows
from fs_runtime.certification.estimation.pilot import reference_of
from fs_runtime.certification.laws.tails import COSINE_SLACK, TailBounds, count_beyond
from fs_runtime.certification.normal import Floats
from fs_runtime.certification.prediction.margin import MarginLaw, most_thresholds, plan_margin_thresholds
from fs_runtime.certification.prediction.rivals import (
    Rivals,
    best_labels,
    checked_prototypes,
    voted_labels,
)
from fs_runtime.certification.prediction.vote import VoteLaw

Kind = Literal["cone", "margin", "vote"]
KINDS: tuple[Kind, ...] = ("cone", "margin", "vote")
_DRAWN: tuple[Kind, ...] = ("margin", "vote")


@dataclass(frozen=True)
class LabelClaim:
    """What the draws say of one set of labels.

    Attributes:
        kind: which theorem.
        members: the k labels, best first; fixed by the pilot.
        twins: other labels that cannot be told from a member (:class:`Rivals`).
        evidence: the sufficient statistics.
    """

    kind: Kind
    members: tuple[int, ...]
    twins: tuple[int, ...]
    evidence: MarginLaw | VoteLaw


class PredictionEstimator:
    """Takes certifying draws for the kinds ``margin`` and ``vote``, block by block; ``cone`` needs none of its own.

    Each kind holds with probability at least 1 - alpha. Memory does not grow with the number of draws.
    """

    def __init__(
        self,
        pilot: npt.ArrayLike,
        prototypes: npt.ArrayLike,
        *,
        sigma: float,
        alpha: float,
        draws: int,
        kinds: Sequence[Kind] = _DRAWN,
        top_k: int = 1,
        reference: npt.ArrayLike | None = None,
        any_time: bool = False,
    ) -> None:
        """Fix labels and thresholds from the pilot.

        Args:
            pilot: [n0, D] unit features, independent of the certifying ones.
            prototypes: [C, D] unit rows.
            sigma: noise standard deviation, in units of [0, 1] pixels.
            alpha: probability that a kind fails, for each kind (:func:`divided_alpha`).
            draws: certifying draws, fixed beforehand; the most of them with ``any_time``.
            kinds: ``"margin"``, ``"vote"``.
            top_k: 1: the label; more: the set of the k best.
            reference: [D] the feature whose label ``margin`` is to certify; None: the pilot's mean.
            any_time: whether the draws may stop at any number; bounds hold at all of them together then.

        Raises:
            CertificationError: malformed numbers or settings.
            TooFewDrawsError: no outcome of so few draws could certify anything.
        """
        if not 0.0 < sigma < math.inf:
            raise CertificationError(f"sigma must be a positive number, not {sigma}")
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(_DRAWN):
            raise CertificationError(f"kinds must be some of {', '.join(_DRAWN)}, each once, not {tuple(kinds)}")
        needed = max(smallest_draws(alpha, kind, draws) for kind in kinds)
        if draws < needed:
            raise TooFewDrawsError(draws, needed, alpha)
        rows, checked = unit_rows(pilot, "pilot"), checked_prototypes(prototypes)
        self.sigma = sigma
        self.most_draws = draws
        self.draws = 0
        self._alpha = alpha
        self._any_time = any_time
        self._counters: list[_MarginCounter | _VoteCounter] = []
        rivals: Rivals | None = None
        if "margin" in kinds:
            vector = reference_of(rows.mean(axis=0)) if reference is None else _unit(reference)
            rivals = Rivals(checked, best_labels(vector, checked, top_k))
            self._counters.append(_MarginCounter(rivals, rivals.margins(rows), draws))
        if "vote" in kinds:
            members = voted_labels(rows, checked, top_k)
            if rivals is None or set(rivals.members) != set(members):
                rivals = Rivals(checked, members)
            self._counters.append(_VoteCounter(rivals, rivals.margins(rows)))

    def update(self, features: npt.ArrayLike) -> None:
        """Add the unit features [n, D] of certifying draws.

        Raises:
            CertificationError: they are not unit rows of the prototypes' dimension, or more than announced.
        """
        rows = unit_rows(features, "features")
        if self.draws + len(rows) > self.most_draws:
            raise CertificationError(f"{self.most_draws} draws were announced but {self.draws + len(rows)} were made")
        margins: dict[int, Floats] = {}
        for counter in self._counters:
            key = id(counter.rivals)
            if key not in margins:
                margins[key] = counter.rivals.margins(rows)
            counter.add(margins[key])
        self.draws += len(rows)

    def finish(self) -> tuple[LabelClaim, ...]:
        """One claim a kind, from the draws so far.

        Raises:
            CertificationError: the number of draws is not the one fixed beforehand; with ``any_time``: there were none.
        """
        if self.draws != self.most_draws and not (self._any_time and self.draws):
            raise CertificationError(
                f"{self.most_draws} draws were announced but {self.draws} were made: "
                "the number must be fixed before the draws"
            )
        return tuple(
            LabelClaim(
                counter.kind,
                counter.rivals.members,
                counter.rivals.twins,
                counter.evidence(self.draws, self._alpha, self._any_time),
            )
            for counter in self._counters
        )


class _MarginCounter:
    kind: Kind = "margin"

    def __init__(self, rivals: Rivals, pilot: Floats, draws: int) -> None:
        self.rivals = rivals
        self._thresholds = plan_margin_thresholds(pilot, draws)
        self._priors = tuple(BetaPrior.learned(each, len(pilot)) for each in count_beyond(pilot, self._thresholds))
        self._counts = np.zeros(len(self._thresholds), dtype=np.int64)

    def add(self, margins: Floats) -> None:
        self._counts += np.array(count_beyond(margins, self._thresholds))

    def evidence(self, draws: int, alpha: float, any_time: bool) -> MarginLaw:
        counts = tuple(int(count) for count in self._counts)
        return MarginLaw(TailBounds(self._thresholds, counts, draws, alpha, self._priors if any_time else None))


class _VoteCounter:
    kind: Kind = "vote"

    def __init__(self, rivals: Rivals, pilot: Floats) -> None:
        self.rivals = rivals
        self._prior = BetaPrior.learned(len(pilot) - _votes(pilot), len(pilot))
        self._count = 0

    def add(self, margins: Floats) -> None:
        self._count += _votes(margins)

    def evidence(self, draws: int, alpha: float, any_time: bool) -> VoteLaw:
        return VoteLaw(self._count, draws, alpha, self._prior if any_time else None)


def _unit(reference: npt.ArrayLike) -> Floats:
    """The reference, as it is where it has unit length: normalised again it might favour another of two equals."""
    vector = np.asarray(reference, dtype=np.float64)
    return vector if abs(float(np.linalg.norm(vector)) - 1.0) <= UNIT_SLACK else reference_of(vector)


def _votes(margins: Floats) -> int:
    """Draws whose k best labels are the set, rounding counted against it."""
    return int((margins > COSINE_SLACK).sum())


def divided_alpha(alpha: float, kinds: Sequence[Kind]) -> float:
    """The level of each kind, so that all of them together fail with probability at most ``alpha``.

    The cone's share is the level of the feature certificate that it follows from.

    Raises:
        CertificationError: unknown or no kinds, one twice, or alpha outside (0, 1).
    """
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise CertificationError(f"kinds must be some of {', '.join(KINDS)}, each once, not {tuple(kinds)}")
    if not 0.0 < alpha < 1.0:
        raise CertificationError(f"alpha must lie strictly between 0 and 1, not {alpha}", argument="alpha")
    return alpha / len(kinds)


def smallest_draws(alpha: float, kind: Kind, draws: int) -> int:
    """The fewest of at most ``draws`` draws with which a kind could certify something (docs/theory.md section 2.4).

    Raises:
        CertificationError: alpha outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise CertificationError(f"alpha must lie strictly between 0 and 1, not {alpha}", argument="alpha")
    # With no draw beyond any threshold 1 - (alpha / J)^(1/n) must stay below 1/2.
    thresholds = most_thresholds(draws) if kind == "margin" else 1
    return math.floor(math.log(thresholds / alpha) / math.log(2.0)) + 1
