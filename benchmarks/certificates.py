"""How much do the bounds certify? The photo chelsea at sigma 0.1, alpha 0.001, over several seeds.

    python benchmarks/certificates.py --seeds 5

certifies with 512 and 2048 draws, prints the certified cosine at r = sigma/4, sigma/2 and sigma for the bounds gram,
angle-law and fcsb (median, smallest and largest over the seeds), and writes benchmarks/results/certificates.json.
gram and angle-law make their own draws, each with its default pilot; fcsb is evaluated on the draws of angle-law. Exit
code 1 where a median misses its target.
"""

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from common import MODEL, bundle_folder, bundle_option, chelsea, console, verdict, write_results
from rich.table import Table

import fs_runtime

SIGMA = 0.1
ALPHA = 1e-3
DRAWS = (512, 2048)
BOUNDS = ("gram", "angle-law", "fcsb")
RADII = {"sigma/4": 0.25, "sigma/2": 0.5, "sigma": 1.0}


def certified(encoder: fs_runtime.SmoothedEncoder, draws: int, seeds: int) -> list[dict[str, Any]]:
    """Certified cosines of every bound at one number of draws, a list over the seeds for each radius."""
    image = chelsea()
    made: dict[str, list[fs_runtime.FeatureCertificate]] = {
        bound: [encoder.certify(image, draws=draws, alpha=ALPHA, bound=bound, seed=seed) for seed in range(seeds)]  # type: ignore[arg-type]
        for bound in BOUNDS[:2]
    }
    made["fcsb"] = [certificate.baseline() for certificate in made["angle-law"]]
    return [
        {
            "bound": bound,
            "draws": draws,
            "pilot": made[bound][0].pilot,
            "cosine": {name: [each.cosine(part * each.sigma) for each in made[bound]] for name, part in RADII.items()},
        }
        for bound in BOUNDS
    ]


def targets_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stated targets, each with the median reached."""

    def median(bound: str, radius: str) -> float:
        row = next(row for row in rows if row["bound"] == bound and row["draws"] == DRAWS[0])
        return float(np.median(row["cosine"][radius]))

    reached = {
        "gram or angle-law at r = sigma, 512 draws": (0.88, max(median("gram", "sigma"), median("angle-law", "sigma"))),
        "gram at r = sigma/2, 512 draws": (0.96, median("gram", "sigma/2")),
    }
    return [
        {"what": what, "target": target, "median": value, "met": value >= target}
        for what, (target, value) in reached.items()
    ]


def table_of(rows: list[dict[str, Any]]) -> Table:
    """The cosines as a table."""
    table = Table(title=f"Certified cosine, {MODEL}, chelsea, sigma {SIGMA}, alpha {ALPHA}: median (smallest, largest)")
    table.add_column("bound")
    for name in ("draws", *(f"r = {radius}" for radius in RADII)):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{np.median(v):.4f} ({min(v):.4f}, {max(v):.4f})" for v in row["cosine"].values()]
        table.add_row(row["bound"], str(row["draws"]), *cells)
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Certificates of each kind.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@bundle_option
def main(seeds: int, threads: int, bundle: Path | None) -> None:
    """Certify, print, write."""
    with (
        bundle_folder(bundle, sigma=SIGMA, noise_batch=32, threads=threads) as folder,
        fs_runtime.load(folder, threads=threads) as encoder,
    ):
        if encoder.manifest.sigma != SIGMA:
            raise click.UsageError(f"--bundle has sigma {encoder.manifest.sigma}: the targets are for {SIGMA}")
        with console.status("certifying"):
            rows = [row for draws in DRAWS for row in certified(encoder, draws, seeds)]
    targets = targets_of(rows)
    console.print(table_of(rows))
    for target in targets:
        console.print(f"{target['what']}: {target['median']:.4f}, target {target['target']}: {verdict(target['met'])}")
    setting = {"model": MODEL, "photo": "chelsea", "sigma": SIGMA, "alpha": ALPHA, "seeds": seeds}
    write_results("certificates", {"setting": setting, "results": rows, "targets": targets})
    sys.exit(not all(target["met"] for target in targets))


if __name__ == "__main__":
    main()
