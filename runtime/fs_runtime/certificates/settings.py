"""What a certificate is asked to be, checked before any draw is made."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from fs_runtime.bundle import Manifest
from fs_runtime.certification import BOUNDS, Bound, Target, check_draws
from fs_runtime.errors import InputError

if TYPE_CHECKING:
    from fs_runtime.certificates.feature import FeatureCertificate

ReferenceKind = Literal["smoothed", "clean"]
_REFERENCES: tuple[ReferenceKind, ...] = ("smoothed", "clean")
_PILOT = {"gram": 128}
_OTHER_PILOT = 64


@dataclass(frozen=True)
class CertifySettings:
    """The settings of one certificate.

    Attributes:
        draws: certifying draws, or the most of them where there is a target.
        alpha: probability that the certificate fails.
        pilot: pilot draws, rounded up to whole noise batches where the graph takes one image.
        bound: which theorem.
        reference: what is certified.
        until: the target to stop at; None: all draws are made.
    """

    draws: int
    alpha: float
    pilot: int
    bound: Bound
    reference: ReferenceKind
    until: Target | None

    @classmethod
    def checked(
        cls,
        manifest: Manifest,
        *,
        draws: int,
        alpha: float,
        pilot: int | None,
        bound: str,
        reference: str,
        until: Target | None,
    ) -> "CertifySettings":
        """The settings, completed from the bundle.

        Raises:
            CertificationError: draws too few for alpha or for the target.
            InputError: another setting is out of range or unknown.
        """
        law = _bound(bound, manifest)
        if reference not in _REFERENCES:
            raise InputError(f'reference must be "smoothed" or "clean", not {reference!r}')
        check_draws(draws, alpha, law)
        if until is not None:
            until.check_reachable(draws, alpha, manifest.sigma, law)
        if pilot is not None and pilot < 1:
            raise InputError(f"pilot must be at least 1, not {pilot}")
        taken = whole_batches(pilot or _PILOT.get(law, _OTHER_PILOT), manifest)
        return cls(draws, alpha, taken, law, reference, until)

    def refuse_other(self, certificate: "FeatureCertificate", graph_sha256: str, name: str) -> None:
        """Refuse a certificate that was made by other settings or of another graph.

        Raises:
            InputError: naming ``name`` and the setting.
        """
        wanted = asdict(self) | {"until": self.until, "graph": graph_sha256}
        stated = _settings_of(certificate) | {"graph": certificate.provenance.graph_sha256}
        for setting, value in wanted.items():
            if stated[setting] != value:
                raise InputError(
                    f"{name} was made with {setting} {stated[setting]}, not {value}: go on with the same settings, or "
                    "write to another file"
                )


def _settings_of(certificate: "FeatureCertificate") -> dict[str, object]:
    return {
        "draws": certificate.most_draws,
        "alpha": certificate.alpha,
        "pilot": certificate.pilot,
        "bound": certificate.bound,
        "reference": certificate.reference_kind,
        "until": certificate.until,
    }


def whole_batches(draws: int, manifest: Manifest) -> int:
    """``draws``, rounded up to whole noise batches where the graph takes one image, which fills every batch alone."""
    batch = manifest.noise_batch if manifest.images == 1 else 1
    return -(-draws // batch) * batch


def _bound(bound: str, manifest: Manifest) -> Bound:
    if bound == "auto":
        return "gram" if manifest.has_features else "angle-law"
    for known in BOUNDS:
        if bound == known:
            if known == "gram" and not manifest.has_features:
                raise InputError(
                    f'bound "gram" needs features, which the tap {manifest.tap!r} does not give: use "angle-law"'
                )
            return known
    choices = ", ".join(f'"{known}"' for known in BOUNDS)
    raise InputError(f'bound must be "auto" or one of {choices}, not {bound!r}')
