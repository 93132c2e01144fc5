"""How far do certificates reach on natural photos? Certified angles of EfficientNet-Lite0, alpha 0.001.

    python benchmarks/natural_photos.py --photos DIR --limit 24

certifies photos, evenly spaced among those of the folder (default: scikit-image's four), at sigma 0.25 and 0.1 with 512
and 2,048 draws, both numbers fixed beforehand: 512 draws and their pilot are the first of the 2,048 and of theirs, so
that one pass of the graph serves both. It prints the certified angle in degrees at r = sigma/4, sigma/2 and sigma for
the bound gram, median and quartiles over the photos, the medians of angle-law and fcsb from the same draws, and the
floor that no certificate can go below; and writes benchmarks/results/natural_photos.json. Exit code 1 where a median
of gram misses its target.
"""

import math
import sys
from pathlib import Path
from typing import Any

import click
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
from drawn import Drawn, FeatureSource, keep_option
from rich.progress import Progress
from rich.table import Table

from fs_runtime.bundle import read_bundle
from fs_runtime.certification import Bound, certify_features
from fs_runtime.certification.floor import floor_angle

SIGMAS = (0.25, 0.1)
ALPHA = 1e-3
PILOTS = {512: 128, 2_048: 256}
"""Pilot draws by certifying draws: what ``encoder.certify`` takes by default for gram."""
BOUNDS: tuple[Bound, ...] = ("gram", "angle-law", "fcsb")
RADII = {"sigma/4": 0.25, "sigma/2": 0.5, "sigma": 1.0}
MOST_DEGREES = {
    (0.25, 512, "sigma/2"): 15.0,
    (0.25, 2_048, "sigma/2"): 9.5,
    (0.25, 2_048, "sigma"): 20.0,
    (0.1, 512, "sigma/2"): 8.5,
    (0.1, 2_048, "sigma/2"): 5.0,
    (0.1, 2_048, "sigma"): 10.0,
}


def degrees_of(drawn: Drawn, sigma: float, draws: int) -> dict[str, dict[str, float]]:
    """Certified degrees of one photo from its first ``draws`` draws, by bound and radius; 180 where vacuous."""
    found: dict[str, dict[str, float]] = {}
    for bound in BOUNDS:
        pilot = drawn.pilot[: PILOTS[draws]]
        curve = certify_features(pilot, drawn.features[:draws], sigma=sigma, alpha=ALPHA, bound=bound)
        found[bound] = {name: math.degrees(curve.angle(part * sigma + drawn.grid_cost)) for name, part in RADII.items()}
    return found


def measured(source: FeatureSource, chosen: list[Path], seed: int, bar: Progress) -> list[dict[str, Any]]:
    """A row for every photo and number of draws."""
    rows = []
    sigma = source.manifest.sigma
    task = bar.add_task(f"draws at sigma {sigma}", total=(max(PILOTS.values()) + max(PILOTS)) * len(chosen))
    for number, photo in enumerate(chosen):
        drawn = source.draw(
            source.prepared(photo),
            pilot=max(PILOTS.values()),
            draws=max(PILOTS),
            seed=seed,
            progress=lambda done, total, number=number: bar.update(task, completed=number * total + done),  # type: ignore[misc]
        )
        rows += [
            {"photo": photo.name, "sigma": sigma, "draws": draws, "degrees": degrees_of(drawn, sigma, draws)}
            for draws in PILOTS
        ]
    return rows


def summary_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Quartiles over the photos, the floor and the target, for every sigma, number of draws and radius."""
    summary = []
    for sigma in SIGMAS:
        for draws in PILOTS:
            of_both = [row["degrees"] for row in rows if (row["sigma"], row["draws"]) == (sigma, draws)]
            for radius, part in RADII.items():
                row: dict[str, Any] = {"sigma": sigma, "draws": draws, "radius": radius}
                for bound in BOUNDS:
                    row[bound] = quartiles([degrees[bound][radius] for degrees in of_both])
                row["floor"] = math.degrees(floor_angle(draws, ALPHA, part))
                row["target"] = target = MOST_DEGREES.get((sigma, draws, radius))
                row["met"] = None if target is None else row["gram"]["median"] <= target
                summary.append(row)
    return summary


def table_of(summary: list[dict[str, Any]], photos: int) -> Table:
    """The summary as a table; a dash where the median certifies nothing."""
    table = Table(title=f"Certified degrees, {MODEL}, {photos} photos, alpha {ALPHA}: medians, quartiles of gram")
    for name in ("sigma", "draws", "r", "gram", "quartiles", "angle-law", "fcsb", "floor", "target"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in summary:
        gram = row["gram"]
        target = ("", "") if row["target"] is None else (f"<= {row['target']:g}", verdict(row["met"]))
        table.add_row(
            f"{row['sigma']:g}",
            f"{row['draws']:,}",
            row["radius"],
            _cell(gram["median"]),
            f"{_cell(gram['lower_quartile'])} to {_cell(gram['upper_quartile'])}",
            _cell(row["angle-law"]["median"]),
            _cell(row["fcsb"]["median"]),
            _cell(row["floor"]),
            *target,
        )
    return table


def _cell(degrees: float) -> str:
    return f"{degrees:.2f}" if degrees < 180.0 else "-"


@click.command(help=__doc__.splitlines()[0])
@photos_option
@click.option("--limit", type=click.IntRange(min=1), default=24, show_default=True, help="Photos, evenly spaced.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every photo's noise.")
@keep_option
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option(
    "--bundle",
    "bundles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Bundle to measure at its sigma, 0.25 or 0.1; may be given twice; default: exported into a temporary folder.",
)
def main(
    folder: Path | None, limit: int, seed: int, keep: Path | None, threads: int, bundles: tuple[Path, ...]
) -> None:
    """Certify, print, write."""
    chosen = photos(folder, limit)
    given = {read_bundle(bundle).manifest.sigma: bundle for bundle in bundles}
    if len(given) < len(bundles) or not set(given) <= set(SIGMAS):
        raise click.UsageError(f"--bundle takes one bundle a sigma, of {SIGMAS[0]} and {SIGMAS[1]}")
    rows = []
    for sigma in SIGMAS:
        with (
            bundle_folder(given.get(sigma), sigma=sigma, noise_batch=32, threads=threads) as bundle,
            FeatureSource(bundle, threads=threads, keep=keep) as source,
            progress_bar() as bar,
        ):
            rows += measured(source, chosen, seed, bar)
    summary = summary_of(rows)
    console.print(table_of(summary, len(chosen)))
    setting = {
        "model": MODEL,
        "alpha": ALPHA,
        "pilots": list(PILOTS.values()),
        "photos": [photo.name for photo in chosen],
    }
    write_results("natural_photos", {"options": options(), "setting": setting, "summary": summary, "results": rows})
    sys.exit(not all(row["met"] is not False for row in summary))


if __name__ == "__main__":
    main()
