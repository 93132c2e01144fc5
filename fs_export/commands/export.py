"""``fs-export export``: one encoder becomes one bundle."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from fs_export import options
from fs_export.parity_table import show_parity
from fs_export.stages import next_commands, stage_reporter
from fs_runtime.bundle.prototypes import prototype_names
from fs_runtime.cli.options import as_json, threads
from fs_runtime.cli.terminal import cell, data, megabytes, messages, printable, table

if TYPE_CHECKING:
    from fs_exporters.plan import ExportPlan


@click.command()
@options.model
@options.smoothing
@options.precision
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images whose draws one noise batch can mix, baked in; keeps the large batches of a GPU full.",
)
@options.prototypes
@options.gsb
@options.loading
@options.trusting
@options.output("Folder of the bundle; made whole or not at all.")
@options.overwrite
@options.parity_draws
@click.option("--dry-run", is_flag=True, help="Say what would be written, and the memory and time it needs.")
@threads
@as_json
def export(
    model: str,
    sigma: float,
    noise_batch: int,
    images: int,
    prototypes: bool,
    labels: Path | None,
    templates: tuple[str, ...],
    classes: Path | None,
    prototype_draws: int,
    gallery: Path | None,
    precision: Any,
    calibration: Path | None,
    gsb: str,
    tap: Any,
    image_size: tuple[int, int] | None,
    revision: str | None,
    trust_pickle: bool,
    trust_remote_code: bool,
    output: Path,
    overwrite: bool,
    parity_draws: int,
    dry_run: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Trace MODEL with its noise batch baked in, check it against the original, and write a bundle.

    `fs-export list` shows what MODEL can be.
    """
    import fs_export

    wanted = fs_export.PrototypeRequest(
        labels=labels,
        templates=templates,
        classes=classes,
        gallery=gallery,
        draws=prototype_draws,
        offered=prototypes,
    )
    if dry_run:
        from fs_exporters.plan import plan_export
        from fs_models.encoders import LoadRequest

        request = LoadRequest(model, tap, revision, trust_pickle, trust_remote_code, image_size)
        plan = plan_export(
            request,
            sigma=sigma,
            noise_batch=noise_batch,
            images=images,
            prototypes=wanted,
            precision=precision,
            calibration=calibration,
            parity_draws=parity_draws,
            gsb=gsb,
            output=output,
            overwrite=overwrite,
        )
        _show(plan, output, as_json)
        return
    with stage_reporter() as reporter:
        result = fs_export.export(
            model,
            sigma=sigma,
            noise_batch=noise_batch,
            output=output,
            images=images,
            precision=precision,
            tap=tap,
            revision=revision,
            image_size=image_size,
            trust_pickle=trust_pickle,
            trust_remote_code=trust_remote_code,
            prototypes=wanted,
            overwrite=overwrite,
            threads=threads,
            calibration=calibration,
            parity_draws=parity_draws,
            gsb=gsb,
            on_start=reporter.on_start,
            on_progress=reporter.on_progress,
            on_stage=reporter.on_stage,
        )
    folder = shlex.quote(str(output))
    show_parity(result.manifest)
    if result.manifest.gsb is None:
        _tell_of_booster(model, result.manifest.tap, sigma)
    if as_json:
        line = {
            "schema": "fs-export/export/1",
            "path": str(result.path),
            "manifest_sha256": result.manifest_sha256,
            "stages": [{"name": stage.name, "seconds": stage.seconds} for stage in result.stages],
            "parity": result.manifest.parity,
        }
        click.echo(msgspec.json.encode(line))
    else:
        click.echo(printable(f"{output}  manifest sha256 {result.manifest_sha256}"))
    if precision == "bf16":
        next_commands(f"fs-runtime inspect {folder}", f"fs-export build {folder} --target tensorrt-rtx")
        return
    expected = f"--expect-sha256 {result.manifest_sha256}"
    next_commands(
        f"fs-runtime inspect {folder}",
        f"fs-runtime certify {folder} PHOTO.jpg {expected}",
        *(
            f"fs-runtime classify {folder} PHOTO.jpg --prototypes {name} {expected}"
            for name in prototype_names(result.manifest)
        ),
    )


def _tell_of_booster(model: str, tap: str, sigma: float) -> None:
    """Say that a booster is shipped, where none was asked for."""
    from fs_models.gsb import shipped_for

    if shipped_for(model, tap, sigma) is not None:
        messages().print(
            f"a smoothness booster for {printable(model)} at sigma {sigma:g} comes with fs-export: --gsb default",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _show(plan: "ExportPlan", output: Path, as_json: bool) -> None:
    """Print what an export would do, on stdout."""
    if as_json:
        line = {
            "schema": "fs-export/plan/1",
            "path": str(output),
            "files": plan.files,
            "memory": plan.memory,
            "parity_seconds": plan.parity_seconds,
            "noise_bytes": plan.noise_bytes,
            "images": plan.images,
        }
        click.echo(msgspec.json.encode(line))
        return
    made = table("would write", "about", title=printable(f"{output} (nothing was written)"))
    for name, size in plan.files.items():
        made.add_row(cell(name), megabytes(size))
    data().print(made)
    spec = plan.spec
    feature = " x ".join(map(str, spec.feature_shape))
    click.echo(f"feature {feature} ({spec.tap}), input {spec.height} x {spec.width}")
    click.echo(
        f"export: about {megabytes(plan.memory)} of memory; tracing, "
        f"then about {plan.parity_seconds:.0f} s for the parity gate"
    )
    mixed = f", each for the draws of up to {plan.images} images" if plan.images > 1 else ""
    click.echo(f"runtime: two noise batches of {megabytes(plan.noise_bytes)} each{mixed}")
