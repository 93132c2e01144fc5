"""The table of certificates, and what it says in words."""

import math

from rich.table import Table

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.cli.terminal import cell, short_names, table
from fs_runtime.rounding import rounded_down, rounded_up

FRACTIONS = ((0.25, "σ/4"), (0.5, "σ/2"), (1.0, "σ"))


def certificate_table(certificates: list[FeatureCertificate]) -> Table:
    """Score, certified cosine at fractions of sigma, and the radius of cosine 0.9, one certificate a row.

    Towards a target also the cosine at its radius, what became of it, and the draws.
    """
    first = certificates[0]
    target = () if first.until is None else (f"cosine\nat {first.until.radius:g}", "target", "draws")
    made = table(
        "image",
        "score",
        *(f"cosine\nat {name}" for _, name in FRACTIONS),
        "radius of\ncosine 0.9",
        *target,
        title=_title(first),
    )
    names = short_names(certificate.image.name for certificate in certificates)
    for certificate in certificates:
        made.add_row(
            cell(names[certificate.image.name]),
            score_cell(certificate),
            *(cosine_cell(certificate, fraction * certificate.sigma) for fraction, _ in FRACTIONS),
            rounded_down(certificate.radius(0.9)),
            *_target_cells(certificate),
        )
    return made


def _target_cells(certificate: FeatureCertificate) -> tuple[str, ...]:
    if certificate.until is None:
        return ()
    at_radius = cosine_cell(certificate, certificate.until.radius)
    return at_radius, certificate.outcome or "-", f"{certificate.draws:,}"


def _title(first: FeatureCertificate) -> str:
    draws = f"{first.draws} draws" if first.until is None else f"until {first.until}, at most {first.most_draws} draws"
    return f"bound {first.bound}, sigma {first.sigma:g}, {draws}, alpha {first.alpha:g}"


def score_cell(certificate: FeatureCertificate) -> str:
    """The robustness score with its interval."""
    score = certificate.score
    return f"{score.estimate:.3f} ({rounded_down(score.lower)}-{rounded_up(score.upper)})"


def cosine_cell(certificate: FeatureCertificate, radius: float) -> str:
    """The certified cosine at an l2 radius, or a dash where nothing is certified."""
    cosine = certificate.cosine(radius)
    return "-" if cosine == -1.0 else rounded_down(cosine)


def _best(floor: float) -> str:
    return "nothing" if floor == math.pi else f"{math.cos(floor):.4f}"


def explanation(certificate: FeatureCertificate) -> str:
    """What the table says, in words, and the most that so many draws could have certified."""
    best = ", ".join(
        f"{_best(certificate.floor(fraction * certificate.sigma))} at {name}" for fraction, name in FRACTIONS
    )
    between = (
        "the smoothed features of the changed and of the given image"
        if certificate.bound == "cone"
        else "the smoothed feature and the certified one"
    )
    words = (
        f"With probability at least 1 - {certificate.alpha:g} a row holds: no change of the graph's [0, 1] pixels of "
        f"l2 norm up to the radius brings the cosine between {between} below the number shown; '-' means nothing is "
        "certified."
    )
    return f"{words} The most that {certificate.draws} draws could certify: {best}."
