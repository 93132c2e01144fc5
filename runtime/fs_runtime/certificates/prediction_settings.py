"""What a prediction certificate is asked to be, checked before any draw is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fs_runtime.bundle import Manifest
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.settings import Fact, ReferenceKind, checked_bound, checked_pilot, checked_reference
from fs_runtime.certification import Bound, TooFewDrawsError, check_draws
from fs_runtime.certification.prediction import KINDS, Kind, LabelTarget, divided_alpha, smallest_draws
from fs_runtime.certification.prediction.rivals import SAME_DISTANCE
from fs_runtime.errors import InputError

if TYPE_CHECKING:
    from fs_runtime.certificates.prediction import PredictionCertificate

Kinds = Literal["auto"] | Sequence[Kind]
_FACTS = ("graph", "prototypes", "draws", "alpha", "kinds", "top-k", "bound", "reference", "target", "pilot")


@dataclass(frozen=True)
class PredictionSettings:
    """The settings of one prediction certificate.

    Attributes:
        prototypes: what the labels stand for.
        draws: certifying draws, or the most of them where there is a target.
        alpha: probability that any claim fails; each kind has an equal share.
        pilot: pilot draws, rounded up to whole noise batches where the graph takes one image.
        kinds: which theorems, in the order of :data:`KINDS`.
        top_k: 1: the label; more: the set of the k best.
        bound: whose angle the cone takes; None where there is no cone.
        reference: the feature whose labels are certified.
        until: the radius to stop at; None: all draws are made.
    """

    prototypes: Prototypes
    draws: int
    alpha: float
    pilot: int
    kinds: tuple[Kind, ...]
    top_k: int
    bound: Bound | None
    reference: ReferenceKind
    until: LabelTarget | None

    @classmethod
    def checked(
        cls,
        manifest: Manifest,
        prototypes: Prototypes,
        *,
        draws: int,
        alpha: float,
        pilot: int | None,
        kinds: Kinds,
        top_k: int,
        bound: str,
        reference: str,
        until: LabelTarget | None,
    ) -> "PredictionSettings":
        """The settings, completed from the bundle.

        Raises:
            CertificationError: draws too few for alpha or for the target.
            InputError: another setting is out of range or unknown, or the prototypes do not go with the bundle.
        """
        _check_prototypes(prototypes, manifest)
        asked = _kinds(kinds, manifest)
        if not 1 <= top_k < len(prototypes):
            raise InputError(
                f"top_k must lie in 1 .. {len(prototypes) - 1} for the {len(prototypes)} prototypes "
                f"{prototypes.name!r}, not {top_k}",
                argument="top_k",
            )
        law: Bound | None = None
        if "cone" in asked:
            law = checked_bound(bound, manifest)
            if law == "cone":
                raise InputError(
                    'bound "cone" certifies no angle to the reference, so no label follows: use "gram" or "angle-law"'
                )
        elif bound != "auto":
            raise InputError(
                f'bound is of the kind "cone", which is not among {", ".join(asked)}: ask for it, too',
                argument="bound",
            )
        kind = checked_reference(reference)
        share = divided_alpha(alpha, asked)
        if law is not None:
            check_draws(draws, share, law)
        needed = max((smallest_draws(share, each, draws) for each in asked if each != "cone"), default=1)
        if draws < needed:
            raise TooFewDrawsError(draws, needed, alpha)
        if until is not None:
            until.check_reachable(draws, share, manifest.sigma)
        uses_features = law == "gram" or asked != ("cone",)
        taken = checked_pilot(pilot, manifest, uses_features=uses_features)
        return cls(prototypes, draws, alpha, taken, asked, top_k, law, kind, until)

    def facts(self, graph_sha256: str) -> dict[str, Fact]:
        """The settings by name, with the graph that they are for."""
        return _facts(
            graph=graph_sha256,
            prototypes=self.prototypes.sha256,
            draws=self.draws,
            alpha=self.alpha,
            kinds=self.kinds,
            top_k=self.top_k,
            bound=self.bound,
            reference=self.reference,
            until=self.until,
            pilot=self.pilot,
        )

    @staticmethod
    def facts_of(certificate: "PredictionCertificate") -> dict[str, Fact]:
        """Those that a certificate was made by."""
        feature = certificate.feature
        return _facts(
            graph=certificate.provenance.graph_sha256,
            prototypes=certificate.prototypes.sha256,
            draws=certificate.most_draws,
            alpha=certificate.alpha,
            kinds=certificate.kinds,
            top_k=len(certificate.labels),
            bound=None if feature is None else feature.bound,
            reference=certificate.binding.reference_kind,
            until=certificate.until,
            pilot=certificate.binding.pilot,
        )


def _facts(*, kinds: tuple[Kind, ...], top_k: int, until: LabelTarget | None, **others: Fact) -> dict[str, Fact]:
    """In the order of a user's flags, so that the one that was changed is named, not one that follows from it."""
    made = {**others, "kinds": ", ".join(kinds), "top-k": top_k, "target": None if until is None else str(until)}
    return {name: made[name] for name in _FACTS}


def _kinds(kinds: Kinds, manifest: Manifest) -> tuple[Kind, ...]:
    if kinds == "auto":
        return ("margin", "vote") if manifest.has_features else ("cone",)
    asked = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not asked or len(set(asked)) < len(asked) or not set(asked) <= set(KINDS):
        raise InputError(f'kinds must be "auto", or some of {", ".join(KINDS)}, each once, not {kinds!r}')
    drawn = [kind for kind in asked if kind != "cone"]
    if drawn and not manifest.has_features:
        raise InputError(
            f"kinds margin and vote need features, which the tap {manifest.tap!r} does not give: use kinds cone",
            argument="kinds",
        )
    return tuple(kind for kind in KINDS if kind in asked)


def _check_prototypes(prototypes: Prototypes, manifest: Manifest) -> None:
    if prototypes.dimension != manifest.dimension:
        raise InputError(
            f"prototypes {prototypes.name!r} have {prototypes.dimension} dimensions, but the bundle's features have "
            f"{manifest.dimension}: hand in prototypes made with the same encoder"
        )
    first = prototypes.vectors[0]
    # The second row tells nearly always, and then no array as large as the prototypes is made.
    if all(np.linalg.norm(row - first) <= SAME_DISTANCE for row in prototypes.vectors):
        raise InputError(f"all prototypes of {prototypes.name!r} are equal, so there is one label only: hand in others")
