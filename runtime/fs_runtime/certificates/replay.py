"""Did the draws of a certificate give what it says? Made again, and compared field by field."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from fs_runtime.bundle import Manifest
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_parts import Claim, NamedLabel
from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.errors import InputError
from fs_runtime.noise import GENERATOR

# The same backend computes the same numbers; a draw's place in a block may still move a sum's last bits.
_SAME_BACKEND = 1e-9
# Another backend, version, device or mix of images rounds features otherwise: by about 1e-6 in fp32, 1e-3 in fp16.
_OTHER_BACKEND = 2e-3
_OTHER_COUNTS = 0.005
# Such an engine may round otherwise the next time.
_BUILDS_WHEN_OPENED = ("onnxruntime-tensorrt",)
# What is said of an image is computed without any backend, in float64.
_SAME_IMAGE, _NO_DISTANCE = 1e-6, 1e-12
_SAME_SETTING = 1e-9


@dataclass(frozen=True)
class Difference:
    """One field that did not come out again.

    Attributes:
        field: where in the certificate's JSON.
        stated: what it says.
        found: what the draws gave.
    """

    field: str
    stated: str
    found: str


@dataclass(frozen=True)
class Replay:
    """What became of a certificate's draws when they were made again.

    On the same backend, version and device every count must be the same and every number equal to 1e-9. On another one,
    on a plan in its graph's place or the other way round, and on ONNX Runtime's TensorRT provider, which builds another
    engine every time, numbers may differ by 2e-3 and by that part of their size, an eigenvalue and the fourth moment by
    their roots, and counts by 0.5 % of the draws (at least 2), as features are rounded otherwise and a draw close to a
    threshold may fall on its other side.
    What is said of the image must be equal to 1e-6 anywhere, alpha and sigma to 1e-9.

    This holds for predictions too, votes counted like the rest; on another backend their sets of labels must be the
    same, and near equals among them may stand in another order or a near equal be the runner-up. Of a reference that a
    prediction does not hold (it has no cone), not the hash is compared but what is said of it: cosines and margin.

    Attributes:
        certificate: made from the new draws.
        same_backend: which of the two tolerances was used.
        differences: what is beyond it; none where the certificate is confirmed.
    """

    certificate: AnyCertificate
    same_backend: bool
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether the certificate is confirmed."""
        return not self.differences

    @classmethod
    def compared(cls, stated: AnyCertificate, found: AnyCertificate) -> "Replay":
        """Hold a certificate against the one, of the same kind, that its draws gave this time."""
        same = _same_backend(stated, found)
        allowed = _Allowed(
            relative=_SAME_BACKEND if same else _OTHER_BACKEND,
            counts=0 if same else max(2, math.ceil(_OTHER_COUNTS * stated.draws)),
        )
        if isinstance(stated, PredictionCertificate):
            assert isinstance(found, PredictionCertificate)
            pair = (stated, found) if same else (_in_any_order(stated, found), _in_any_order(found, found))
            return cls(found, same, tuple(_prediction_differences(*pair, allowed)))
        assert isinstance(found, FeatureCertificate)
        return cls(found, same, tuple(_feature_differences(stated, found, allowed)))


@dataclass(frozen=True)
class _Allowed:
    """How far numbers and counts may be apart."""

    relative: float
    counts: int


def _same_backend(stated: AnyCertificate, found: AnyCertificate) -> bool:
    """Whether nothing leaves room for rounding: the same backend, version and device, running the same."""
    first, second = stated.provenance, found.provenance
    same = first.backend == second.backend and first.graph_sha256 == second.graph_sha256
    return same and first.backend.name not in _BUILDS_WHEN_OPENED


def replayable(certificate: AnyCertificate, image: ImageFacts, manifest: Manifest, graph_sha256: str) -> None:
    """Refuse a replay that would not make the certificate's draws.

    Raises:
        InputError: naming what is another one.
    """
    if certificate.image.sha256 != image.sha256:
        raise InputError(
            f"{image.name} is not the certified image {certificate.image.name} (other pixels): name that one"
        )
    provenance = certificate.provenance
    feature = certificate if isinstance(certificate, FeatureCertificate) else certificate.feature
    sigma = certificate.sigma if isinstance(certificate, FeatureCertificate) else certificate.binding.sigma
    _check_graph(provenance.graph_sha256, graph_sha256, manifest)
    for what, stated, found in (
        ("sigma", sigma, manifest.sigma),
        ("generator", provenance.generator, GENERATOR),
        ("dimension", manifest.dimension if feature is None else len(feature.reference), manifest.dimension),
    ):
        if stated != found:
            raise InputError(
                f"the certificate is about {what} {stated}, but this bundle and runtime have {found}: name the bundle "
                "that it was made with"
            )


def _check_graph(stated: str, found: str, manifest: Manifest) -> None:
    """Let a graph pass, and a plan that the manifest lists as built from it; both compute the same but for rounding.

    Raises:
        InputError: the certificate is about something else.
    """
    of_bundle = {graph.sha256 for graph in manifest.graphs if graph.role == "smoothed"}
    of_bundle |= {engine.sha256 for engine in manifest.engines}
    if stated != found and not {stated, found} <= of_bundle:
        raise InputError(
            f"the certificate is about graph {stated}, but this bundle and runtime have {found}: name the bundle that "
            "it was made with; one of a plan can be compared on that plan, or on the graph of a bundle that lists it"
        )


