"""A prediction certificate as JSON."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fs_runtime.backends import BackendInfo
from fs_runtime.certificates.feature import HexSeed, ImageFacts, Outcome, Provenance, SeedSource, Sha256
from fs_runtime.certificates.files import one_line
from fs_runtime.certificates.prediction_parts import Binding, Claim, NamedLabel, PrototypeFacts
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification.prediction import Kind, LabelCone, LabelTarget, MarginLaw, VoteLaw
from fs_runtime.errors import InputError
from fs_runtime.noise import Seed

if TYPE_CHECKING:
    from fs_runtime.certificates.prediction import PredictionCertificate

SCHEMA: Literal["fs-runtime/prediction-certificate/1"] = "fs-runtime/prediction-certificate/1"

_EVIDENCE: dict[str, type[Any]] = {"cone": LabelCone, "margin": MarginLaw, "vote": VoteLaw}


class WireClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one theorem says of the label, with the radius that follows from it.

    Attributes:
        kind: ``cone`` and ``margin`` certify the label of the smoothed feature, ``vote`` the majority of the draws'
            labels, which is another function (docs/theory.md section 5); it decides what ``evidence`` holds.
        radius: certified l2 radius over the graph's [0, 1] pixels; 0 where none is.
        alpha: probability that this claim fails.
        labels: the labels it is about, best first.
        twins: other labels that cannot be told from one of them.
        evidence: sufficient statistics of the draws.
    """

    kind: Kind
    radius: float
    alpha: float
    labels: tuple[NamedLabel, ...]
    twins: tuple[NamedLabel, ...]
    evidence: msgspec.Raw


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificate of one image's label, as JSON: flat, seed in hexadecimal, the long feature certificate last.

    Guarantee: with probability at least 1 - alpha over the noise, all claims hold together. A claim of kind ``cone`` or
    ``margin``: for every perturbation of the graph's [0, 1] pixels with an l2 norm of at most its radius the best
    labels of the smoothed feature are ``labels``. A claim of kind ``vote``: so they are for more than half of the noisy
    copies.

    Attributes:
        schema: name and version of this format.
        labels: the best labels at the reference, best first; their order is not certified.
        cosines: of the reference to their prototypes.
        radius: the largest l2 radius, over the graph's [0, 1] pixels, that any claim certifies about ``labels``; 0
            where there is none.
        original_radius: the l2 radius over the original image's [0, 1] pixels that it covers (docs/theory.md section
            7).
        kind: of the claim with the largest radius about ``labels``; None where nothing is certified about them.
        abstained: whether no claim certifies a positive radius for ``labels`` or, with ``until``, its radius.
        until: the radius at which the draws were to stop; None where their number was fixed beforehand.
        outcome: of ``until``: ``proved``; ``hopeless``, given up; ``undecided``, not proved by the most draws; None
            where the number of draws was fixed beforehand.
        alpha: probability that any claim fails.
        runner_up: the rival whose boundary the reference is nearest to.
        margin: <v, t_a - t_b> / ||t_a - t_b|| of the reference v there, the sine of its angle to the boundary.
        twins: labels outside ``labels`` with the prototype of one inside.
        claims: one a kind.
        prototypes: what the labels stand for.
        sigma: standard deviation of the noise, in units of [0, 1] pixels.
        draws: certifying draws that were made; the pilot's are not among them.
        most_draws: certifying draws that were allowed.
        pilot: pilot draws, which fixed the reference, the labels and the thresholds.
        reference_kind: ``smoothed``, the mean of the pilot's unit features; ``clean``, the bare encoder's feature.
        reference_sha256: of the reference's float64 numbers, little-endian.
        image: the image, and what preprocessing does to distances.
        graph_sha256: of the graph, with its external data, that made the draws.
        backend: what ran the draws.
        generator: name and version of the noise stream.
        seed: 128-bit seed of the noise, in hexadecimal.
        seed_source: ``os-entropy``, of the operating system; ``caller``, fixed beforehand, for tests and replay.
        runtime: version of fs-runtime that wrote the certificate.
        feature: the feature certificate that the cone follows from; None where there is no cone.
    """

    schema: Literal["fs-runtime/prediction-certificate/1"]
    labels: tuple[NamedLabel, ...]
    cosines: tuple[float, ...]
    radius: float
    original_radius: float
    kind: Kind | None
    abstained: bool
    until: LabelTarget | None
    outcome: Outcome | None
    alpha: float
    runner_up: NamedLabel
    margin: float
    twins: tuple[NamedLabel, ...]
    claims: tuple[WireClaim, ...]
    prototypes: PrototypeFacts
    sigma: float
    draws: int
    most_draws: int
    pilot: int
    reference_kind: ReferenceKind
    reference_sha256: Sha256
    image: ImageFacts
    graph_sha256: Sha256
    backend: BackendInfo
    generator: str
    seed: HexSeed
    seed_source: SeedSource
    runtime: str
    # The feature certificate, or null: msgspec takes Raw alone only.
    feature: msgspec.Raw

    def feature_text(self) -> str | None:
        """JSON of the feature certificate, if there is one."""
        text = bytes(self.feature).decode()
        return None if text == "null" else text


def encoded(certificate: "PredictionCertificate", beside: str | None) -> str:
    """The certificate as one line; it names ``beside`` as the file where a large reference of the cone is."""
    binding, feature = certificate.binding, certificate.feature
    wire = Wire(
        schema=SCHEMA,
        labels=certificate.labels,
        cosines=certificate.cosines,
        radius=certificate.radius,
        original_radius=certificate.original_radius(),
        kind=certificate.kind,
        abstained=certificate.abstained,
        until=certificate.until,
        outcome=certificate.outcome,
        alpha=certificate.alpha,
        runner_up=certificate.runner_up,
        margin=certificate.margin,
        twins=certificate.twins,
        claims=tuple(
            WireClaim(
                kind=claim.kind,
                radius=certificate.radius_of(claim.kind),
                alpha=claim.alpha,
                labels=claim.labels,
                twins=claim.twins,
                evidence=msgspec.Raw(msgspec.json.encode(claim.evidence)),
            )
            for claim in certificate.claims
        ),
        prototypes=certificate.prototypes,
        sigma=binding.sigma,
        draws=binding.draws,
        most_draws=binding.most_draws,
        pilot=binding.pilot,
        reference_kind=binding.reference_kind,
        reference_sha256=binding.reference_sha256,
        image=binding.image,
        feature=msgspec.Raw(b"null" if feature is None else feature.json_beside(beside).encode()),
        **binding.provenance.to_wire(),
    )
    return one_line(msgspec.json.encode(wire))


def decoded(text: str, name: str) -> tuple[Wire, tuple[Claim, ...], Binding]:
    """What the text says, and the claims and the binding in it.

    Raises:
        InputError: the text, called ``name``, is no such certificate.
    """
    try:
        wire = msgspec.json.decode(text, type=Wire)
        claims = tuple(
            Claim(
                kind=claim.kind,
                alpha=claim.alpha,
                labels=claim.labels,
                twins=claim.twins,
                evidence=msgspec.json.decode(claim.evidence, type=_EVIDENCE[claim.kind]),
            )
            for claim in wire.claims
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is not a certificate of schema {SCHEMA} ({error}): classify the image again"
        ) from error
    binding = Binding(
        image=wire.image,
        provenance=Provenance(
            graph_sha256=wire.graph_sha256,
            backend=wire.backend,
            generator=wire.generator,
            seed=Seed(int(wire.seed, 16), wire.seed_source),
            runtime=wire.runtime,
        ),
        sigma=wire.sigma,
        draws=wire.draws,
        most_draws=wire.most_draws,
        pilot=wire.pilot,
        reference_kind=wire.reference_kind,
        reference_sha256=wire.reference_sha256,
    )
    return wire, claims, binding
