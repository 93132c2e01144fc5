"""What ``classify`` and ``search`` share: the settings, the run, and how it ends."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_settings import PredictionSettings
from fs_runtime.cli import options
from fs_runtime.cli.images import image_list
from fs_runtime.cli.many_images import Places, Run, divided_alpha, say_summary
from fs_runtime.cli.next_steps import next_steps
from fs_runtime.cli.terminal import data, messages, next_commands
from fs_runtime.encoder import load
from fs_runtime.report.results import read_prediction


def predict(
    command: str,
    bundle: Path,
    images: tuple[str, ...],
    *,
    table: Callable[[list[PredictionCertificate]], RenderableType],
    explanation: Callable[[list[PredictionCertificate]], str],
    prototypes: str | None,
    top_k: int,
    draws: int | None,
    alpha: float | None,
    family_alpha: float | None,
    pilot: int | None,
    kinds: Any,
    bound: str,
    reference: str,
    radius: float | None,
    max_draws: int | None,
    seed: int | None,
    as_json: bool,
    output: Path | None,
    resume: bool,
    save: Path | None,
    **opening: Any,
) -> int:
    """Classify images, and say what came of it. What is not explained here is the value of the flag of that name.

    Args:
        command: which one asks.
        bundle: folder.
        images: names.
        table: of all predictions, for people.
        explanation: of the table, in words.
        prototypes: a name in the bundle, or a path; None: the bundle's only ones.
        top_k: ``--top-k``.
        draws: ``--draws``.
        alpha: ``--alpha``.
        family_alpha: ``--family-alpha``.
        pilot: ``--pilot``.
        kinds: ``--kinds``.
        bound: ``--bound``.
        reference: ``--reference``.
        radius: ``--radius``.
        max_draws: ``--max-draws``.
        seed: ``--seed``.
        as_json: ``--json``.
        output: ``--output``.
        resume: ``--resume``.
        save: ``--save``.
        opening: how to open the bundle.

    Returns:
        The exit code.
    """
    until = options.label_target(radius)
    listed, level = divided_alpha(image_list(images), alpha, family_alpha)
    places = Places(as_json, output, resume, save)
    places.check()
    asked: dict[str, Any] = {
        "draws": options.draws(draws, max_draws, flags=("--radius",), has_target=until is not None),
        "alpha": level,
        "pilot": pilot,
        "kinds": kinds,
        "top_k": top_k,
        "bound": bound,
        "reference": reference,
        "until": until,
    }
    run = Run[PredictionCertificate](places, _light)
    with load(bundle, **opening) as encoder:
        known = encoder.prototypes(prototypes)
        settings = PredictionSettings.checked(encoder.manifest, known, **asked)
        many = partial(encoder.classify_many, prototypes=known, seed=seed, **asked)
        run.over(listed, many, encoder=encoder, settings=settings, read=read_prediction, command=command)
    if run.certificates and not places.as_json:
        data().print(table(run.certificates))
        messages().print(explanation(run.certificates), style="dim", highlight=False, soft_wrap=True)
    say_summary(run, alpha=level, family_alpha=family_alpha, has_target=until is not None)
    if run.certificates and not places.as_json:
        next_commands(
            *next_steps(command, bundle, images, run, output=places.output, opening=opening, prototypes=prototypes)
        )
    return run.code


def _light(certificate: PredictionCertificate) -> PredictionCertificate:
    feature = certificate.feature
    if feature is None:
        return certificate
    return replace(certificate, feature=replace(feature, reference=feature.reference[:0]))
