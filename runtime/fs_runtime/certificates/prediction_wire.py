"""A prediction certificate as JSON."""

from typing import Annotated, Any, Literal

import msgspec

from fs_runtime.backends import BackendInfo
from fs_runtime.certificates.feature import HexSeed, ImageFacts, Outcome, Provenance, SeedSource
from fs_runtime.certificates.prediction_parts import Binding, Claim, NamedLabel, PrototypeFacts
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification.prediction import Kind, LabelCone, LabelTarget, MarginLaw, VoteLaw
from fs_runtime.errors import InputError
from fs_runtime.noise import Seed

SCHEMA: Literal["fs-runtime/prediction-certificate/1"] = "fs-runtime/prediction-certificate/1"

_EVIDENCE: dict[str, type[Any]] = {"cone": LabelCone, "margin": MarginLaw, "vote": VoteLaw}


class WireClaim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One claim, with the radius that follows from it."""

    kind: Kind
    radius: float
    alpha: float
    labels: tuple[NamedLabel, ...]
    twins: tuple[NamedLabel, ...]
    evidence: msgspec.Raw


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificate as JSON: flat, seed in hexadecimal, the long feature certificate last."""

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
    reference_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    image: ImageFacts
    graph_sha256: str
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
