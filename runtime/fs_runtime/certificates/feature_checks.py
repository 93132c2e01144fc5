"""Numbers that no certificate can have: what a file must be held to before anything is computed from it."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from fs_runtime.certification import AngleLaw, BetaPrior, Cone, Fcsb, GramLaw, MomentBets, TailBounds
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA

if TYPE_CHECKING:
    from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts

# Features are unit vectors up to float32 rounding, and so are the numbers made of them.
SLACK = 1e-3
# Moments of draws that are all the reference, up to the square of float64's rounding.
_NOTHING = 1e-24


def check_numbers(certificate: "FeatureCertificate", name: str) -> None:
    """Refuse a certificate whose numbers are out of range or contradict each other.

    It finds damage and careless edits. Whoever edits with care is found out by making the draws again.

    Raises:
        InputError: naming ``name``.
    """
    score = certificate.score
    sound = (
        0.0 < certificate.sigma <= LARGEST_SIGMA
        and 0.0 < certificate.alpha < 1.0
        and certificate.draws >= 1
        and certificate.pilot >= 1
        and 0.0 <= score.lower <= score.upper <= 1.0
        and score.lower - SLACK <= score.estimate <= score.upper + SLACK
        and sound_image(certificate.image)
    )
    sound = sound and _sound_sampling(certificate) and _sound_evidence(certificate)
    if not sound:
        raise InputError(f"{name}: its numbers contradict each other, so it is no certificate: certify the image again")


def sound_image(image: "ImageFacts") -> bool:
    """Whether there can be such an image."""
    return (
        image.height >= 1
        and image.width >= 1
        and image.values >= 3
        and 0.0 < image.operator_norm < math.inf
        and 0.0 <= image.resampling_error < math.inf
        and 0.0 <= image.grid_distance < math.inf
    )


def _sound_sampling(certificate: "FeatureCertificate") -> bool:
    any_time = certificate.until is not None
    drawn = certificate.draws <= certificate.most_draws if any_time else certificate.draws == certificate.most_draws
    evidence = certificate.curve.evidence
    if isinstance(evidence, GramLaw | AngleLaw):
        return drawn and (evidence.tails.priors is not None) == any_time
    if isinstance(evidence, Fcsb):
        return drawn and (evidence.adaptive is not None) == any_time
    return drawn


def _sound_evidence(certificate: "FeatureCertificate") -> bool:
    evidence, draws, alpha = certificate.curve.evidence, certificate.draws, certificate.alpha
    if isinstance(evidence, GramLaw):
        tails = evidence.tails
        return (
            evidence.alpha == alpha
            and sound_tails(tails, draws, 0.5 * alpha)
            and 0 <= evidence.cut < len(tails.thresholds)
            and SLACK <= tails.thresholds[evidence.cut] <= 0.5 * math.pi
            and _sound_moments(evidence)
            and _sound_bets(evidence.bets)
        )
    if isinstance(evidence, AngleLaw):
        return sound_tails(evidence.tails, draws, alpha)
    score = certificate.score
    if isinstance(evidence, Cone):
        return evidence.alpha == alpha and evidence.mean <= 2.0 * score.estimate - 1.0 + SLACK
    return (
        (evidence.draws, evidence.alpha) == (draws, alpha)
        and abs(evidence.mean_cosine) <= 1.0 + SLACK
        and abs(evidence.mean_cosine - (2.0 * score.estimate - 1.0)) <= SLACK
        and (evidence.adaptive is None or evidence.adaptive <= score.estimate + SLACK)
    )


def _sound_moments(law: GramLaw) -> bool:
    # In every direction a mean is at most the root of the mean square, and none of them exceeds rho.
    square, slack = law.rho**2, 1.0 + SLACK
    return (
        law.mean_norm >= 0.0
        and law.mean_norm**2 <= law.largest_eigenvalue * slack + _NOTHING
        and law.largest_eigenvalue <= square * slack + _NOTHING
        and law.largest_eigenvalue**2 <= law.fourth_moment * slack + _NOTHING
        and law.fourth_moment <= square**2 * slack + _NOTHING
    )


def _sound_bets(bets: MomentBets) -> bool:
    return all(
        1 <= len(each) <= 64 and all(0.0 < bet < 1.0 for bet in each) for each in (bets.second_moment, bets.mean)
    )


def sound_prior(prior: BetaPrior) -> bool:
    """Whether a Beta law can have these parameters."""
    return 0.0 < prior.a < math.inf and 0.0 < prior.b < math.inf


def sound_tails(tails: TailBounds, draws: int, alpha: float) -> bool:
    """Whether ``draws`` draws can have such tails at level ``alpha``."""
    edges = (0.0, *tails.thresholds, math.pi)
    return (
        len(tails.thresholds) == len(tails.counts) > 0
        and all(low < high for low, high in pairwise(edges))
        and all(0 <= count <= draws for count in tails.counts)
        and tails.draws == draws
        and tails.alpha == alpha
        and (tails.priors is None or (len(tails.priors) == len(tails.counts) and all(map(sound_prior, tails.priors))))
    )
