"""The table of certificates, and what it says in words."""

import math
from pathlib import Path

from rich.table import Table

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.cli.terminal import cell, table

FRACTIONS = ((0.25, "σ/4"), (0.5, "σ/2"), (1.0, "σ"))


def certificate_table(certificates: list[FeatureCertificate]) -> Table:
    """Score, certified cosine at fractions of sigma, and the radius of cosine 0.9, one certificate a row."""
    first = certificates[0]
    made = table(
        "image",
        "score",
        *(f"cosine\nat {name}" for _, name in FRACTIONS),
        "radius of\ncosine 0.9",
        *(("target", "draws") if first.until is not None else ()),
        title=_title(first),
    )
    for certificate in certificates:
        made.add_row(
            cell(Path(certificate.image.name).name),
            score_cell(certificate),
            *(cosine_cell(certificate, fraction) for fraction, _ in FRACTIONS),
            rounded_down(certificate.radius(0.9)),
            *((certificate.outcome or "-", f"{certificate.draws:,}") if first.until is not None else ()),
        )
    return made


def _title(first: FeatureCertificate) -> str:
    if first.until is None:
        draws = f"{first.draws} draws"
    else:
        target = f"cosine {first.until.cosine:g} at radius {first.until.radius:g}"
        draws = f"until {target}, at most {first.most_draws} draws"
    return f"bound {first.bound}, sigma {first.sigma:g}, {draws}, alpha {first.alpha:g}"


def rounded_down(bound: float) -> str:
    """Three decimals of a lower bound; what is shown is never more than what is proved."""
    return f"{math.floor(bound * 1000.0) / 1000.0:.3f}"


def rounded_up(bound: float) -> str:
    """Three decimals of an upper bound."""
    return f"{math.ceil(bound * 1000.0) / 1000.0:.3f}"


def score_cell(certificate: FeatureCertificate) -> str:
    """The robustness score with its interval."""
    score = certificate.score
    return f"{score.estimate:.3f} ({rounded_down(score.lower)}-{rounded_up(score.upper)})"


def cosine_cell(certificate: FeatureCertificate, fraction: float) -> str:
    """The certified cosine at a fraction of sigma, or a dash where nothing is certified."""
    cosine = certificate.cosine(fraction * certificate.sigma)
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
