"""What a prediction certificate is made of."""

from dataclasses import dataclass

from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance, reference_sha256
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification.prediction import Kind, LabelCone, MarginLaw, VoteLaw


@dataclass(frozen=True)
class NamedLabel:
    """A label.

    Attributes:
        index: its place among the prototypes, from 0.
        name: what it is called.
    """

    index: int
    name: str


@dataclass(frozen=True)
class PrototypeFacts:
    """The prototypes that a certificate is about.

    Attributes:
        name: of the set.
        sha256: of their numbers (:class:`Prototypes`).
        count: how many there are.
    """

    name: str
    sha256: str
    count: int


@dataclass(frozen=True)
class Binding:
    """What the draws were made of: with it they can be made again.

    Attributes:
        image: the image and its preprocessing.
        provenance: graph, backend, generator and seed.
        sigma: noise standard deviation, in units of [0, 1] pixels.
        draws: certifying draws.
        most_draws: the draws that were allowed.
        pilot: pilot draws.
        reference_kind: what the reference is.
        reference_sha256: of the reference's float64 numbers.
    """

    image: ImageFacts
    provenance: Provenance
    sigma: float
    draws: int
    most_draws: int
    pilot: int
    reference_kind: ReferenceKind
    reference_sha256: str

    @classmethod
    def of(cls, feature: FeatureCertificate) -> "Binding":
        """That of a feature certificate."""
        return cls(
            image=feature.image,
            provenance=feature.provenance,
            sigma=feature.sigma,
            draws=feature.draws,
            most_draws=feature.most_draws,
            pilot=feature.pilot,
            reference_kind=feature.reference_kind,
            reference_sha256=reference_sha256(feature.reference),
        )


@dataclass(frozen=True)
class Claim:
    """What one theorem says.

    Attributes:
        kind: ``cone`` and ``margin`` certify the label of the smoothed feature, ``vote`` the majority of the draws'.
        alpha: probability that it fails.
        labels: the labels it is about.
        twins: other labels that cannot be told from one of them.
        evidence: the sufficient statistics.
    """

    kind: Kind
    alpha: float
    labels: tuple[NamedLabel, ...]
    twins: tuple[NamedLabel, ...]
    evidence: LabelCone | MarginLaw | VoteLaw
