"""The certificate of one image: a certified curve, what it was measured on, and all that a replay needs."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy

from fs_runtime.backends import BackendInfo
from fs_runtime.certificates.feature_checks import check_numbers
from fs_runtime.certificates.files import certificate_text, one_line, write_certificate
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification import AngleLaw, Bound, CertifiedCurve, Cone, Fcsb, GramLaw, RobustnessScore, Target
from fs_runtime.certification.laws.tails import COSINE_SLACK
from fs_runtime.errors import InputError
from fs_runtime.grid import radius_cost
from fs_runtime.noise import Seed

SCHEMA: Literal["fs-runtime/feature-certificate/1"] = "fs-runtime/feature-certificate/1"
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
HexSeed = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
SeedSource = Literal["os-entropy", "caller"]
LARGEST_EMBEDDED = 4096
"""Reference features of more dimensions are kept in a .safetensors file beside the JSON."""

Outcome = Literal["proved", "hopeless", "undecided"]
"""Of a target: proved; given up, as the most draws would hardly have proved it; or not proved by the most draws."""

_EVIDENCE: dict[str, type[Any]] = {"gram": GramLaw, "angle-law": AngleLaw, "cone": Cone, "fcsb": Fcsb}


@dataclass(frozen=True)
class ImageFacts:
    """The image a certificate speaks of, and what preprocessing does to distances (docs/theory.md sections 7, 8).

    Attributes:
        name: path, or what kind of object it was.
        sha256: digest of the decoded pixels.
        height: rows of the original image.
        width: columns of the original image.
        values: pixel values that the graph receives (3 H W).
        operator_norm: l2 norm of the linear map from original pixels to the graph's.
        resampling_error: float rounding of that map, l2; paid by the image and by its attacked version.
        grid_distance: how far the grid moved this image, l2.
    """

    name: str
    sha256: Sha256
    height: int
    width: int
    values: int
    operator_norm: float
    resampling_error: float
    grid_distance: float

    @property
    def grid_cost(self) -> float:
        """What the grid takes from a radius at the graph's input (docs/theory.md section 8)."""
        return radius_cost(self.grid_distance, self.values)

    def original_radius(self, radius: float) -> float:
        """The l2 radius over the original image's [0, 1] pixels that ``radius`` at the graph covers (section 7)."""
        return max(0.0, (radius - 2.0 * self.resampling_error) / self.operator_norm)


@dataclass(frozen=True)
class Provenance:
    """What was certified, on what: a certificate is about this graph on this backend and nothing else.

    Attributes:
        graph_sha256: hash of the graph (with its external data) that made the draws.
        backend: name, version and device.
        generator: name and version of the noise stream.
        seed: 128-bit seed and where it came from.
        runtime: version of fs-runtime.
    """

    graph_sha256: str
    backend: BackendInfo
    generator: str
    seed: Seed
    runtime: str

    def to_wire(self) -> dict[str, Any]:
        """Its fields in the JSON of a certificate: flat, seed in hexadecimal."""
        return {
            "graph_sha256": self.graph_sha256,
            "backend": self.backend,
            "generator": self.generator,
            "seed": f"{self.seed.value:032x}",
            "seed_source": self.seed.source,
            "runtime": self.runtime,
        }