def _feature_differences(
    stated: FeatureCertificate, found: FeatureCertificate, allowed: _Allowed, name: str = ""
) -> Iterator[Difference]:
    # In the JSON what a curve holds is not below it.
    curve = ("bound", "sigma", "alpha", "draws", "pilot", "evidence", "score")
    yield from _differences(stated.curve, found.curve, curve, allowed, name)
    parts = ("image", "until", "most_draws", "reference_kind")
    yield from _differences(stated, found, parts, allowed, name)
    yield from _distance(stated, found, allowed, f"{name}reference")


def _distance(
    stated: FeatureCertificate, found: FeatureCertificate, allowed: _Allowed, name: str
) -> Iterator[Difference]:
    if len(stated.reference) != len(found.reference):
        yield Difference(name, f"{len(stated.reference)} dimensions", f"{len(found.reference)}")
        return
    distance = float(np.linalg.norm(stated.reference - found.reference))
    if not distance <= allowed.relative:
        yield Difference(name, "the stated feature", f"one {distance:.3g} away")


def _prediction_differences(
    stated: PredictionCertificate, found: PredictionCertificate, allowed: _Allowed
) -> Iterator[Difference]:
    parts = ("labels", "cosines", "runner_up", "margin", "twins", "alpha", "claims", "until", "image")
    yield from _differences(stated, found, parts, allowed)
    bound = ("sigma", "draws", "most_draws", "pilot", "reference_kind")
    yield from _differences(stated.binding, found.binding, bound, allowed)
    if stated.feature is not None and found.feature is not None:
        yield from _feature_differences(stated.feature, found.feature, allowed, "feature.")


def _in_any_order(certificate: PredictionCertificate, found: PredictionCertificate) -> PredictionCertificate:
    """The certificate with labels in the order of their indices, and the runner-up of the one found."""

    def ordered(labels: tuple[NamedLabel, ...]) -> tuple[NamedLabel, ...]:
        return tuple(sorted(labels, key=lambda label: label.index))

    def in_order(claim: Claim) -> Claim:
        return replace(claim, labels=ordered(claim.labels))

    return replace(
        certificate,
        labels=ordered(certificate.labels),
        claims=tuple(in_order(claim) for claim in certificate.claims),
        runner_up=found.runner_up,
    )


_ROOTS = {"largest_eigenvalue": 0.5, "fourth_moment": 0.25}


def _differences(
    stated: Any, found: Any, parts: tuple[str, ...], allowed: _Allowed, name: str = ""
) -> Iterator[Difference]:
    for part in parts:
        pair = getattr(stated, part), getattr(found, part)
        for field, first, second in _unlike(f"{name}{part}", *pair, allowed.relative, allowed.counts):
            yield Difference(field, repr(first), repr(second))


def _unlike(name: str, stated: Any, found: Any, relative: float, counts: int) -> Iterator[tuple[str, Any, Any]]:
    """Leaves of two objects of the same kind that are not alike."""
    if type(stated) is not type(found):
        yield name, stated, found
    elif is_dataclass(stated):
        for field in fields(stated):
            # Names of files change without harm.
            if (name.removeprefix("feature."), field.name) != ("image", "name"):
                pair = getattr(stated, field.name), getattr(found, field.name)
                yield from _unlike(f"{name}.{field.name}", *pair, relative, counts)
    elif isinstance(stated, tuple) and len(stated) == len(found):
        for number, pair in enumerate(zip(stated, found, strict=True)):
            yield from _unlike(f"{name}[{number}]", *pair, relative, counts)
    elif isinstance(stated, float) and ".prior" in name:
        # Made of the pilot's counts.
        if abs(stated - found) > counts + relative * abs(stated):
            yield name, stated, found
    elif isinstance(stated, float) and name.removeprefix("feature.").startswith("image."):
        if not math.isclose(stated, found, rel_tol=_SAME_IMAGE, abs_tol=_NO_DISTANCE):
            yield name, stated, found
    elif isinstance(stated, float) and (power := _ROOTS.get(name.rpartition(".")[2])):
        # Features that move by as much move its root by about as much; itself it is far smaller than they are.
        moved = abs(max(stated, 0.0) ** power - max(found, 0.0) ** power)
        if moved > relative and not math.isclose(stated, found, rel_tol=relative, abs_tol=_NO_DISTANCE):
            yield name, stated, found
    elif isinstance(stated, float) and name.rpartition(".")[2] in ("alpha", "sigma"):
        # Settings, which no backend computes; alpha may be smaller than any tolerance for numbers.
        if not math.isclose(stated, found, rel_tol=_SAME_SETTING):
            yield name, stated, found
    elif isinstance(stated, float):
        if not math.isclose(stated, found, rel_tol=relative, abs_tol=relative):
            yield name, stated, found
    elif isinstance(stated, int) and (".counts[" in name or name.endswith(".evidence.count")):
        if abs(stated - found) > counts:
            yield name, stated, found
    elif stated != found:
        yield name, stated, found
