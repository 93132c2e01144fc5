"""How many draws does a target need, and how far do labels reach? EfficientNet-Lite0, sigma 0.1, alpha 0.001.

    python benchmarks/draws_needed.py

makes 10,000 draws of each photo (default: scikit-image's four) besides a pilot of 128, and evaluates everything on
them. First table: the certifying draws that the targets (radius, cosine) = (sigma/2, .8), (sigma, .8), (sigma/2, .95)
need

- by fcsb with Hoeffding's inequality, computed from the score that the draws show,
- by fcsb with a lower bound of the score that adapts to its variance: how many draws until it suffices,
- by angle-law and gram with a number fixed beforehand: the smallest that succeeds, to 3 %,
- by angle-law and gram when they stop by themselves.

Second table: the certified radius, in sigma, of the photo's ImageNet label with 1,000 and 10,000 draws by vote with
Clopper-Pearson, margin, and cone (from gram), each at its own alpha. Writes benchmarks/results/draws_needed.json. Exit
code 1 where stopping takes more than 1.5 times the smallest fixed number in the median, or more than a twentieth of the
draws of fcsb with Hoeffding wherever both succeed.
"""

import math
import sys
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import click
from common import (
    MODEL,
    bundle_folder,
    bundle_option,
    console,
    options,
    photos,
    photos_option,
    progress_bar,
    verdict,
    write_results,
)
from drawn import Drawn, FeatureSource, keep_option
from rich.table import Table

from fs_runtime.bundle.prototypes import Prototypes, read_prototypes
from fs_runtime.certification import (
    AnyTimeEstimator,
    Bound,
    CertificationError,
    Target,
    certify_features,
    reference_of,
    smallest_draws,
)
from fs_runtime.certification.confidence.score import ScoreSequence
from fs_runtime.certification.laws.tails import COSINE_SLACK
from fs_runtime.certification.prediction import LabelCone, PredictionEstimator, Rivals, best_labels

SIGMA = 0.1
ALPHA = 1e-3
PILOT = 128
BLOCK = 8
"""Stopping is asked after as many draws, as with a bundle of this noise batch."""
TARGETS = ((0.5, 0.8), (1.0, 0.8), (0.5, 0.95))
LABEL_DRAWS = (1_000, 10_000)
KINDS = ("vote", "margin", "cone")
STOPPING: tuple[Bound, ...] = ("angle-law", "gram")
COLUMNS = (
    "fcsb Hoeffding",
    "fcsb adaptive",
    "angle-law fixed",
    "angle-law stopping",
    "gram fixed",
    "gram stopping",
)
MOST_STOPPING, MOST_SHARE = 1.5, 1.0 / 20.0


def needed_score(shift: float, cosine: float) -> float:
    """The robustness score from which fcsb proves the cosine at the shift."""
    normal = NormalDist()
    return normal.cdf(normal.inv_cdf(0.5 * (1.0 + cosine)) + shift)


def hoeffding_draws(score: float, shift: float, cosine: float) -> int | None:
    """Draws with which fcsb proves the cosine for an encoder of this score; None: no number of them does."""
    room = score - needed_score(shift, cosine)
    return math.ceil(math.log(1.0 / ALPHA) / (2.0 * room**2)) if room > 0.0 else None


def adaptive_draws(drawn: Drawn, shift: float, cosine: float) -> int | None:
    """Draws after which the score's confidence sequence has reached what fcsb needs; None: not within those made."""
    reference = reference_of(drawn.pilot.mean(axis=0))
    cosines = drawn.features @ reference
    sequence = ScoreSequence(drawn.pilot @ reference, ALPHA, None)
    needed = needed_score(shift, cosine) + 0.5 * COSINE_SLACK
    for first in range(0, len(cosines), BLOCK):
        sequence.update(cosines[first : first + BLOCK])
        if sequence.lower(ALPHA) >= needed:
            return sequence.draws
    return None


