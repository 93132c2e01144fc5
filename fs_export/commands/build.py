"""``fs-export build``: TensorRT plans for a bundle."""

import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from fs_export.stages import next_commands, stage_reporter
from fs_runtime.cli.options import as_json, bundle, expect_sha256, threads
from fs_runtime.cli.terminal import printable


@click.command()
@bundle
@click.option(
    "--target",
    type=click.Choice(["tensorrt", "tensorrt-rtx"]),
    required=True,
    help="TensorRT builds on the GPU that will run the plan; TensorRT-RTX also without one.",
)
@click.option(
    "--compute-capability",
    "compute_capabilities",
    multiple=True,
    metavar="X.Y",
    help="One plan for GPUs of each, as 8.9; may be repeated. Default: the GPU here.",
)
@click.option(
    "--workspace",
    "workspace_mb",
    type=click.IntRange(min=1, max=1 << 20),
    metavar="MB",
    help="The builder's limit for scratch memory. Default: its own.",
)
@click.option("--version-compatible", is_flag=True, help="A plan that later versions of this major TensorRT can run.")
@click.option("--hardware-compatible", is_flag=True, help="A plan for all GPUs of compute capability 8.0 or more.")
@threads
@expect_sha256
@as_json
def build(
    bundle: Path,
    target: Any,
    compute_capabilities: tuple[str, ...],
    workspace_mb: int | None,
    version_compatible: bool,
    hardware_compatible: bool,
    threads: int | None,
    expect_sha256: str | None,
    as_json: bool,
) -> None:
    """Build TensorRT plans from the graph in DIR and add them to it.

    The precision is the graph's; it is read back and must be the same (exit code 3). Where the GPU is here the plan is
    held against the graph, else the bundle says that this was not run.
    """
    from fs_exporters.tensorrt import BuildRequest, build_engines
    from fs_runtime.bundle.manifest import EngineSettings

    request = BuildRequest(
        target=target,
        compute_capabilities=compute_capabilities,
        settings=EngineSettings(
            workspace_mb=workspace_mb, version_compatible=version_compatible, hardware_compatible=hardware_compatible
        ),
        threads=threads,
        expect_sha256=expect_sha256,
    )
    with stage_reporter() as reporter:
        result = build_engines(bundle, request, on_start=reporter.on_start, on_stage=reporter.on_stage)
    if as_json:
        line = {
            "schema": "fs-export/build/1",
            "path": str(result.path),
            "manifest_sha256": result.manifest_sha256,
            "stages": [{"name": stage.name, "seconds": stage.seconds} for stage in result.stages],
            "engines": result.engines,
        }
        click.echo(msgspec.json.encode(line))
    else:
        for engine in result.engines:
            click.echo(printable(f"{result.path / engine.file}  sha256 {engine.sha256}"))
        click.echo(printable(f"{result.path}  manifest sha256 {result.manifest_sha256}"))
    next_commands(f"fs-runtime inspect {shlex.quote(str(bundle))}")
