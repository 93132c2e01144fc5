"""``fs-export evaluate``: what smoothing, and a booster, buy on your images, without attack and under it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from fs_export import options
from fs_export.evaluation_options import attacking, evaluating
from fs_export.evaluation_report import evaluation_watch, show_evaluation
from fs_runtime.cli.options import SeedType, as_json, threads
from fs_runtime.cli.terminal import printable


@click.command()
@options.model
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Images.")
@evaluating
@options.gsb
@attacking
@options.loading
@options.trusting
@click.option("--model", "encoder_at", metavar="MODEL", help="Where a bundle's encoder is now, if elsewhere.")
@click.option("--seed", type=SeedType(), default=0, show_default=True, help="Of noise and attacks.")
@options.output("Folder for evaluation.json, evaluation.md and the results as they come.")
@click.option("--resume", is_flag=True, help="Go on with the results in the folder: images that are done are kept.")
@click.option("--overwrite", is_flag=True, help="Remove results that are in the folder.")
@threads
@as_json
def evaluate(
    model: str,
    folder: Path,
    sigmas: tuple[float, ...],
    size: Any,
    device: str,
    batch: int,
    gsb: str,
    prototypes: str | None,
    truth: str,
    alpha: float,
    images: int | None,
    draws: int | None,
    pilot: int | None,
    norms: tuple[str, ...],
    goals: Any,
    radius: tuple[float, ...],
    linf: float,
    boxed: bool,
    steps: int | None,
    attack_draws: int | None,
    measuring: int | None,
    tap: Any,
    image_size: tuple[int, int] | None,
    revision: str | None,
    trust_pickle: bool,
    trust_remote_code: bool,
    encoder_at: str | None,
    seed: int,
    output: Path,
    resume: bool,
    overwrite: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare the bare encoder, its smoothed feature, and that with a booster, on the images in DIR.

    MODEL is an encoder as for `fs-export export`, or a bundle. Measured are the robustness score against the clean
    feature, certified cosines, labels, and all of it under attack through the whole smoothed pipeline. What runs is the
    PyTorch module that bundles are traced from.

    `--size small`, the default on a CPU, takes minutes a photo for a small CNN and attacks weakly; `--size full`, the
    default elsewhere, is 200 images, 50 steps and 16 noisy copies a step.

    On a CPU an encoder of at most 30 M parameters works on as many images at once as `--threads` says, 8 at most: fewer
    threads take less memory.
    """
    from fs_exporters.evaluation import EFFORTS, EvaluationPlaces, EvaluationSettings, evaluate_model
    from fs_models.encoders import LoadRequest

    given = {
        "images": images,
        "draws": draws,
        "pilot": pilot,
        "steps": steps,
        "attack_draws": attack_draws,
        "measuring": measuring,
    }
    effort = EFFORTS[size or ("small" if device == "cpu" else "full")]
    settings = EvaluationSettings(
        sigmas=sigmas,
        effort=replace(effort, **{name: value for name, value in given.items() if value is not None}),
        norms=norms,
        goals=goals,
        radius=radius,
        linf=linf,
        boxed=boxed,
        alpha=alpha,
        truth=truth,
        seed=seed,
        device=device,
        batch=batch,
    )
    with evaluation_watch() as watch:
        evaluation = evaluate_model(
            LoadRequest(model, tap, revision, trust_pickle, trust_remote_code, image_size),
            folder,
            settings,
            EvaluationPlaces(output, resume=resume, overwrite=overwrite),
            gsb=gsb,
            prototypes=prototypes,
            encoder_at=encoder_at,
            threads=threads,
            watch=watch,
        )
    if as_json:
        summary = evaluation.summary
        line = {"schema": "fs-export/evaluate/1", "path": str(evaluation.json), "settings": evaluation.facts}
        click.echo(msgspec.json.encode({**line, "systems": summary.systems, "attacks": summary.attacks}))
        return
    show_evaluation(evaluation)
    click.echo(printable(f"written: {evaluation.json}, {evaluation.markdown}"))
