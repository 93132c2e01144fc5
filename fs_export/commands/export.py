"""``fs-export export``: one encoder becomes one bundle."""

import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from fs_export import options
from fs_export.stages import next_commands, stage_reporter
from fs_runtime.cli.options import as_json


@click.command()
@options.model
@options.smoothing
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of the encoder inside the graph; noise, norms and reductions stay fp32.",
)
@options.loading
@options.trusting
@options.output("Folder of the bundle; made whole or not at all.")
@options.overwrite
@options.threads
@as_json
def export(
    model: str,
    sigma: float,
    noise_batch: int,
    precision: Any,
    tap: Any,
    revision: str | None,
    trust_pickle: bool,
    trust_remote_code: bool,
    output: Path,
    overwrite: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Trace MODEL with its noise batch baked in, check it against the original, and write a bundle.

    `fs-export list` shows what MODEL can be.
    """
    import fs_export

    with stage_reporter() as reporter:
        result = fs_export.export(
            model,
            sigma=sigma,
            noise_batch=noise_batch,
            output=output,
            precision=precision,
            tap=tap,
            revision=revision,
            trust_pickle=trust_pickle,
            trust_remote_code=trust_remote_code,
            overwrite=overwrite,
            threads=threads,
            on_start=reporter.on_start,
            on_stage=reporter.on_stage,
        )
    folder = shlex.quote(str(output))
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
        click.echo(f"{output}  manifest sha256 {result.manifest_sha256}")
    next_commands(f"fs-runtime inspect {folder}", f"fs-runtime certify {folder} PHOTO.jpg")
