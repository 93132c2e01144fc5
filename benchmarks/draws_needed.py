"""How many draws does a target need? The photos of scikit-image at sigma 0.1, alpha 0.001.

    python benchmarks/draws_needed.py

For the targets (radius, cosine) = (sigma/2, .8), (sigma, .8), (sigma/2, .95) it prints the certifying draws needed by
fcsb with Hoeffding's inequality (computed from the score that was measured), by angle-law and gram with a number fixed
beforehand (the smallest that succeeds, found with the first draws of one seed), and by both when they stop by
themselves; and writes benchmarks/results/draws_needed.json. Exit code 1 where stopping takes more than 1.5 times the
smallest fixed number in the median, or more than a twentieth of fcsb's draws.
"""

import math
import sys
from pathlib import Path
from statistics import NormalDist
from typing import Any

import click
import numpy as np
from common import MODEL, bundle_folder, bundle_option, console, verdict, write_results
from rich.table import Table

import fs_runtime
from fs_runtime import Target
from fs_runtime.certification import CertificationError, smallest_draws

SIGMA = 0.1
ALPHA = 1e-3
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
TARGETS = ((0.5, 0.8), (1.0, 0.8), (0.5, 0.95))
MOST = 4_096
MOST_STOPPING, MOST_SHARE = 1.5, 1.0 / 20.0


def photos() -> list[Path]:
    """The demo's photos, from scikit-image's wheel."""
    import skimage

    return [Path(skimage.__file__).parent / "data" / name for name in PHOTOS]


def hoeffding_draws(score: float, shift: float, cosine: float) -> int | None:
    """Draws with which fcsb proves the cosine for an encoder of this score; None: no number of them does."""
    normal = NormalDist()
    needed = normal.cdf(normal.inv_cdf(0.5 * (1.0 + cosine)) + shift)
    return math.ceil(math.log(1.0 / ALPHA) / (2.0 * (score - needed) ** 2)) if score > needed else None


def fixed_draws(encoder: fs_runtime.SmoothedEncoder, photo: Path, bound: Any, target: Target, most: int) -> int | None:
    """The smallest number, to 3 %, with which the first draws of seed 0 succeed."""

    def proves(draws: int) -> bool:
        try:
            certificate = encoder.certify(photo, draws=draws, alpha=ALPHA, bound=bound, seed=0)
        except CertificationError:
            return False
        return certificate.cosine(target.radius) >= target.cosine

    low, high = smallest_draws(ALPHA, bound) - 1, most
    if not proves(high):
        return None
    while high - low > max(1, 0.03 * high):
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def measured(encoder: fs_runtime.SmoothedEncoder, photo: Path, shift: float, cosine: float) -> dict[str, Any]:
    """One photo and target."""
    target = Target(shift * SIGMA, cosine)
    row: dict[str, Any] = {"photo": photo.name, "shift": shift, "cosine": cosine}
    for bound in ("gram", "angle-law"):
        stopped = encoder.certify(photo, draws=MOST, alpha=ALPHA, bound=bound, until=target, seed=0)  # type: ignore[arg-type]
        proved = stopped.outcome == "proved"
        row[f"{bound} stopping"] = stopped.draws if proved else None
        row[f"{bound} fixed"] = fixed_draws(encoder, photo, bound, target, stopped.draws) if proved else None
        if bound == "gram":
            row["fcsb"] = hoeffding_draws(stopped.score.estimate, shift, cosine)
    return row


def table_of(rows: list[dict[str, Any]]) -> Table:
    """The draws as a table; a dash where nothing succeeds."""
    table = Table(title=f"Draws needed, {MODEL}, sigma {SIGMA}, alpha {ALPHA}")
    columns = ("fcsb", "angle-law fixed", "angle-law stopping", "gram fixed", "gram stopping")
    for name in ("photo", "target"):
        table.add_column(name)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        numbers = ("-" if row[name] is None else f"{row[name]:,}" for name in columns)
        table.add_row(row["photo"], f"{row['cosine']} at {row['shift']} sigma", *numbers)
    return table


def targets_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stated targets, each with what was reached."""
    both = [row for row in rows if row["gram fixed"]]
    stopping = float(np.median([row["gram stopping"] / row["gram fixed"] for row in both]))
    share = max((row["gram stopping"] / row["fcsb"] for row in both if row["fcsb"]), default=math.nan)
    return [
        {
            "what": "gram stopping over smallest fixed, median",
            "value": stopping,
            "target": MOST_STOPPING,
            "met": stopping <= MOST_STOPPING,
        },
        {
            "what": "gram stopping over fcsb, largest where fcsb can",
            "value": share,
            "target": MOST_SHARE,
            "met": share <= MOST_SHARE,
        },
    ]


@click.command(help=__doc__.splitlines()[0])
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@bundle_option
def main(threads: int, bundle: Path | None) -> None:
    """Certify, print, write."""
    with (
        bundle_folder(bundle, sigma=SIGMA, noise_batch=8, threads=threads) as folder,
        fs_runtime.load(folder, threads=threads) as encoder,
        console.status("certifying"),
    ):
        if encoder.manifest.sigma != SIGMA:
            raise click.UsageError(f"--bundle has sigma {encoder.manifest.sigma}: the targets are for {SIGMA}")
        rows = [measured(encoder, photo, *target) for target in TARGETS for photo in photos()]
    targets = targets_of(rows)
    console.print(table_of(rows))
    for target in targets:
        console.print(f"{target['what']}: {target['value']:.3f}, target {target['target']}: {verdict(target['met'])}")
    setting = {"model": MODEL, "sigma": SIGMA, "alpha": ALPHA, "most_draws": MOST, "noise_batch": 8}
    write_results("draws_needed", {"setting": setting, "results": rows, "targets": targets})
    sys.exit(not all(target["met"] for target in targets))


if __name__ == "__main__":
    main()
