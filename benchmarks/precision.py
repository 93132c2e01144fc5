"""What a precision changes: the draws' features, the certificates, and the speed.

    python benchmarks/precision.py --calibration CALIBRATION --photos PHOTOS --sigma 0.25
    python benchmarks/precision.py --model vit-b-32 --calibration CALIBRATION --photos PHOTOS --certify 0 \
        --precisions fp32,int8

exports EfficientNet-Lite0, or a full-size CLIP ViT-B/32 of random weights, in each precision. On other photos than it
was calibrated on it then compares every draw's feature, and the feature without noise, with those of the fp32 PyTorch
module; the certified angles at sigma/2 and sigma, same seeds, with those of the fp32 graph; and draws per second in
rounds that take the graphs in turn: by the wall at --threads, and by the processor's own time in one thread, which
other processes disturb less. A bf16 graph is run as fp32 with every result rounded to bf16, so its speed means nothing
and is left out. Writes benchmarks/results/precision-MODEL.json; exit code 1 where int8 is below 1.5 times fp32.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from common import MODEL, VIT, console, model_folder, quartiles, verdict, write_results
from rich.table import Table

import fs_export
import fs_runtime
from fs_exporters.parity.emulation import emulated
from fs_models.encoders import EncoderAdapter, LoadRequest, load_encoder
from fs_runtime.backends import Backend, Block, find_backend
from fs_runtime.bundle import read_bundle
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import prepare

ALPHA = 1e-3
LEAST = 1.5
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni")


@dataclass
class Contender:
    """One precision's bundle, opened."""

    folder: Path
    backend: Backend
    single: Backend


def instructions() -> list[str]:
    """Which of the instructions that int8 profits from this CPU has."""
    words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return [flag for flag in FLAGS if flag in words]


def opened(folder: Path, threads: int, stack: ExitStack) -> Backend:
    bundle = read_bundle(folder)
    graph = bundle.graph("smoothed")
    if graph.precision == "bf16":
        bundle, graph = stack.enter_context(emulated(bundle, graph))
    return stack.enter_context(find_backend("onnxruntime")(bundle, graph, device="cpu", threads=threads))


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.flatten(1).double(), dim=1).numpy()


def compare(
    encoder: EncoderAdapter, contenders: dict[str, Contender], photos: list[Path], threads: int
) -> dict[str, Any]:
    """Cosines of each draw's feature, and of the clean one, with the module's."""
    manifest = read_bundle(next(iter(contenders.values())).folder).manifest
    shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
    reference = np.zeros((1, manifest.dimension), np.float32)
    index = np.zeros(manifest.noise_batch, np.int64)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in contenders}
    clean: dict[str, list[float]] = {name: [] for name in contenders}
    with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads) as source, torch.inference_mode():
        for number, photo in enumerate(photos):
            pixels = prepare(photo, manifest.preprocess).pixel_values
            noise = next(source.blocks(number, Stream.CERTIFY, manifest.noise_batch)).copy()
            module = unit(encoder(torch.from_numpy(pixels + noise)))
            still = unit(encoder(torch.from_numpy(pixels)))[0]
            for name, contender in contenders.items():
                features = contender.backend.run(Block(pixels, noise, reference, index)).features
                assert features is not None
                drawn[name].append((features * module).sum(1))
                first = contender.backend.run(Block(pixels, 0 * noise, reference, index)).features
                assert first is not None
                clean[name].append(float(first[0] @ still))
    return {
        name: {
            "draws": int(np.concatenate(drawn[name]).size),
            "mean_cosine": float(np.concatenate(drawn[name]).mean()),
            "smallest_cosine": float(np.concatenate(drawn[name]).min()),
            "clean_cosine_mean": float(np.mean(clean[name])),
            "clean_cosine_smallest": float(np.min(clean[name])),
        }
        for name in contenders
    }


def speeds(contenders: dict[str, Contender], rounds: int, blocks: int) -> dict[str, Any]:
    """Draws/s of every graph, paired within rounds."""
    manifest = read_bundle(next(iter(contenders.values())).folder).manifest
    rng = np.random.default_rng(0)
    shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
    block = Block(
        rng.random((1, *shape[1:]), np.float32),
        (manifest.sigma * rng.standard_normal(shape)).astype(np.float32),
        np.eye(1, manifest.dimension, dtype=np.float32),
        np.zeros(shape[0], np.int64),
    )
    draws = blocks * manifest.noise_batch
    rows: list[dict[str, dict[str, float]]] = []
    for number in range(rounds + 1):
        row: dict[str, dict[str, float]] = {"wall": {}, "processor": {}}
        names = list(contenders)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for kind, clock, backend in (
                ("wall", time.perf_counter, contenders[name].backend),
                ("processor", time.process_time, contenders[name].single),
            ):
                begun = clock()
                for _ in range(blocks):
                    backend.run(block)
                row[kind][name] = draws / (clock() - begun)
        rows.append(row)
    rows = rows[1:]  # the first warms up
    return {
        kind: {
            name: {
                "draws_per_second": quartiles([row[kind][name] for row in rows]),
                "over_fp32": quartiles([row[kind][name] / row[kind]["fp32"] for row in rows]),
            }
            for name in contenders
        }
        for kind in ("wall", "processor")
    }


