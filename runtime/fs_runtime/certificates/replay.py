"""Did the draws of a certificate give what it says? Made again, and compared field by field."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from fs_runtime.bundle import Manifest
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts
from fs_runtime.errors import InputError
from fs_runtime.noise import GENERATOR

# The same backend computes the same numbers; a draw's place in a block may still move a sum's last bits.
_SAME_BACKEND = 1e-9
# Another backend, version, device or mix of images rounds features otherwise: by about 1e-6 in fp32, 1e-3 in fp16.
_OTHER_BACKEND = 2e-3
_OTHER_COUNTS = 0.005


@dataclass(frozen=True)
class Difference:
    """One field that did not come out again.

    Attributes:
        field: where in the certificate.
        stated: what it says.
        found: what the draws gave.
    """

    field: str
    stated: str
    found: str


@dataclass(frozen=True)
class Replay:
    """What became of a certificate's draws when they were made again.

    On the same backend, version and device every count must be the same and every number equal to 1e-9. On another one
    numbers may differ by 2e-3 of their size and counts by 0.5 % of the draws (at least 2), as features are rounded
    otherwise and a draw close to a threshold may fall on its other side.

    Attributes:
        certificate: made from the new draws.
        same_backend: which of the two tolerances was used.
        differences: what is beyond it; none where the certificate is confirmed.
    """

    certificate: FeatureCertificate
    same_backend: bool
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether the certificate is confirmed."""
        return not self.differences

    @classmethod
    def compared(cls, stated: FeatureCertificate, found: FeatureCertificate) -> "Replay":
        """Hold a certificate against the one that its draws gave this time."""
        same = stated.provenance.backend == found.provenance.backend
        relative = _SAME_BACKEND if same else _OTHER_BACKEND
        counts = 0 if same else max(2, math.ceil(_OTHER_COUNTS * stated.draws))
        differences = [
            Difference(name, repr(first), repr(second))
            for part in ("curve", "image", "until", "most_draws", "reference_kind")
            for name, first, second in _unlike(part, getattr(stated, part), getattr(found, part), relative, counts)
        ]
        distance = float(np.linalg.norm(stated.reference - found.reference))
        if len(stated.reference) != len(found.reference) or not distance <= relative:
            differences.append(Difference("reference", "the stated feature", f"one {distance:.3g} away"))
        return cls(found, same, tuple(differences))


def replayable(certificate: FeatureCertificate, image: ImageFacts, manifest: Manifest, graph_sha256: str) -> None:
    """Refuse a replay that would not make the certificate's draws.

    Raises:
        InputError: naming what is another one.
    """
    if certificate.image.sha256 != image.sha256:
        raise InputError(
            f"{image.name} is not the certified image {certificate.image.name} (other pixels): name that one"
        )
    for what, stated, found in (
        ("graph", certificate.provenance.graph_sha256, graph_sha256),
        ("sigma", certificate.sigma, manifest.sigma),
        ("generator", certificate.provenance.generator, GENERATOR),
        ("dimension", len(certificate.reference), manifest.dimension),
    ):
        if stated != found:
            raise InputError(
                f"the certificate is about {what} {stated}, but this bundle and runtime have {found}: name the bundle "
                "that it was made with"
            )


def _unlike(name: str, stated: Any, found: Any, relative: float, counts: int) -> Iterator[tuple[str, Any, Any]]:
    """Leaves of two objects of the same kind that are not alike."""
    if type(stated) is not type(found):
        yield name, stated, found
    elif is_dataclass(stated):
        for field in fields(stated):
            # Names of files change without harm.
            if (name, field.name) != ("image", "name"):
                pair = getattr(stated, field.name), getattr(found, field.name)
                yield from _unlike(f"{name}.{field.name}", *pair, relative, counts)
    elif isinstance(stated, tuple) and len(stated) == len(found):
        for number, pair in enumerate(zip(stated, found, strict=True)):
            yield from _unlike(f"{name}[{number}]", *pair, relative, counts)
    elif isinstance(stated, float) and ".prior" in name:
        # Made of the pilot's counts.
        if abs(stated - found) > counts + relative * abs(stated):
            yield name, stated, found
    elif isinstance(stated, float):
        if not math.isclose(stated, found, rel_tol=relative, abs_tol=relative):
            yield name, stated, found
    elif isinstance(stated, int) and ".counts[" in name:
        if abs(stated - found) > counts:
            yield name, stated, found
    elif stated != found:
        yield name, stated, found
