"""Draws per second of the whole graph with a booster, against a session of the bare encoder at the same batch.

    python benchmarks/booster_speed.py --noise-batch 32 --threads 2

measures EfficientNet-Lite0 in ONNX Runtime on the CPU, in interleaved rounds:

(a) bare      the encoder alone (pixels [N,3,H,W] to raw feature), what a user without smoothing would run
(b) FS        the smoothed graph without a booster, on noise that is ready
(c) FS + GSB  the smoothed graph with the booster: noise, purifier, encoder, mapper, unit norm, reductions
(d) certify   encoder.certify on the photo chelsea through the public API, with the booster, pilot included, by
              the bound angle-law, not the default gram (throughput.py measures both, without a booster)

Ratios are paired within a round; the table shows medians. A run is repeated while other processes disturb it. Writes
benchmarks/results/booster_speed.json; exit code 1 where the target is missed (c/a >= 0.5).
"""

import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import click
import numpy as np
from common import MODEL, chelsea, console, quartiles, write_results
from speed_bundle import write_speed_bundle
from throughput import Run, bare_session, judged, print_rates, time_rounds

import fs_export
import fs_runtime
from fs_models.encoders import LoadRequest, load_encoder
from fs_models.gsb import read_checkpoint
from fs_models.gsb.shipped import find_folder
from fs_runtime.backends import Backend, Block, find_backend
from fs_runtime.bundle import read_bundle
from fs_runtime.certificates.settings import whole_batches
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import prepare

ALPHA, PILOT = 1e-3, 32
TARGET = "FS + GSB / bare"
LEAST = 0.5
CERTIFY = "certify angle-law"


def opened(folder: Path, threads: int) -> Backend:
    """A bundle's smoothed graph in ONNX Runtime."""
    bundle = read_bundle(folder)
    return find_backend("onnxruntime")(bundle, bundle.graph("smoothed"), device="cpu", threads=threads)


def runs_of(plain: Path, boosted: Path, threads: int, blocks: int, opening: ExitStack) -> dict[str, tuple[Run, int]]:
    """What is measured, each with its number of draws; ``opening`` closes what runs."""
    manifest = read_bundle(boosted).manifest
    draws, pilot = blocks * manifest.noise_batch, whole_batches(PILOT, manifest)
    pixels = prepare(chelsea(), manifest.preprocess).pixel_values
    shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
    with NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads) as source:
        noise = next(source.blocks(0, Stream.SMOOTH, manifest.noise_batch)).copy()
    noisy = pixels + noise
    block = Block(pixels, noise, np.zeros((1, manifest.dimension), np.float32), np.zeros(len(noise), np.int64))
    session = bare_session(load_encoder(LoadRequest(MODEL)), manifest.noise_batch, threads)
    name = session.get_inputs()[0].name
    encoder = opening.enter_context(fs_runtime.load(boosted, threads=threads))

    def bare() -> None:
        for _ in range(blocks):
            session.run(None, {name: noisy})

    def graph(folder: Path) -> Run:
        backend = opening.enter_context(closing(opened(folder, threads)))

        def run() -> None:
            for _ in range(blocks):
                backend.run(block)

        return run

    def certify() -> None:
        encoder.certify(chelsea(), draws=draws - pilot, alpha=ALPHA, pilot=pilot, bound="angle-law")

    return {
        "bare": (bare, draws),
        "FS": (graph(plain), draws),
        "FS + GSB": (graph(boosted), draws),
        CERTIFY: (certify, draws),
    }


@click.command(help=__doc__.splitlines()[0])
@click.option("--gsb", default="default", show_default=True, help="A booster's folder, or the one that is shipped.")
@click.option("--sigma", type=float, default=0.25, show_default=True)
@click.option("--noise-batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--blocks", type=click.IntRange(min=1), default=8, show_default=True, help="Noise batches in a round.")
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
def main(gsb: str, sigma: float, noise_batch: int, threads: int, blocks: int, rounds: int) -> None:
    """Measure, print, write."""
    if blocks * noise_batch < (least := PILOT + -(-PILOT // noise_batch) * noise_batch):
        raise click.UsageError(f"--blocks times --noise-batch must be {least} or more")
    encoder = load_encoder(LoadRequest(MODEL))
    folder = find_folder(gsb, encoder.spec)
    if folder is None:
        raise click.UsageError("--gsb none: there is no booster to measure")
    checkpoint = read_checkpoint(folder)
    with tempfile.TemporaryDirectory() as place:
        plain, boosted = Path(place) / "plain", Path(place) / "boosted"
        with console.status(f"exporting {MODEL} twice"):
            write_speed_bundle(encoder, plain, noise_batch=noise_batch, precision="fp32", sigma=sigma)
            fs_export.export(
                MODEL, sigma=sigma, noise_batch=noise_batch, output=boosted, threads=threads, gsb=gsb, parity_draws=32
            )
        graphs = {"FS": plain, "FS + GSB": boosted}
        counted = {name: read_bundle(each).graph("smoothed").multiply_adds for name, each in graphs.items()}
        with ExitStack() as opening:
            runs = runs_of(plain, boosted, threads, blocks, opening)
            with console.status("measuring"):
                measured = time_rounds(runs, rounds)
    rates = {name: quartiles([row[name] for row in measured]) for name in runs}
    pairs = [("FS + GSB", "bare"), ("FS", "bare"), (CERTIFY, "bare"), ("FS + GSB", "FS")]
    ratios = {f"{over} / {under}": quartiles([row[over] / row[under] for row in measured]) for over, under in pairs}
    print_rates(measured, rates, ratios, {TARGET: LEAST})
    setting = {
        "model": MODEL,
        "sigma": sigma,
        "noise_batch": noise_batch,
        "threads": threads,
        "blocks": blocks,
        "rounds": rounds,
        "gsb_sha256": checkpoint.sha256,
        "multiply_adds": counted,
    }
    targets = judged(ratios, {TARGET: LEAST})
    results = {"draws_per_second": rates, "ratios": ratios, "targets": targets, "rounds": measured}
    write_results("booster_speed", {"setting": setting, **results})
    sys.exit(not targets[0]["met"])


if __name__ == "__main__":
    main()
