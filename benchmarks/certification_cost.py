"""What certification costs besides the encoder: milliseconds for a radius, for an inverse, for stopping at a target.

    python benchmarks/certification_cost.py

prints two tables and writes benchmarks/results/certification_cost.json. Features are synthetic, of 1280 dimensions,
scattered about one axis as an image encoder's are under noise. Each time is the median over repetitions, with nothing
cached. The second table is of draws that stop at a target: everything that is not the encoder (moments, checks, the
last evidence and its angle), in blocks of 32, as a share of the time of an encoder of 8.4 ms a draw (EfficientNet-Lite0
on two cores), the pilot's draws included and not.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from fs_runtime.certification import (
    AnyTimeEstimator,
    Bound,
    CertifiedCurve,
    Target,
    certify_features,
    reference_of,
    unit_rows,
)
from fs_runtime.certification.laws.chord_law import chord_law
from fs_runtime.certification.laws.cone import cone_angle
from fs_runtime.certification.laws.gram_law import dual_angle

BOUNDS: tuple[Bound, ...] = ("gram", "angle-law", "cone", "fcsb")
DRAWS = (512, 2048)
SHIFTS = (0.1, 0.25, 0.5, 1.0, 1.5)
COSINES = (0.7, 0.9, 0.95)
PILOT, DIMENSIONS, SIGMA, ALPHA = 128, 1280, 0.25, 0.001
TARGETS = ((0.5, 0.8), (1.0, 0.8), (0.5, 0.95), (0.5, 0.99))
BLOCK, MOST, ENCODER_MS = 32, 4096, 8.4


@dataclass(frozen=True)
class Cost:
    """Milliseconds: of one angle (median and most over the shifts), of one radius from a cosine, of the statistics."""

    bound: Bound
    draws: int
    angle_ms: float
    slowest_angle_ms: float
    inverse_ms: float
    statistics_ms: float


@dataclass(frozen=True)
class StoppingCost:
    """Draws until a target is decided, and milliseconds besides the encoder."""

    bound: Bound
    shift: float
    cosine: float
    decided: str
    draws: int
    total_ms: float
    share_of_draws: float
    share_with_pilot: float


def features(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Unit rows about 0.2 radians from one axis, scattered over many directions of unequal weight."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, DIMENSIONS)) * np.geomspace(1.0, 0.02, DIMENSIONS)
    rows *= 0.2 / math.sqrt(float(np.square(rows).sum(axis=1).mean()))
    rows[:, 0] += 1.0
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None], dtype=np.float32)


def milliseconds(action: Callable[[], object], repetitions: int) -> float:
    """Median time of ``action``, with the caches of the laws emptied before each."""
    times = []
    for _ in range(repetitions):
        for cached in (dual_angle, chord_law, cone_angle):
            cached.cache_clear()
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(times)


def cost_of(bound: Bound, draws: int, repetitions: int) -> Cost:
    pilot, drawn = features(PILOT, 1), features(draws, 2)

    def certify() -> CertifiedCurve:
        return certify_features(pilot, drawn, sigma=SIGMA, alpha=ALPHA, bound=bound)

    curve = certify()
    curve.angle(0.0)  # the confidence bounds are computed once
    angles = [milliseconds(lambda s=shift: curve.angle(s * SIGMA), repetitions) for shift in SHIFTS]
    inverses = [milliseconds(lambda c=cosine: curve.radius(c), max(1, repetitions // 4)) for cosine in COSINES]
    return Cost(
        bound=bound,
        draws=draws,
        angle_ms=statistics.median(angles),
        slowest_angle_ms=max(angles),
        inverse_ms=statistics.median(inverses),
        statistics_ms=milliseconds(certify, max(1, repetitions // 4)),
    )


def stopping_cost_of(bound: Bound, shift: float, cosine: float, repetitions: int) -> StoppingCost:
    pilot = unit_rows(features(PILOT, 1), "pilot")
    reference = reference_of(pilot.mean(axis=0))
    drawn = features(MOST, 2)
    blocks = [(block @ reference, block) for block in np.split(drawn, MOST // BLOCK)]
    target = Target(shift * SIGMA, cosine)
    taken: list[tuple[str, int]] = []

    def stop() -> None:
        estimator = AnyTimeEstimator(
            pilot @ reference,
            reference,
            sigma=SIGMA,
            alpha=ALPHA,
            bound=bound,
            target=target,
            draws=MOST,
            pilot_features=pilot,
        )
        for cosines, block in blocks:
            estimator.update(cosines, block)
            if estimator.decided is not None:
                break
        curve = estimator.finish()
        curve.angle(target.radius)
        taken.append((estimator.decided or "-", curve.draws))

    total = milliseconds(stop, repetitions)
    decided, draws = taken[-1]
    return StoppingCost(
        bound=bound,
        shift=shift,
        cosine=cosine,
        decided=decided,
        draws=draws,
        total_ms=total,
        share_of_draws=total / (draws * ENCODER_MS),
        share_with_pilot=total / ((draws + PILOT) * ENCODER_MS),
    )


def stopping_table_of(costs: list[StoppingCost]) -> Table:
    table = Table(title=f"Stopping at a target (blocks of {BLOCK}, {ENCODER_MS} ms a draw, pilot {PILOT})")
    for name in ("bound", "target", "decided"):
        table.add_column(name)
    for name in ("draws", "ms", "of the draws' time", "with the pilot's"):
        table.add_column(name, justify="right")
    for cost in costs:
        target = f"{cost.cosine:g} at {cost.shift:g} sigma"
        shares = (f"{cost.share_of_draws:.1%}", f"{cost.share_with_pilot:.1%}")
        table.add_row(cost.bound, target, cost.decided, str(cost.draws), f"{cost.total_ms:.3g}", *shares)
    return table


def table_of(costs: list[Cost]) -> Table:
    table = Table(title=f"Certification besides the encoder (D = {DIMENSIONS}, milliseconds)")
    table.add_column("bound")
    for name in ("n", "angle(r)", "slowest", "radius(cosine)", "statistics"):
        table.add_column(name, justify="right")
    for cost in costs:
        numbers = (cost.angle_ms, cost.slowest_angle_ms, cost.inverse_ms, cost.statistics_ms)
        table.add_row(cost.bound, str(cost.draws), *(f"{number:.3g}" for number in numbers))
    return table


def rounded(row: dict[str, str | float]) -> dict[str, str | float]:
    """``row`` for JSON."""
    return {key: value if isinstance(value, str) else round(value, 4) for key, value in row.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent / "results" / "certification_cost.json"
    )
    arguments = parser.parse_args()
    if arguments.repetitions < 1:
        parser.error("--repetitions must be at least 1")
    costs = [cost_of(bound, draws, arguments.repetitions) for draws in DRAWS for bound in BOUNDS]
    fewer = max(1, arguments.repetitions // 4)
    stopping = [stopping_cost_of(bound, *target, fewer) for target in TARGETS for bound in ("gram", "angle-law")]
    report = {
        "schema_version": 1,
        "benchmark": "certification_cost",
        "dimensions": DIMENSIONS,
        "pilot": PILOT,
        "alpha": ALPHA,
        "shifts": SHIFTS,
        "cosines": COSINES,
        "repetitions": arguments.repetitions,
        "results": [rounded(asdict(cost)) for cost in costs],
        "stopping": {
            "block": BLOCK,
            "most_draws": MOST,
            "encoder_ms": ENCODER_MS,
            "results": [rounded(asdict(cost)) for cost in stopping],
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table_of(costs))
    console.print(stopping_table_of(stopping))
    return 0


if __name__ == "__main__":
    sys.exit(main())
