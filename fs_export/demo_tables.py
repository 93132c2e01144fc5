"""What ``fs-export demo`` shows: the certificates of the boosted encoder, and the three systems side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.cli.certificate_table import FRACTIONS, cosine_cell, score_cell
from fs_runtime.cli.terminal import cell, table
from fs_runtime.rounding import rounded_down, rounded_up

if TYPE_CHECKING:
    from fs_exporters.demonstration import AttackedEncoder, Certified

SHARE, SHARE_NAME = 0.5, "σ/2"
"""Of sigma: the radius at which the systems are compared."""

HEADS = (
    "system",
    "label",
    f"label stays\nwithin {SHARE_NAME}",
    "score",
    "length",
    f"angle\nat {SHARE_NAME}",
    f"to clean\nat {SHARE_NAME}",
)
_WORDS = 3


@dataclass(frozen=True, eq=False)
class ComparedPhoto:
    """One photo through the three systems.

    Attributes:
        name: of its file.
        encoder: the bare encoder, attacked at the radius of the comparison.
        smoothed: by system, FS first; from the same draws.
    """

    name: str
    encoder: "AttackedEncoder"
    smoothed: dict[str, "Certified"]


def certificates_table(certificates: Sequence[FeatureCertificate]) -> Table:
    """Certified cosines of one system by ``gram``, and by ``fcsb`` from the same draws."""
    first = certificates[0]
    columns = [f"{bound}\n{name}" for bound in ("gram", "fcsb") for _, name in FRACTIONS]
    title = f"FS + GSB: certified cosine, sigma {first.sigma:g}, {first.draws} draws, alpha {first.alpha:g}"
    made = table("photo", "score", *columns, title=title)
    for certificate in certificates:
        pair = (certificate, certificate.baseline())
        cells = [cosine_cell(each, fraction * each.sigma) for each in pair for fraction, _ in FRACTIONS]
        made.add_row(cell(Path(certificate.image.name).name), score_cell(certificate), *cells)
    return made


def systems_table(photos: Sequence[ComparedPhoto], sigma: float) -> Table:
    """The three systems on every photo."""
    title = f"side by side, sigma {sigma:g}: attacked (≥) and certified at the l2 radius {_radius(sigma)}"
    made = table(*HEADS, title=title, words=_WORDS)
    for photo in photos:
        made.add_section()
        made.add_row(cell(photo.name), style="bold")
        for row in systems_rows(photo, sigma):
            made.add_row(*map(cell, row))
    return made


def systems_rows(photo: ComparedPhoto, sigma: float) -> tuple[tuple[str, ...], ...]:
    """One photo's cells under :data:`HEADS`, a row for each system."""
    encoder, radius = photo.encoder, SHARE * sigma
    changed = encoder.attacked_label != encoder.label
    stays = f"no: {encoder.attacked_label}" if changed else "not attacked away"
    rows = [("encoder", encoder.label, stays, "-", "-", f"≥ {rounded_down(encoder.degrees, 1)}°", "-")]
    for system, found in photo.smoothed.items():
        rows.append(
            (
                system,
                found.label.label,
                _stays(found.label.radius, radius),
                f"{found.clean.score.estimate:.3f}",
                f"{found.length:.3f}",
                _angle(found.own.angle(radius)),
                _cosine(found.clean, radius),
            )
        )
    return tuple(rows)


def explanation_of_systems(sigma: float, draws: int, alpha: float) -> str:
    """What the table says, in words."""
    return (
        f"encoder: its label without attack, and what two weak attacks of l2 norm {_radius(sigma)} did to it; nothing "
        "rules out worse. FS: the mean feature of noisy copies; FS + GSB: the same with the booster around the "
        f"encoder; both from the same {draws} draws. score: mean of (1 + cosine) / 2 between noisy features and the "
        "bare encoder's clean one; length: how well the noisy features agree with one another, those of the pilot's "
        "draws too. angle: no change up to the radius turns the system's own feature further; to clean: nor brings it "
        "below this cosine to the bare encoder's clean feature; '-' means that nothing is certified, in the encoder's "
        f"row that it has none. Each certificate holds with probability at least 1 - {alpha:g}."
    )


def _radius(sigma: float) -> str:
    return f"{SHARE_NAME} = {SHARE * sigma:g}"


def _stays(certified: float, radius: float) -> str:
    """Whether a label is proved to stay within the radius, and how far it is."""
    if certified <= 0.0:
        return "not certified"
    return f"{'yes,' if certified >= radius else 'only'} to {rounded_down(certified)}"


def _angle(radians: float) -> str:
    return "-" if radians == math.pi else f"≤ {rounded_up(math.degrees(radians), 1)}°"


def _cosine(certificate: FeatureCertificate, radius: float) -> str:
    found = cosine_cell(certificate, radius)
    return found if found == "-" else f"≥ {found}"
