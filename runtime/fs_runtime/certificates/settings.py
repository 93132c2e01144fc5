"""What a certificate is asked to be, checked before any draw is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fs_runtime.bundle import Manifest
from fs_runtime.certification import BOUNDS, Bound, Target, check_draws
from fs_runtime.errors import InputError

if TYPE_CHECKING:
    from fs_runtime.certificates.feature import FeatureCertificate

ReferenceKind = Literal["smoothed", "clean"]
Fact = str | int | float | None
"""A setting as it stands in JSON and in messages."""

_REFERENCES: tuple[ReferenceKind, ...] = ("smoothed", "clean")
_PILOT_WITH_FEATURES = 128
_OTHER_PILOT = 64
# The reference's own error stays in the Gram law's bound however many draws follow, so their number decides how many
# the reference is worth (docs/theory.md section 11.2).
_DRAWS_A_PILOT_DRAW, _LARGEST_PILOT = 8, 1024


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
        law = checked_bound(bound, manifest)
        kind = checked_reference(reference)
        check_draws(draws, alpha, law)
        if until is not None:
            until.check_reachable(draws, alpha, manifest.sigma, law)
        if pilot is None and law == "gram" and until is None:
            pilot = min(max(draws // _DRAWS_A_PILOT_DRAW, _PILOT_WITH_FEATURES), _LARGEST_PILOT)
        taken = checked_pilot(pilot, manifest, uses_features=law == "gram")
        return cls(draws, alpha, taken, law, kind, until)

    def facts(self, graph_sha256: str) -> dict[str, Fact]:
        """The settings by name, with the graph that they are for; first what a user says, then what follows from it."""
        return {
            "graph": graph_sha256,
            "draws": self.draws,
            "alpha": self.alpha,
            "bound": self.bound,
            "reference": self.reference,
            "target": None if self.until is None else str(self.until),
            "pilot": self.pilot,
        }

    @staticmethod
    def facts_of(certificate: "FeatureCertificate") -> dict[str, Fact]:
        """Those that a certificate was made by."""
        made = CertifySettings(
            draws=certificate.most_draws,
            alpha=certificate.alpha,
            pilot=certificate.pilot,
            bound=certificate.bound,
            reference=certificate.reference_kind,
            until=certificate.until,
        )
        return made.facts(certificate.provenance.graph_sha256)


def refuse_differing(wanted: Mapping[str, Fact], stated: Mapping[str, Fact], name: str) -> None:
    """Refuse what was made by settings ``stated`` where ``wanted`` are asked for.

    Raises:
        InputError: naming ``name`` and the setting.
    """
    for setting, value in wanted.items():
        found = stated.get(setting)
        if found != value:
            before, now = ("none" if each is None else each for each in (found, value))
            raise InputError(
                f"{name} was made with {setting} {before}, not {now}: go on with the same settings, or write to "
                "another file"
            )


def whole_batches(draws: int, manifest: Manifest) -> int:
    """``draws``, rounded up to whole noise batches where the graph takes one image, which fills every batch alone."""
    batch = manifest.noise_batch if manifest.images == 1 else 1
    return -(-draws // batch) * batch


def checked_bound(bound: str, manifest: Manifest) -> Bound:
    """The bound that ``bound`` means for a bundle.

    Raises:
        InputError: there is none of that name, or it needs features that the graph does not give.
    """
    if bound == "auto":
        return "gram" if manifest.has_features else "angle-law"
    for known in BOUNDS:
        if bound == known:
            if known == "gram" and not manifest.has_features:
                raise InputError(
                    f'bound "gram" needs features, which the tap {manifest.tap!r} does not give: use "angle-law"',
                    argument="bound",
                )
            return known
    choices = ", ".join(f'"{known}"' for known in BOUNDS)
    raise InputError(f'bound must be "auto" or one of {choices}, not {bound!r}')


def checked_reference(reference: str) -> ReferenceKind:
    """``reference``, if there is such a kind.

    Raises:
        InputError: there is none.
    """
    for known in _REFERENCES:
        if reference == known:
            return known
    raise InputError(f'reference must be "smoothed" or "clean", not {reference!r}')


def checked_pilot(pilot: int | None, manifest: Manifest, *, uses_features: bool) -> int:
    """Pilot draws, rounded up to whole noise batches where needed; by default more where features are used.

    Raises:
        InputError: ``pilot`` is below 1.
    """
    if pilot is not None and pilot < 1:
        raise InputError(f"pilot must be at least 1, not {pilot}")
    return whole_batches(pilot or (_PILOT_WITH_FEATURES if uses_features else _OTHER_PILOT), manifest)