def stopping_draws(drawn: Drawn, bound: Bound, target: Target) -> int | None:
    """Draws at which a certificate stops because the target is proved; None: not within those made."""
    reference = reference_of(drawn.pilot.mean(axis=0))
    estimator = AnyTimeEstimator(
        drawn.pilot @ reference,
        reference,
        sigma=SIGMA,
        alpha=ALPHA,
        bound=bound,
        target=target,
        draws=len(drawn.features),
        pilot_features=drawn.pilot,
    )
    for first in range(0, len(drawn.features), BLOCK):
        rows = drawn.features[first : first + BLOCK]
        estimator.update(rows @ reference, rows)
        if estimator.decided is not None:
            break
    return estimator.finish().draws if estimator.decided == "proved" else None


def fixed_draws(drawn: Drawn, bound: Bound, target: Target, most: int) -> int | None:
    """The smallest number, to 3 %, of first draws that succeed; None: ``most`` do not."""

    def proves(draws: int) -> bool:
        try:
            curve = certify_features(drawn.pilot, drawn.features[:draws], sigma=SIGMA, alpha=ALPHA, bound=bound)
        except CertificationError:
            return False
        return curve.angle(target.radius) <= target.angle

    low, high = smallest_draws(ALPHA, bound) - 1, most
    if not proves(high):
        return None
    while high - low > max(1, 0.03 * high):
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def draws_of(drawn: Drawn, shift: float, cosine: float) -> dict[str, int | None]:
    """The draws that one photo's target needs, by column."""
    target = Target(shift * SIGMA + drawn.grid_cost, cosine)
    score = 0.5 * (1.0 + float((drawn.features @ reference_of(drawn.pilot.mean(axis=0))).mean()))
    on_grid = target.radius / SIGMA
    row = {
        "fcsb Hoeffding": hoeffding_draws(score, on_grid, cosine),
        "fcsb adaptive": adaptive_draws(drawn, on_grid, cosine),
    }
    for bound in STOPPING:
        stopped = stopping_draws(drawn, bound, target)
        row[f"{bound} fixed"] = fixed_draws(drawn, bound, target, stopped or len(drawn.features))
        row[f"{bound} stopping"] = stopped
    return row


def labels_of(drawn: Drawn, prototypes: Prototypes, draws: int) -> dict[str, Any]:
    """Radii in sigma within which one photo's label is certified from its first draws, each kind at its own alpha."""
    features = drawn.features[:draws]
    estimator = PredictionEstimator(drawn.pilot, prototypes.vectors, sigma=SIGMA, alpha=ALPHA, draws=draws)
    estimator.update(features)
    claims = {claim.kind: claim for claim in estimator.finish()}
    shifts: dict[str, float] = {kind: claim.evidence.shift() for kind, claim in claims.items()}
    reference = reference_of(drawn.pilot.mean(axis=0))
    rivals = Rivals(prototypes.vectors, best_labels(reference, prototypes.vectors))
    cone = LabelCone(rivals.nearest(reference).margin)
    curve = certify_features(drawn.pilot, features, sigma=SIGMA, alpha=ALPHA, bound="gram")
    shifts["cone"] = cone.radius(curve) / SIGMA
    members: dict[str, tuple[int, ...]] = {"cone": rivals.members} | {
        kind: claim.members for kind, claim in claims.items()
    }
    return {
        "draws": draws,
        "labels": {kind: prototypes.labels[members[kind][0]] for kind in KINDS},
        "radii": {kind: max(0.0, shifts[kind] - drawn.grid_cost / SIGMA) for kind in KINDS},
    }


