"""``fs-runtime certify``: how far an attacker can turn the feature of each image."""

import math
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certification import CertificationError
from fs_runtime.cli import options
from fs_runtime.cli.run import ABSTAINED, exit_code, tell, writing
from fs_runtime.cli.terminal import cell, data, draw_progress, encodable, messages, table
from fs_runtime.encoder import load
from fs_runtime.errors import FsError

FRACTIONS = ((0.25, "σ/4"), (0.5, "σ/2"), (1.0, "σ"))


@click.command()
@options.bundle
@options.images
@options.certifying
@options.seed
@options.opening
@options.as_json
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write each certificate to FOLDER/NAME.json.",
    metavar="FOLDER",
)
def certify(
    bundle: Path,
    images: tuple[Path, ...],
    draws: int,
    alpha: float,
    pilot: int | None,
    bound: str,
    reference: str,
    seed: int | None,
    as_json: bool,
    save: Path | None,
    **opening: Any,
) -> int:
    """Certify how far any l2-bounded attack can turn the smoothed feature of each image.

    Each certificate holds with probability 1 - alpha of its own: over N images some certificate fails with
    probability up to N alpha. Exit code 5 if some image abstained (nothing could be certified).
    """
    certificates: list[FeatureCertificate] = []
    failure = 0
    if save is not None:
        with writing(save):
            save.mkdir(parents=True, exist_ok=True)
    with load(bundle, **opening) as encoder, draw_progress(len(images)) as progress:
        for number, image in enumerate(images):
            progress.begin(str(image))
            try:
                certificate = encoder.certify(
                    image,
                    draws=draws,
                    alpha=alpha,
                    pilot=pilot,
                    bound=bound,  # type: ignore[arg-type]  # click.Choice
                    reference=reference,  # type: ignore[arg-type]  # click.Choice
                    seed=seed,
                    progress=progress.update,
                )
            except (FsError, CertificationError) as error:
                tell(error)
                failure = failure or exit_code(error)
                if as_json:
                    click.echo(error_line(image, error))
                continue
            certificates.append(certificate)
            if as_json:
                click.echo(certificate.to_json())
            if save is not None:
                with writing(save):
                    certificate.save(save / f"{number:04d}-{image.stem}.json")
    if certificates and not as_json:
        data().print(certificate_table(certificates))
        messages().print(explanation(certificates[0]), style="dim", highlight=False, soft_wrap=True)
    if failure:
        return failure
    return ABSTAINED if any(certificate.abstained for certificate in certificates) else 0


def certificate_table(certificates: list[FeatureCertificate]) -> Table:
    """Score, certified cosine at fractions of sigma, and the radius of cosine 0.9, one certificate a row."""
    first = certificates[0]
    made = table(
        "image",
        "score",
        *(f"cosine\nat {name}" for _, name in FRACTIONS),
        "radius of\ncosine 0.9",
        title=f"bound {first.bound}, sigma {first.sigma:g}, {first.draws} draws, alpha {first.alpha:g}",
    )
    for certificate in certificates:
        made.add_row(
            cell(Path(certificate.image.name).name),
            score_cell(certificate),
            *(cosine_cell(certificate, fraction) for fraction, _ in FRACTIONS),
            rounded_down(certificate.radius(0.9)),
        )
    return made


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


def error_line(image: Path, error: Exception) -> str:
    """One JSON line for an image that failed."""
    line = {
        "schema": "fs-runtime/error/1",
        "image": encodable(str(image)),
        "error": encodable(str(error)),
        "exit_code": exit_code(error),
    }
    return msgspec.json.encode(line).decode()


def explanation(certificate: FeatureCertificate) -> str:
    """What the table says, in words, and the most that so many draws could have certified."""
    best = ", ".join(
        f"{_best(certificate.floor(fraction * certificate.sigma))} at {name}" for fraction, name in FRACTIONS
    )
    return (
        f"With probability at least 1 - {certificate.alpha:g} a row holds: no change of the graph's [0, 1] pixels of "
        "l2 norm up to the radius brings the cosine between the smoothed feature and the certified one below the "
        f"number shown; '-' means nothing is certified. The most that {certificate.draws} draws could certify: {best}."
    )
