"""``fs-runtime inspect``: what a bundle says of itself."""

from pathlib import Path

import click
import msgspec
from rich.table import Table

from fs_runtime.bundle import Manifest, read_bundle
from fs_runtime.bundle.prototypes import prototype_names
from fs_runtime.cli import options
from fs_runtime.cli.terminal import cell, data, megabytes, printable, table
from fs_runtime.plural import count


@click.command()
@options.bundle
@options.as_json
def inspect(bundle: Path, as_json: bool) -> None:
    """Show what a bundle holds, after checking its manifest and every hash."""
    read = read_bundle(bundle)
    manifest = read.manifest
    if as_json:
        line = {"schema": "fs-runtime/bundle/1", "manifest_sha256": read.manifest_sha256, "manifest": manifest}
        click.echo(msgspec.json.encode(line))
        return
    console = data()
    facts = table("", "", title=printable(str(bundle)), words=2)
    facts.show_header = False
    for name, value in _facts(manifest, read.manifest_sha256):
        facts.add_row(name, cell(value))
    console.print(facts)
    graphs = table("graph", "role", "precision", "opset", "size", "sha256", words=3)
    for graph in manifest.graphs:
        size = megabytes(graph.bytes)
        graphs.add_row(cell(graph.file), graph.role, graph.precision, str(graph.opset), size, graph.sha256[:12])
    console.print(graphs)
    if manifest.engines:
        console.print(_engines(manifest))


def _engines(manifest: Manifest) -> Table:
    made = table("plan", "built by", "parity with its graph", "GPU", "precision", "size", "sha256", words=3)
    for engine in manifest.engines:
        parity = engine.parity
        outcome = f"not run, {engine.parity_not_run}" if parity is None else f"cosine {parity.smallest_cosine:.7f}"
        options = " any version" * engine.settings.version_compatible + " any GPU" * engine.settings.hardware_compatible
        made.add_row(
            cell(engine.file),
            cell(f"{engine.builder} {engine.version}{options}"),
            cell(outcome),
            engine.compute_capability,
            engine.precision_observed,
            megabytes(engine.bytes),
            engine.sha256[:12],
        )
    return made


def _facts(manifest: Manifest, sha256: str) -> list[tuple[str, str]]:
    source, rule = manifest.source, manifest.preprocess
    padded = ", padded to a square" if rule.pad else ""
    parity = [
        f"{p.graph}: smallest cosine {p.smallest_cosine:.7f} over {p.pilot + p.draws} draws" for p in manifest.parity
    ]
    gaps = [gap for p in manifest.parity for gap in p.not_checked]
    calibrated = [graph.calibration for graph in manifest.graphs if graph.calibration is not None]
    return [
        ("model", source.model + (f", revision {source.revision}" if source.revision else "")),
        ("family, tap", f"{manifest.family}, {manifest.tap}"),
        ("feature", f"{' x '.join(map(str, manifest.feature_shape))} (D = {manifest.dimension})"),
        (
            "input",
            f"{manifest.height} x {manifest.width}{padded}, resize {_words(rule.resize)}, crop {_words(rule.crop)}",
        ),
        ("noise", f"sigma {manifest.sigma:g}, batch {manifest.noise_batch}, of {count(manifest.images, 'image')}"),
        ("booster", manifest.gsb.kind if manifest.gsb else "none"),
        ("prototypes", ", ".join(prototype_names(manifest)) or "none"),
        ("parity", "; ".join(parity) or "not measured"),
        *(("not checked", gap) for gap in gaps),
        *(("calibrated on", f"{count(c.images, 'photo')}, {count(c.skipped, 'file')} skipped") for c in calibrated),
        ("made by", ", ".join(f"{name} {version}" for name, version in manifest.tools.items())),
        ("manifest sha256", sha256),
    ]


def _words(rule: msgspec.Struct | None) -> str:
    if rule is None:
        return "none"
    return " ".join(str(value) for value in msgspec.to_builtins(rule).values())