def draws_table(rows: list[dict[str, Any]], most: int) -> Table:
    """The draws as a table; a dash where no number of draws succeeds, ``>`` where none that was made does."""
    table = Table(title=f"Draws needed, {MODEL}, sigma {SIGMA}, alpha {ALPHA}, pilot {PILOT}")
    table.add_column("photo")
    table.add_column("target", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for row in rows:
        missing = {"fcsb Hoeffding": "-"}
        numbers = (missing.get(name, f"> {most:,}") if row[name] is None else f"{row[name]:,}" for name in COLUMNS)
        table.add_row(row["photo"], f"{row['cosine']} at {row['shift']} sigma", *numbers)
    return table


def labels_table(rows: list[dict[str, Any]]) -> Table:
    """The labels' radii as a table."""
    table = Table(title=f"Certified radius of the label in sigma, {MODEL}, sigma {SIGMA}, alpha {ALPHA} for each kind")
    for name in ("photo", "label of the smoothed feature", "of the vote"):
        table.add_column(name)
    for name in ("draws", *KINDS):
        table.add_column(name, justify="right")
    for row in rows:
        labels = row["labels"]
        radii = (f"{row['radii'][kind]:.3f}" for kind in KINDS)
        table.add_row(row["photo"], labels["margin"], labels["vote"], f"{row['draws']:,}", *radii)
    return table


def targets_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stated targets, each with what was reached; no value where there is nothing to compare."""
    targets = []
    for bound in reversed(STOPPING):
        fixed, stopping = f"{bound} fixed", f"{bound} stopping"
        ratios = [(row[stopping] or math.inf) / row[fixed] for row in rows if row[fixed]]
        shares = [row[stopping] / row["fcsb Hoeffding"] for row in rows if row[stopping] and row["fcsb Hoeffding"]]
        comparisons = (
            ("smallest fixed, median", median(ratios or [math.inf]), MOST_STOPPING),
            ("fcsb Hoeffding, largest where both can", max(shares, default=math.inf), MOST_SHARE),
        )
        for over, value, most in comparisons:
            what = f"{bound} stopping over {over}"
            reached = value if math.isfinite(value) else None
            targets.append({"what": what, "value": reached, "target": most, "met": value <= most})
    return targets


@click.command(help=__doc__.splitlines()[0])
@photos_option
@click.option("--limit", type=click.IntRange(min=1), default=8, show_default=True, help="Photos, evenly spaced.")
@click.option("--draws", type=click.IntRange(min=1_000), default=10_000, show_default=True, help="Draws of each photo.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every photo's noise.")
@keep_option
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@bundle_option
def main(
    folder: Path | None, limit: int, draws: int, seed: int, keep: Path | None, threads: int, bundle: Path | None
) -> None:
    """Draw, certify, print, write."""
    chosen = photos(folder, limit)
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    with (
        bundle_folder(bundle, sigma=SIGMA, noise_batch=32, threads=threads) as opened,
        FeatureSource(opened, threads=threads, keep=keep) as source,
        progress_bar() as bar,
    ):
        if source.manifest.sigma != SIGMA:
            raise click.UsageError(f"--bundle has sigma {source.manifest.sigma}: the targets are for {SIGMA}")
        prototypes = read_prototypes("imagenet", source.bundle)
        task = bar.add_task("draws", total=(PILOT + draws) * len(chosen))
        for number, photo in enumerate(chosen):
            drawn = source.draw(
                source.prepared(photo),
                pilot=PILOT,
                draws=draws,
                seed=seed,
                progress=lambda done, total, number=number: bar.update(task, completed=number * total + done),  # type: ignore[misc]
            )
            for shift, cosine in TARGETS:
                rows.append({"photo": photo.name, "shift": shift, "cosine": cosine, **draws_of(drawn, shift, cosine)})
            labels += [{"photo": photo.name} | labels_of(drawn, prototypes, n) for n in LABEL_DRAWS if n <= draws]
    rows.sort(key=lambda row: TARGETS.index((row["shift"], row["cosine"])))
    targets = targets_of(rows)
    console.print(draws_table(rows, draws))
    console.print(labels_table(labels))
    for target in targets:
        reached = "nothing to compare" if target["value"] is None else f"{target['value']:.3f}"
        console.print(f"{target['what']}: {reached}, target {target['target']}: {verdict(target['met'])}")
    setting = {
        "model": MODEL,
        "sigma": SIGMA,
        "alpha": ALPHA,
        "pilot": PILOT,
        "block": BLOCK,
        "photos": [photo.name for photo in chosen],
    }
    results = {"results": rows, "labels": labels, "targets": targets}
    write_results("draws_needed", {"options": options(), "setting": setting, **results})
    sys.exit(not all(target["met"] for target in targets))


if __name__ == "__main__":
    main()