class _Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is certified at one radius; it follows from the evidence, and stands here for readers without a runtime.

    Attributes:
        radius: l2, over the graph's [0, 1] pixels.
        angle: certified angle in radians, what the grid costs included; pi where nothing is certified.
        cosine: of that angle; -1 where nothing is certified.
    """

    radius: float
    angle: float
    cosine: float


@dataclass(frozen=True)
class FeatureCertificate:
    """How far any l2-bounded attack can turn the smoothed feature of one image.

    Guarantee: with probability at least 1 - alpha over the noise, for all radii r together: for every perturbation of
    the graph's [0, 1] pixels with ||delta||_2 <= r, the angle between the smoothed feature at x + delta and
    ``reference`` is at most ``angle(r)`` (docs/theory.md sections 2, 8, 11). What a user who draws again receives
    differs from the smoothed feature by an estimation error of its own (section 6).

    Attributes:
        curve: the certified curve over the gridded image, with its sufficient statistics.
        reference: [D] the certified unit feature, float64; fixed by the pilot, before the certifying draws.
        reference_kind: ``"smoothed"`` (mean of the pilot's features) or ``"clean"`` (the bare encoder's feature).
        image: the image and its preprocessing.
        provenance: graph, backend, generator and seed.
        until: the target at which the draws were to stop; None where their number was fixed.
        most_draws: the draws that were allowed; all of them were made where there is no target.
    """

    curve: CertifiedCurve
    reference: npt.NDArray[np.float64] = field(repr=False)
    reference_kind: ReferenceKind
    image: ImageFacts
    provenance: Provenance
    until: Target | None
    most_draws: int

    @property
    def bound(self) -> Bound:
        """Which theorem: ``gram``, ``angle-law`` or ``fcsb``."""
        return self.curve.bound

    @property
    def sigma(self) -> float:
        """Noise standard deviation, in units of [0, 1] pixels."""
        return self.curve.sigma

    @property
    def alpha(self) -> float:
        """Probability that the certificate fails."""
        return self.curve.alpha

    @property
    def draws(self) -> int:
        """Certifying draws; the pilot's are not among them."""
        return self.curve.draws

    @property
    def pilot(self) -> int:
        """Pilot draws."""
        return self.curve.pilot

    @property
    def score(self) -> RobustnessScore:
        """Gaussian robustness score about the reference, with its own interval at level alpha."""
        return self.curve.score

    @property
    def seed(self) -> int:
        """The 128-bit seed of the noise."""
        return self.provenance.seed.value

    @property
    def outcome(self) -> Outcome | None:
        """What became of the target; None where there was none."""
        if self.until is None:
            return None
        # Asked as the estimator asks it: whether the target's angle, not its rounded cosine, is certified.
        if self.angle(self.until.radius) <= self.until.angle:
            return "proved"
        return "hopeless" if self.draws < self.most_draws else "undecided"

    @property
    def abstained(self) -> bool:
        """Whether the target is not proved; without one, whether not even the estimate at the image itself is."""
        if self.until is not None:
            return self.outcome != "proved"
        return self.curve.angle(0.0) == math.pi

    def angle(self, radius: float) -> float:
        """Certified angle in radians at an l2 ``radius`` over the graph's [0, 1] pixels; pi where vacuous."""
        return self.curve.angle(self._on_grid(radius))

    def cosine(self, radius: float) -> float:
        """Certified cosine at ``radius``; -1.0, the true vacuous bound, where nothing is certified."""
        return math.cos(self.angle(radius))

    def radius(self, cosine: float) -> float:
        """The largest l2 radius (graph's pixels) at which at least ``cosine`` is certified; 0.0 where there is none."""
        return max(0.0, self.curve.radius(cosine) - self.image.grid_cost)

    def floor(self, radius: float) -> float:
        """The angle in radians that no certificate from as many draws can go below: whether more draws can help."""
        return self.curve.floor(radius)

    def original_radius(self, radius: float) -> float:
        """The l2 radius over the original image's [0, 1] pixels that ``radius`` at the graph covers (section 7)."""
        return self.image.original_radius(radius)

    def baseline(self) -> "FeatureCertificate":
        """What the paper's bound, ``fcsb``, certifies from the same draws; a statement of its own at level alpha."""
        # Hoeffding's inequality needs a number of draws that was fixed; the score's interval does not.
        adaptive = None if self.until is None else self.score.lower - 0.5 * COSINE_SLACK
        evidence = Fcsb(2.0 * self.score.estimate - 1.0, self.draws, self.alpha, adaptive)
        return replace(self, curve=replace(self.curve, bound="fcsb", evidence=evidence))

    def to_json(self) -> str:
        """One line of JSON, with what is certified at 0, sigma / 4, sigma / 2, sigma, 2 sigma and the target.

        References of more than 4096 dimensions are left out: use :meth:`save`.
        """
        return self.json_beside(None)

    def save(self, path: str | Path) -> None:
        """Write the JSON to ``path``, and a large reference to ``path``.safetensors beside it.

        Raises:
            OSError: a file cannot be written; nothing is left half-written.
        """
        write_certificate(path, self.json_beside, self.large_reference)

    @classmethod
    def from_json(cls, text: str) -> "FeatureCertificate":
        """The certificate that :meth:`to_json` wrote.

        Raises:
            InputError: the text is not such a certificate, or its reference lies in a file (use :meth:`read`).
        """
        return _decode(text, "the certificate", None)

    @classmethod
    def parse(cls, text: str, name: str, folder: Path) -> "FeatureCertificate":
        """The certificate in ``text``, called ``name`` in errors; a reference file of its lies in ``folder``.

        Raises:
            InputError: the text is not such a certificate.
        """
        return _decode(text, name, folder)

    @classmethod
    def read(cls, path: str | Path) -> "FeatureCertificate":
        """The certificate that :meth:`save` wrote.

        Raises:
            InputError: the file is missing or is not such a certificate.
        """
        path = Path(path)
        return _decode(certificate_text(path, "certify"), str(path), path.parent)

    def _on_grid(self, radius: float) -> float:
        # At radius 0 the attacked image is the image, so the grid moves both alike and costs nothing.
        return radius + self.image.grid_cost if radius > 0.0 else radius

    def _points(self) -> tuple[_Point, ...]:
        target = () if self.until is None else (self.until.radius,)
        radii = (0.0, *(fraction * self.sigma for fraction in (0.25, 0.5, 1.0, 2.0)), *target)
        angles = ((radius, self.angle(radius)) for radius in radii)
        return tuple(_Point(radius, angle, math.cos(angle)) for radius, angle in angles)

    @property
    def large_reference(self) -> npt.NDArray[np.float64] | None:
        """The reference where it is too long for JSON."""
        return self.reference if len(self.reference) > LARGEST_EMBEDDED else None

    def json_beside(self, reference_file: str | None) -> str:
        """The JSON; it names ``reference_file``, in the same folder, as where a large reference is."""
        embedded = self.reference.tolist() if self.large_reference is None else None
        wire = _Wire(
            schema=SCHEMA,
            bound=self.bound,
            sigma=self.sigma,
            alpha=self.alpha,
            draws=self.draws,
            pilot=self.pilot,
            evidence=msgspec.Raw(msgspec.json.encode(self.curve.evidence)),
            abstained=self.abstained,
            certified=self._points(),
            score=self.score,
            reference_kind=self.reference_kind,
            reference_sha256=reference_sha256(self.reference),
            reference_file=reference_file,
            image=self.image,
            until=self.until,
            most_draws=self.most_draws,
            outcome=self.outcome,
            reference=embedded,
            **self.provenance.to_wire(),
        )
        return one_line(msgspec.json.encode(wire))


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificate of one image's smoothed feature, as JSON: flat, seed in hexadecimal, the long reference last.

    Guarantee: with probability at least 1 - alpha over the noise, for all radii r together: for every perturbation of
    the graph's [0, 1] pixels with ||delta||_2 <= r, the angle between the smoothed feature at x + delta and
    ``reference`` is at most what is certified at r (docs/theory.md sections 2, 8, 11). With the bound ``cone`` it is
    the angle to the smoothed feature at x instead.

    Attributes:
        schema: name and version of this format.
        bound: which theorem (docs/theory.md sections 1, 2, 3, 11); it decides what ``evidence`` holds.
        sigma: standard deviation of the noise, in units of [0, 1] pixels.
        alpha: probability that the certificate fails.
        draws: certifying draws that were made; the pilot's are not among them.
        most_draws: certifying draws that were allowed; equal to ``draws`` where ``until`` is null.
        until: the target at which the draws were to stop; None where their number was fixed beforehand.
        outcome: of the target: proved; hopeless, given up as the most draws would hardly have proved it; or undecided,
            not proved by the most draws. None where there was no target.
        pilot: pilot draws, which fixed the reference and the thresholds.
        evidence: sufficient statistics of the draws: all that is certified follows from them, sigma and the image's
            grid cost.
        abstained: whether the target is not proved; without one, whether nothing is certified even at radius 0.
        certified: what follows from the evidence at the radii 0, sigma / 4, sigma / 2, sigma, 2 sigma and the target's;
            the last ones may be left out.
        score: the Gaussian robustness score about the reference.
        reference_kind: ``smoothed``, the mean of the pilot's unit features; ``clean``, the bare encoder's feature.
        reference_sha256: of the reference's float64 numbers, little-endian.
        reference_file: .safetensors file in the same folder that holds the reference as tensor ``reference``; None
            where the JSON holds it, or leaves it out.
        image: the image, and what preprocessing does to distances.
        graph_sha256: of the graph, with its external data, that made the draws.
        backend: what ran the draws.
        generator: name and version of the noise stream.
        seed: 128-bit seed of the noise, in hexadecimal.
        seed_source: ``os-entropy``, of the operating system; ``caller``, fixed beforehand, for tests and replay.
        runtime: version of fs-runtime that wrote the certificate.
        reference: [D] the unit feature that angles are to, float64; None where it has more than 4096 dimensions.
    """

    schema: Literal["fs-runtime/feature-certificate/1"]
    bound: Bound
    sigma: float
    alpha: float
    draws: int
    most_draws: int
    until: Target | None
    outcome: Outcome | None
    pilot: int
    evidence: msgspec.Raw
    abstained: bool
    certified: tuple[_Point, ...]
    score: RobustnessScore
    reference_kind: ReferenceKind
    reference_sha256: Sha256
    reference_file: str | None
    image: ImageFacts
    graph_sha256: Sha256
    backend: BackendInfo
    generator: str
    seed: HexSeed
    seed_source: SeedSource
    runtime: str
    reference: list[float] | None


def _decode(text: str, name: str, folder: Path | None) -> FeatureCertificate:
    try:
        wire = msgspec.json.decode(text, type=_Wire)
        evidence = msgspec.json.decode(wire.evidence, type=_EVIDENCE[wire.bound])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name} is not a certificate of schema {SCHEMA} ({error}): certify the image again"
        ) from error
    reference = _reference(wire, name, folder)
    if reference_sha256(reference) != wire.reference_sha256:
        raise InputError(f"{name}: the reference feature does not have the stated hash: certify the image again")
    certificate = FeatureCertificate(
        curve=CertifiedCurve(
            bound=wire.bound,
            sigma=wire.sigma,
            alpha=wire.alpha,
            draws=wire.draws,
            pilot=wire.pilot,
            evidence=evidence,
            score=wire.score,
        ),
        reference=reference,
        reference_kind=wire.reference_kind,
        image=wire.image,
        provenance=Provenance(
            graph_sha256=wire.graph_sha256,
            backend=wire.backend,
            generator=wire.generator,
            seed=Seed(int(wire.seed, 16), wire.seed_source),
            runtime=wire.runtime,
        ),
        until=wire.until,
        most_draws=wire.most_draws,
    )
    check_numbers(certificate, name)
    points = certificate._points()
    if len(wire.certified) > len(points):
        raise InputError(f"{name} states {len(wire.certified)} angles, not {len(points)}: certify the image again")
    for stated, found in zip(wire.certified, points, strict=False):  # fewer may be stated
        follows = (
            stated.radius == found.radius
            and math.isclose(stated.angle, found.angle, rel_tol=1e-6)
            and math.isclose(stated.cosine, found.cosine, rel_tol=1e-6, abs_tol=1e-6)
        )
        if not follows:
            raise InputError(f"{name}: the angles stated do not follow from its evidence: certify the image again")
    if (wire.outcome, wire.abstained) != (certificate.outcome, certificate.abstained):
        raise InputError(f"{name}: the outcome stated does not follow from its evidence: certify the image again")
    return certificate


def _reference(wire: _Wire, name: str, folder: Path | None) -> npt.NDArray[np.float64]:
    if wire.reference is not None:
        return np.array(wire.reference, dtype=np.float64)
    if folder is None or wire.reference_file is None or Path(wire.reference_file).name != wire.reference_file:
        raise InputError(f"{name} keeps its reference feature in another file: read it with FeatureCertificate.read")
    path = folder / wire.reference_file
    try:
        return np.asarray(safetensors.numpy.load_file(path)["reference"], dtype=np.float64)
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}, the reference feature of {name}, cannot be read ({error})") from error


def reference_sha256(reference: npt.NDArray[np.float64]) -> str:
    """Hash of a reference's float64 numbers, little-endian."""
    return hashlib.sha256(reference.astype("<f8").tobytes()).hexdigest()
