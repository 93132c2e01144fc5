"""The certificate of one image's label: within which radius it stays, by which theorem, and all that a replay needs."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Outcome, Provenance
from fs_runtime.certificates.files import certificate_text, write_certificate
from fs_runtime.certificates.prediction_checks import check_against, check_prediction
from fs_runtime.certificates.prediction_parts import Binding, Claim, NamedLabel, PrototypeFacts
from fs_runtime.certificates.prediction_wire import decoded, encoded
from fs_runtime.certification.prediction import (
    Kind,
    LabelClaim,
    LabelCone,
    LabelTarget,
    MarginLaw,
    Rivals,
    VoteLaw,
    best_labels,
    drawn_radius,
    same_labels,
)
from fs_runtime.errors import InputError


@dataclass(frozen=True)
class PredictionCertificate:
    """Within which l2 radius no attack changes the label of one image, or the set of its k best labels.

    Guarantee: with probability at least 1 - alpha over the noise, all claims hold together. A claim of kind ``cone`` or
    ``margin``: for every perturbation of the graph's [0, 1] pixels with ||delta||_2 <= ``radius_of(kind)`` the k best
    prototypes for the smoothed feature at x + delta are ``labels``. A claim of kind ``vote``: so they are for more than
    half of the noisy copies of x + delta, which is **another function** (docs/theory.md sections 5, 8). What a user
    who draws again receives is :meth:`received_radius`.

    Attributes:
        labels: the k best at the reference, best first. Their order is not certified.
        cosines: of the reference to their prototypes.
        runner_up: the rival whose boundary the reference is nearest to.
        margin: <v, t_a - t_b> / ||t_a - t_b|| of the reference v there, rounded down; the sine of its angle to it.
        twins: labels outside ``labels`` with the prototype of one inside, which may stand for it.
        alpha: probability that any claim fails.
        claims: one a kind.
        prototypes: what the labels stand for.
        binding: image, graph, noise and draws.
        feature: the feature certificate that the cone follows from, whose own target and outcome are the cone's alone;
            None where there is no cone.
        until: the radius at which the draws were to stop; None where their number was fixed.
    """

    labels: tuple[NamedLabel, ...]
    cosines: tuple[float, ...]
    runner_up: NamedLabel
    margin: float
    twins: tuple[NamedLabel, ...]
    alpha: float
    claims: tuple[Claim, ...]
    prototypes: PrototypeFacts
    binding: Binding
    feature: FeatureCertificate | None
    until: LabelTarget | None

    @classmethod
    def made(
        cls,
        prototypes: Prototypes,
        reference: npt.NDArray[np.float64],
        claims: tuple[LabelClaim, ...],
        *,
        alpha: float,
        binding: Binding,
        feature: FeatureCertificate | None = None,
        top_k: int = 1,
        until: LabelTarget | None = None,
    ) -> "PredictionCertificate":
        """Put claims together.

        Args:
            prototypes: what the labels stand for.
            reference: [D] the unit feature whose labels are certified.
            claims: of the draws; of ``margin`` about the labels at ``reference``.
            alpha: probability that any claim fails, the cone's included.
            binding: what the draws were made of.
            feature: a feature certificate of ``reference``; where it is given, the cone is among the claims.
            top_k: k.
            until: the radius at which the draws were to stop.

        Raises:
            InputError: the feature certificate's angle is not to the reference.
            CertificationError: the dimensions differ.
        """
        if feature is not None and feature.bound == "cone":
            raise InputError(
                'bound "cone" certifies no angle to the reference, so no label follows: use "gram" or "angle-law"'
            )
        members = best_labels(reference, prototypes.vectors, top_k)
        rivals = Rivals(prototypes.vectors, members)
        nearest = rivals.nearest(reference)

        def named(indices: tuple[int, ...]) -> tuple[NamedLabel, ...]:
            return tuple(NamedLabel(index, prototypes.labels[index]) for index in indices)

        made = tuple(
            Claim(each.kind, _level(each.evidence), named(each.members), named(each.twins), each.evidence)
            for each in claims
        )
        if feature is not None:
            cone = Claim("cone", feature.alpha, named(members), named(rivals.twins), LabelCone(nearest.margin))
            made = (cone, *made)
        certificate = cls(
            labels=named(members),
            cosines=tuple(float(cosine) for cosine in prototypes.vectors[list(members)] @ reference),
            runner_up=named((nearest.rival,))[0],
            margin=nearest.margin,
            twins=named(rivals.twins),
            alpha=alpha,
            claims=made,
            prototypes=PrototypeFacts(prototypes.name, prototypes.sha256, len(prototypes)),
            binding=binding,
            feature=feature,
            until=until,
        )
        check_prediction(certificate, "the prediction")
        return certificate

    @property
    def image(self) -> ImageFacts:
        """The image and its preprocessing."""
        return self.binding.image

    @property
    def draws(self) -> int:
        """Certifying draws; the pilot's are not among them."""
        return self.binding.draws

    @property
    def most_draws(self) -> int:
        """The draws that were allowed; all of them were made where there is no target."""
        return self.binding.most_draws

    @property
    def provenance(self) -> Provenance:
        """Graph, backend, generator and seed."""
        return self.binding.provenance

    @property
    def label(self) -> str:
        """Name of the best label at the reference."""
        return self.labels[0].name

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Which theorems were used."""
        return tuple(claim.kind for claim in self.claims)

    @property
    def own_kinds(self) -> tuple[Kind, ...]:
        """The kinds whose claim is about ``labels``, or a twin of the label; a vote may be about others."""
        own = tuple(label.index for label in self.labels)

        def said(claim: Claim) -> bool:
            members, twins = ([label.index for label in part] for part in (claim.labels, claim.twins))
            return same_labels(own, members, twins)

        return tuple(claim.kind for claim in self.claims if said(claim))

    @property
    def kind(self) -> Kind | None:
        """The kind with the largest radius about ``labels``; None where nothing is certified about them."""
        best = max(self.own_kinds, key=self.radius_of, default=None)
        return best if best is not None and self.radius_of(best) > 0.0 else None

    @property
    def radius(self) -> float:
        """The largest l2 radius (graph's pixels) certified about ``labels`` by any kind; 0.0 where there is none.

        A vote for other labels is not counted; see :meth:`radius_of`.
        """
        return 0.0 if self.kind is None else self.radius_of(self.kind)

    @property
    def outcome(self) -> Outcome | None:
        """What became of the target radius; None where there was none."""
        if self.until is None:
            return None
        for kind in self.own_kinds:
            # Asked as the estimator asks it: of the cone, whether the target's angle is certified.
            if self.feature is not None and kind == "cone":
                proved = self.feature.outcome == "proved"
            else:
                proved = self.radius_of(kind) >= self.until.radius
            if proved:
                return "proved"
        return "hopeless" if self.draws < self.most_draws else "undecided"

    @property
    def abstained(self) -> bool:
        """Whether the target is not proved; without one, whether no kind certifies a positive radius for ``labels``."""
        return self.kind is None if self.until is None else self.outcome != "proved"

    def claim(self, kind: Kind) -> Claim:
        """What one theorem says.

        Raises:
            InputError: that kind is not among the claims.
        """
        for claim in self.claims:
            if claim.kind == kind:
                return claim
        raise InputError(
            f"the certificate says nothing of kind {kind!r}, only of {', '.join(self.kinds)}: ask for these"
        )

    def radius_of(self, kind: Kind) -> float:
        """The l2 radius over the graph's [0, 1] pixels that one kind certifies; 0.0 where it certifies none.

        Raises:
            InputError: that kind is not among the claims.
        """
        self.claim(kind)
        return self._radii[kind]

    @cached_property
    def _radii(self) -> dict[Kind, float]:
        return {claim.kind: self._radius(claim.evidence) for claim in self.claims}

    def _radius(self, evidence: LabelCone | MarginLaw | VoteLaw) -> float:
        if isinstance(evidence, LabelCone):
            assert self.feature is not None  # a cone has one
            return evidence.radius(self.feature)
        return drawn_radius(evidence, self.binding.sigma, self.image.grid_cost)

    def received_radius(self, extra_angle: float) -> float:
        """The l2 radius within which a user who draws again at the attacked image still receives ``labels``.

        It follows from the cone, with probability at least 1 - 2 alpha of the cone, for all answers whose own
        certificate says at most ``extra_angle`` radians at radius 0 (docs/theory.md section 6).

        Raises:
            InputError: there is no cone among the claims.
        """
        evidence = self.claim("cone").evidence
        assert isinstance(evidence, LabelCone)
        assert self.feature is not None
        return evidence.radius(self.feature, extra_angle)

    def original_radius(self) -> float:
        """The l2 radius over the original image's [0, 1] pixels that ``radius`` covers (docs/theory.md section 7)."""
        return self.image.original_radius(self.radius)

    def check_prototypes(self, prototypes: Prototypes) -> None:
        """Hold what is said of the reference against the prototypes; of its labels where the reference is known.

        Raises:
            InputError: other prototypes, or the certificate contradicts them.
        """
        check_against(self, prototypes)

    def to_json(self) -> str:
        """One line of JSON. A reference of more than 4096 dimensions is left out: use :meth:`save`."""
        return self._json(None)

    def save(self, path: str | Path) -> None:
        """Write the JSON to ``path``, and a large reference of the cone to ``path``.safetensors beside it.

        Raises:
            OSError: a file cannot be written; nothing is left half-written.
        """
        write_certificate(path, self._json, None if self.feature is None else self.feature.large_reference)

    @classmethod
    def from_json(cls, text: str) -> "PredictionCertificate":
        """The certificate that :meth:`to_json` wrote.

        Raises:
            InputError: the text is not such a certificate, or its reference lies in a file (use :meth:`read`).
        """
        return _decode(text, "the certificate", None)

    @classmethod
    def parse(cls, text: str, name: str, folder: Path) -> "PredictionCertificate":
        """The certificate in ``text``, called ``name`` in errors; a reference file of its lies in ``folder``.

        Raises:
            InputError: the text is not such a certificate.
        """
        return _decode(text, name, folder)

    @classmethod
    def read(cls, path: str | Path) -> "PredictionCertificate":
        """The certificate that :meth:`save` wrote.

        Raises:
            InputError: the file is missing or is not such a certificate.
        """
        path = Path(path)
        return _decode(certificate_text(path, "classify"), str(path), path.parent)

    def _json(self, beside: str | None) -> str:
        return encoded(self, beside)


def _level(evidence: MarginLaw | VoteLaw) -> float:
    return evidence.tails.alpha if isinstance(evidence, MarginLaw) else evidence.alpha


def _decode(text: str, name: str, folder: Path | None) -> PredictionCertificate:
    wire, claims, binding = decoded(text, name)
    feature = None
    if (nested := wire.feature_text()) is not None:
        inner = f"the feature certificate in {name}"
        feature = (
            FeatureCertificate.from_json(nested) if folder is None else FeatureCertificate.parse(nested, inner, folder)
        )
    certificate = PredictionCertificate(
        labels=wire.labels,
        cosines=wire.cosines,
        runner_up=wire.runner_up,
        margin=wire.margin,
        twins=wire.twins,
        alpha=wire.alpha,
        claims=claims,
        prototypes=wire.prototypes,
        binding=binding,
        feature=feature,
        until=wire.until,
    )
    check_prediction(certificate, name)
    stated = [wire.radius, wire.original_radius, *(claim.radius for claim in wire.claims)]
    found = [certificate.radius, certificate.original_radius(), *map(certificate.radius_of, certificate.kinds)]
    if not all(math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-12) for one, other in zip(stated, found, strict=True)):
        raise InputError(f"{name}: the radii stated do not follow from its evidence: classify the image again")
    outcome = certificate.kind, certificate.outcome, certificate.abstained
    if (wire.kind, wire.outcome, wire.abstained) != outcome:
        raise InputError(f"{name}: the outcome stated does not follow from its evidence: classify the image again")
    return certificate
