"""Numbers that no prediction certificate can have: what a file must be held to before it is believed."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.feature_checks import sound_image, sound_prior, sound_tails
from fs_runtime.certificates.prediction_parts import Binding, Claim, NamedLabel
from fs_runtime.certification import Target
from fs_runtime.certification.prediction import LabelCone, MarginLaw, Rivals
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA

if TYPE_CHECKING:
    from fs_runtime.certificates.prediction import PredictionCertificate

# Shares of alpha are divided, and their sum rounds.
_ALPHA_SLACK = 1e-9
_MARGIN_SLACK = 1e-3
_COSINE_SLACK = 1e-6
# Margins of prototypes that nearly coincide keep few digits from one machine to another.
_SAME = 1e-7


def check_prediction(certificate: "PredictionCertificate", name: str) -> None:
    """Refuse a certificate whose numbers are out of range or contradict each other.

    It finds damage and careless edits. Whoever edits with care is found out by making the draws again.

    Raises:
        InputError: naming ``name``.
    """
    sound = (
        _sound_binding(certificate.binding, any_time=certificate.until is not None)
        and 0.0 < certificate.alpha < 1.0
        and -1.0 - _MARGIN_SLACK <= certificate.margin <= 1.0 + _MARGIN_SLACK
        and _sound_labels(certificate)
        and _sound_claims(certificate)
        and _sound_feature(certificate)
    )
    if not sound:
        raise InputError(
            f"{name}: its numbers contradict each other, so it is no certificate: classify the image again"
        )


def check_against(certificate: "PredictionCertificate", prototypes: Prototypes) -> None:
    """Hold what a certificate says of its reference against its prototypes.

    Raises:
        InputError: other prototypes, or the certificate contradicts them.
    """
    known, feature = certificate.prototypes, certificate.feature
    if (known.sha256, known.count) != (prototypes.sha256, len(prototypes)):
        raise InputError(
            f"the certificate is about prototypes {known.name!r} of SHA-256 {known.sha256}, not about "
            f"{prototypes.name!r} of {prototypes.sha256}: name those"
        )
    listed = {*certificate.labels, certificate.runner_up, *certificate.twins}
    for claim in certificate.claims:
        listed |= {*claim.labels, *claim.twins}
    sound = all(prototypes.labels[label.index] == label.name for label in listed)
    if sound and feature is not None:
        # A positive margin says that these labels are the best; no other says anything.
        members = [label.index for label in certificate.labels]
        rivals = Rivals(prototypes.vectors, members)
        cosines = prototypes.vectors[members] @ feature.reference
        sound = (
            abs(rivals.nearest(feature.reference).margin - certificate.margin) <= _SAME
            and bool(np.allclose(cosines, certificate.cosines, rtol=0.0, atol=_SAME))
            and rivals.twins == tuple(label.index for label in certificate.twins)
        )
    if not sound:
        raise InputError("the certificate's labels do not follow from its prototypes: classify the image again")


def _sound_binding(binding: Binding, *, any_time: bool) -> bool:
    return (
        0.0 < binding.sigma <= LARGEST_SIGMA
        and 1 <= binding.draws <= binding.most_draws
        and (any_time or binding.draws == binding.most_draws)
        and binding.pilot >= 1
        and sound_image(binding.image)
    )


def _sound_labels(certificate: "PredictionCertificate") -> bool:
    labels, twins, rival = certificate.labels, certificate.twins, certificate.runner_up
    cosines = certificate.cosines
    listed = {*labels, *twins, rival}
    for claim in certificate.claims:
        listed |= {*claim.labels, *claim.twins}
    named_once = len(listed) == len({label.index for label in listed})
    return (
        named_once
        and 1 <= len(labels) == len(cosines) < certificate.prototypes.count
        and _different((*labels, *twins, rival), certificate.prototypes.count)
        and all(abs(cosine) <= 1.0 + _COSINE_SLACK for cosine in cosines)
        and all(better >= worse - _COSINE_SLACK for better, worse in pairwise(cosines))
    )


def _different(labels: tuple[NamedLabel, ...], count: int) -> bool:
    indices = {label.index for label in labels}
    return len(indices) == len(labels) and all(0 <= index < count for index in indices)


def _sound_claims(certificate: "PredictionCertificate") -> bool:
    claims = certificate.claims
    return (
        bool(claims)
        and len({claim.kind for claim in claims}) == len(claims)
        and sum(claim.alpha for claim in claims) <= certificate.alpha * (1.0 + _ALPHA_SLACK)
        # Shares that were chosen after the draws would not hold together.
        and all(math.isclose(claim.alpha, claims[0].alpha, rel_tol=_ALPHA_SLACK) for claim in claims)
        and all(_sound_claim(claim, certificate) for claim in claims)
    )


def _sound_claim(claim: Claim, certificate: "PredictionCertificate") -> bool:
    evidence, binding, any_time = claim.evidence, certificate.binding, certificate.until is not None
    if not 0.0 < claim.alpha < 1.0:
        return False
    own = (claim.labels, claim.twins) == (certificate.labels, certificate.twins)
    if isinstance(evidence, LabelCone):
        return own and evidence.margin == certificate.margin
    if isinstance(evidence, MarginLaw):
        tails = evidence.tails
        return (
            own
            and sound_tails(tails, binding.draws, claim.alpha)
            and all(nearer >= farther for nearer, farther in pairwise(tails.counts))
            and (tails.priors is not None) == any_time
        )
    return (
        len(claim.labels) == len(certificate.labels)
        and _different((*claim.labels, *claim.twins), certificate.prototypes.count)
        and 0 <= evidence.count <= evidence.draws == binding.draws
        and evidence.alpha == claim.alpha
        and (not any_time if evidence.prior is None else any_time and sound_prior(evidence.prior))
    )


def _sound_feature(certificate: "PredictionCertificate") -> bool:
    """Whether the cone has a feature certificate, and it is about the same draws."""
    feature = certificate.feature
    cones = [claim for claim in certificate.claims if claim.kind == "cone"]
    if feature is None or not cones:
        return feature is None and not cones
    return (
        feature.bound != "cone"
        and cones[0].alpha == feature.alpha
        and certificate.binding == Binding.of(feature)
        and _same_target(feature.until, certificate)
    )


def _same_target(stated: Target | None, certificate: "PredictionCertificate") -> bool:
    """Whether the feature certificate's target is what the cone needs for the prediction's."""
    if stated is None or certificate.until is None:
        return stated is None and certificate.until is None
    wanted = LabelCone(certificate.margin).target(certificate.until.radius)
    return stated.radius == wanted.radius and math.isclose(stated.cosine, wanted.cosine, rel_tol=1e-12)
