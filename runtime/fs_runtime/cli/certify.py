"""``fs-runtime certify``: how far an attacker can turn the feature of each image."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.cli import options
from fs_runtime.cli.certificate_table import certificate_table, explanation
from fs_runtime.cli.images import image_list
from fs_runtime.cli.many_images import Places, Run, divided_alpha, say_summary
from fs_runtime.cli.next_steps import next_steps
from fs_runtime.cli.terminal import data, messages, next_commands
from fs_runtime.encoder import load
from fs_runtime.report.results import read_line


@click.command()
@options.bundle
@options.images
@options.certifying
@options.until
@options.seed
@options.opening
@options.as_json
@options.results
def certify(
    bundle: Path,
    images: tuple[str, ...],
    draws: int | None,
    alpha: float | None,
    family_alpha: float | None,
    pilot: int | None,
    bound: str,
    reference: str,
    radius: float | None,
    cosine: float | None,
    max_draws: int | None,
    seed: int | None,
    as_json: bool,
    output: Path | None,
    resume: bool,
    save: Path | None,
    **opening: Any,
) -> int:
    """Certify how far any l2-bounded attack can turn the smoothed feature of each image.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for names on stdin. With --radius and --cosine
    each image is drawn for until that cosine is certified at that radius, or hopeless.

    Each certificate holds with probability 1 - alpha of its own: over N images some certificate fails with
    probability up to N alpha; --family-alpha divides by N. Exit code 5 if some image abstained: nothing could be
    certified, or not its target.
    """
    until = options.target(radius, cosine)
    listed, level = divided_alpha(image_list(images), alpha, family_alpha)
    places = Places(as_json, output, resume, save)
    places.check()
    asked: dict[str, Any] = {
        "draws": options.draws(draws, max_draws, flags=("--radius", "--cosine"), has_target=until is not None),
        "alpha": level,
        "pilot": pilot,
        "bound": bound,
        "reference": reference,
        "until": until,
    }
    run = Run[FeatureCertificate](places, _light)
    with load(bundle, **opening) as encoder:
        settings = CertifySettings.checked(encoder.manifest, **asked)
        many = partial(encoder.certify_many, seed=seed, **asked)
        run.over(listed, many, encoder=encoder, settings=settings, read=read_line, command="certify")
    if run.certificates and not as_json:
        data().print(certificate_table(run.certificates))
        messages().print(explanation(run.certificates[0]), style="dim", highlight=False, soft_wrap=True)
    say_summary(run, alpha=level, family_alpha=family_alpha, has_target=until is not None)
    if run.certificates and not as_json:
        next_commands(*next_steps("certify", bundle, images, run, output=output, opening=opening))
    return run.code


def _light(certificate: FeatureCertificate) -> FeatureCertificate:
    return replace(certificate, reference=certificate.reference[:0])
