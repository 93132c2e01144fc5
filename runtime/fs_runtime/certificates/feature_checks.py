"""Numbers that no certificate can have: what a file must be held to before anything is computed from it."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from fs_runtime.certification import AngleLaw, GramLaw, TailBounds
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA

if TYPE_CHECKING:
    from fs_runtime.certificates.feature import FeatureCertificate

# Features are unit vectors up to float32 rounding, and so are the numbers made of them.
_SLACK = 1e-3


def check_numbers(certificate: "FeatureCertificate", name: str) -> None:
    """Refuse a certificate whose numbers are out of range or contradict each other.

    It finds damage and careless edits. Whoever edits with care is found out by making the draws again.

    Raises:
        InputError: naming ``name``.
    """
    score, image, evidence = certificate.score, certificate.image, certificate.curve.evidence
    sound = (
        0.0 < certificate.sigma <= LARGEST_SIGMA
        and 0.0 < certificate.alpha < 1.0
        and certificate.draws >= 1
        and certificate.pilot >= 1
        and 0.0 <= score.lower <= score.upper <= 1.0
        and score.lower - _SLACK <= score.estimate <= score.upper + _SLACK
        and image.height >= 1
        and image.width >= 1
        and image.values >= 3
        and 0.0 < image.operator_norm < math.inf
        and 0.0 <= image.resampling_error < math.inf
        and 0.0 <= image.grid_distance < math.inf
    )
    if isinstance(evidence, GramLaw):
        tails = evidence.tails
        sound = (
            sound
            and evidence.alpha == certificate.alpha
            and _sound_tails(tails, certificate.draws, 0.5 * certificate.alpha)
            and 0 <= evidence.cut < len(tails.thresholds)
            and tails.thresholds[evidence.cut] <= 0.5 * math.pi
            and 0.0 <= evidence.largest_eigenvalue <= 1.0 + _SLACK
            and 0.0 <= evidence.mean_norm <= 1.0 + _SLACK
        )
    elif isinstance(evidence, AngleLaw):
        sound = sound and _sound_tails(evidence.tails, certificate.draws, certificate.alpha)
    else:
        sound = (
            sound
            and (evidence.draws, evidence.alpha) == (certificate.draws, certificate.alpha)
            and abs(evidence.mean_cosine) <= 1.0 + _SLACK
        )
    if not sound:
        raise InputError(f"{name}: its numbers contradict each other, so it is no certificate: certify the image again")


def _sound_tails(tails: TailBounds, draws: int, alpha: float) -> bool:
    edges = (0.0, *tails.thresholds, math.pi)
    return (
        len(tails.thresholds) == len(tails.counts) > 0
        and all(low < high for low, high in pairwise(edges))
        and all(0 <= count <= draws for count in tails.counts)
        and tails.draws == draws
        and tails.alpha == alpha
    )
