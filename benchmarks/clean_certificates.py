"""How near to the bare encoder's feature does a certificate keep the smoothed one, with a booster and without?

    python benchmarks/clean_certificates.py --photos DIR --limit 16 --sigma 0.25 --sigma 0.1 --sigma 0.5

exports EfficientNet-Lite0 without a booster and, at its sigmas, with one, and certifies evenly spaced photos of a
folder (default: scikit-image's four) against the bare encoder's clean feature: ``reference="clean"``, 512 draws, alpha
0.001. It prints the certified cosine at r = sigma/4, sigma/2 and sigma, median and quartiles over the photos, and
writes benchmarks/results/clean_certificates.json. Exit code 1 where the booster's median at sigma/2 is below 0.6 at
sigma 0.25.
"""

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from common import (
    MODEL,
    bundle_folder,
    console,
    options,
    photos,
    photos_option,
    progress_bar,
    quartiles,
    verdict,
    write_results,
)
from rich.table import Table

import fs_runtime
from fs_models.encoders import LoadRequest, load_encoder
from fs_models.gsb import read_checkpoint
from fs_models.gsb.shipped import find_folder
from fs_runtime.rounding import rounded_down

ALPHA, NOISE_BATCH = 1e-3, 32
SHARES = {"sigma/4": 0.25, "sigma/2": 0.5, "sigma": 1.0}
TARGET, TARGET_SIGMA, LEAST_COSINE = "sigma/2", 0.25, 0.6
BARE, BOOSTED = "FS", "FS + GSB"


def certified(bundle: Path, chosen: list[Path], *, draws: int, seed: int, threads: int) -> dict[str, Any]:
    """Certified cosines and robustness scores of the photos."""
    rows = []
    with fs_runtime.load(bundle, threads=threads) as encoder, progress_bar() as bar:
        manifest = encoder.manifest
        system = BARE if manifest.gsb is None else BOOSTED
        task = bar.add_task(system, total=len(chosen))
        for photo in chosen:
            found = encoder.certify(photo, draws=draws, alpha=ALPHA, reference="clean", seed=seed)
            cosines = {name: found.cosine(share * manifest.sigma) for name, share in SHARES.items()}
            rows.append({"photo": photo.name, "score": found.score.estimate, "cosine": cosines})
            bar.advance(task)
    return {
        "system": system,
        "sigma": manifest.sigma,
        "gsb_sha256": None if manifest.gsb is None else manifest.gsb.sha256,
        "score": float(np.mean([row["score"] for row in rows])),
        "cosine": {name: quartiles([row["cosine"][name] for row in rows]) for name in SHARES},
        "photos": rows,
    }


def table_of(systems: list[dict[str, Any]], draws: int) -> Table:
    """Medians and quartiles; a photo of which nothing is certified counts with cosine -1."""
    count = len(systems[0]["photos"])
    table = Table("sigma", "system", "score", *SHARES, title=f"Certified cosine to the clean feature, {count} photos")
    table.caption = f"{draws} draws, alpha {ALPHA:g}; median (quartiles)"
    for system in systems:
        cells = [
            f"{rounded_down(found['median'])} ({rounded_down(found['lower_quartile'], 2)} to "
            f"{rounded_down(found['upper_quartile'], 2)})"
            for found in system["cosine"].values()
        ]
        table.add_row(f"{system['sigma']:g}", system["system"], f"{system['score']:.3f}", *cells)
    return table


@click.command(help=__doc__.splitlines()[0])
@photos_option
@click.option("--limit", type=click.IntRange(min=1), default=24, show_default=True, help="Photos, evenly spaced.")
@click.option("--gsb", default="default", show_default=True, help="A booster's folder, or the one that is shipped.")
@click.option("--sigma", "sigmas", type=float, multiple=True, default=(0.25,), show_default=True)
@click.option("--draws", type=click.IntRange(min=1), default=512, show_default=True, help="Certifying draws.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every photo's noise.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
def main(
    folder: Path | None, limit: int, gsb: str, sigmas: tuple[float, ...], draws: int, seed: int, threads: int
) -> None:
    """Certify, print, write."""
    chosen = photos(folder, limit)
    booster = find_folder(gsb, load_encoder(LoadRequest(MODEL)).spec)
    if booster is None:
        raise click.UsageError("--gsb none leaves nothing to compare with: name a booster's folder")
    fitted = read_checkpoint(booster).config.sigmas
    systems = []
    for sigma in sigmas:
        for name in ("none", str(booster)) if sigma in fitted else ("none",):
            with bundle_folder(None, sigma=sigma, noise_batch=NOISE_BATCH, threads=threads, gsb=name) as bundle:
                systems.append(certified(bundle, chosen, draws=draws, seed=seed, threads=threads))
    console.print(table_of(systems, draws))
    judged = [each for each in systems if (each["system"], each["sigma"]) == (BOOSTED, TARGET_SIGMA)]
    met = all(each["cosine"][TARGET]["median"] >= LEAST_COSINE for each in judged)
    for each in judged:
        median = each["cosine"][TARGET]["median"]
        said = f"{BOOSTED} at {TARGET} of {TARGET_SIGMA:g}: {rounded_down(median)} (>= {LEAST_COSINE:g})"
        console.print(said, verdict(met))
    setting = {"model": MODEL, "alpha": ALPHA, "noise_batch": NOISE_BATCH, "target": LEAST_COSINE}
    write_results("clean_certificates", {"options": options(), "setting": setting, "met": met, "systems": systems})
    sys.exit(not met)


if __name__ == "__main__":
    main()