def angles(contenders: dict[str, Contender], photos: list[Path], draws: int, threads: int) -> dict[str, Any]:
    """Certified angles in degrees at sigma/2 and sigma, photo by photo, same noise for every precision."""
    found: dict[str, Any] = {}
    for name, contender in contenders.items():
        with fs_runtime.load(contender.folder, threads=threads) as encoder:
            sigma = encoder.manifest.sigma
            certificates = [
                encoder.certify(photo, draws=draws, alpha=ALPHA, seed=number) for number, photo in enumerate(photos)
            ]
            found[name] = {
                "half_sigma": [float(np.degrees(cert.angle(sigma / 2))) for cert in certificates],
                "sigma": [float(np.degrees(cert.angle(sigma))) for cert in certificates],
                "references": [cert.reference for cert in certificates],
            }
    for entry in found.values():
        pairs = zip(entry["references"], found["fp32"]["references"], strict=True)
        entry["reference_cosine_with_fp32"] = [float(own @ other) for own, other in pairs]
    for entry in found.values():
        del entry["references"]
    return found


def show(parity: dict[str, Any], speed: dict[str, Any], certified: dict[str, Any]) -> None:
    """Print everything by precision."""
    columns = ("precision", "mean cosine", "smallest", "clean cosine", "draws/s over fp32, wall", "1 thread, CPU time")
    table = Table(*columns, title="Against the fp32 module, under noise")
    for name, row in parity.items():
        ratios = [
            f"{speed[kind][name]['over_fp32']['median']:.2f}" if name in speed.get(kind, {}) else "not run"
            for kind in ("wall", "processor")
        ]
        figures = (f"{row[key]:.5f}" for key in ("mean_cosine", "smallest_cosine", "clean_cosine_mean"))
        table.add_row(name, *figures, *ratios)
    console.print(table)
    if not certified:
        return
    columns = ("precision", "at sigma/2", "at sigma", "smoothed feature's cosine with fp32's")
    table = Table(*columns, title="Certified angles in degrees: mean over the photos (change from fp32)")
    for name, row in certified.items():
        cells = []
        for key in ("half_sigma", "sigma"):
            mean, base = float(np.mean(row[key])), float(np.mean(certified["fp32"][key]))
            cells.append(f"{mean:.2f} ({mean - base:+.2f})")
        table.add_row(name, *cells, f"{np.mean(row['reference_cosine_with_fp32']):.4f}")
    console.print(table)


@click.command(help=__doc__.splitlines()[0])
@click.option("--model", type=click.Choice([MODEL, VIT]), default=MODEL, show_default=True)
@click.option("--precisions", default="fp32,fp16,bf16,int8", show_default=True, help="fp32 must be first.")
@click.option("--calibration", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--photos", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--limit", type=click.IntRange(min=1), default=8, show_default=True, help="Photos compared on.")
@click.option("--certify", type=click.IntRange(min=0), default=4, show_default=True, help="Photos certified.")
@click.option("--draws", type=click.IntRange(min=64), default=256, show_default=True, help="Draws of a certificate.")
@click.option("--sigma", type=float, default=0.25, show_default=True)
@click.option("--noise-batch", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--blocks", type=click.IntRange(min=1), default=1, show_default=True, help="Noise batches in a round.")
def main(
    model: str,
    precisions: str,
    calibration: Path,
    photos: Path,
    limit: int,
    certify: int,
    draws: int,
    sigma: float,
    noise_batch: int,
    threads: int,
    rounds: int,
    blocks: int,
) -> None:
    """Measure, print, write."""
    names = precisions.split(",")
    if names[0] != "fp32":
        raise click.UsageError("--precisions must begin with fp32")
    # Spread over the folder: photos of one class stand together.
    files = sorted(path for path in photos.iterdir() if path.is_file())
    chosen = [files[index] for index in np.linspace(0, len(files) - 1, limit).astype(int)]
    with model_folder(model) as source, ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = {}
        gates = {}
        for name in names:
            result = fs_export.export(
                source,
                sigma=sigma,
                noise_batch=noise_batch,
                output=place / name,
                precision=name,
                calibration=calibration if name == "int8" else None,
                parity_draws=32,
                threads=threads,
                prototypes=fs_export.PrototypeRequest(offered=False),
                on_stage=lambda stage, name=name: console.print(
                    f"{name} {stage.name} {stage.seconds:.0f} s: {stage.detail}", highlight=False
                ),
            )
            gates[name] = result.manifest.parity[0]
            backends = [opened(place / name, count, stack) for count in (threads, 1)]
            contenders[name] = Contender(place / name, *backends)
        parity = compare(load_encoder(LoadRequest(source)), contenders, chosen, threads)
        runs = {name: contender for name, contender in contenders.items() if name != "bf16"}
        speed = speeds(runs, rounds, blocks)
        certified = angles(runs, chosen[:certify], draws, threads) if certify else {}
    show(parity, speed, certified)
    ratios = {kind: speed[kind]["int8"]["over_fp32"]["median"] for kind in speed} if "int8" in speed["wall"] else {}
    met = not ratios or ratios["wall"] >= LEAST
    if ratios:
        console.print(f"int8 over fp32 by the wall: {ratios['wall']:.2f}, target {LEAST}: {verdict(met)}")
    setting = {
        "model": model,
        "sigma": sigma,
        "noise_batch": noise_batch,
        "threads": threads,
        "rounds": rounds,
        "blocks": blocks,
        "photos": limit,
        "certified_photos": certify,
        "draws": draws,
        "alpha": ALPHA,
        "instructions": instructions(),
    }
    gate = {name: {key: getattr(made, key) for key in made.__struct_fields__} for name, made in gates.items()}
    results = {"setting": setting, "draws": parity, "speed": speed, "certified_degrees": certified, "export_gate": gate}
    write_results(f"precision-{model}", results)
    sys.exit(not met)


if __name__ == "__main__":
    main()
