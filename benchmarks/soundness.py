"""Do certificates break more often than alpha? Simulated encoders whose smoothed feature is known exactly.

    python benchmarks/soundness.py --runs 400

prints one line for each encoder, bound and number of draws, and writes benchmarks/results/soundness.json. A line fails
where as many violations would have probability below 1e-6 at a failure rate of alpha (docs/theory.md section 10).
"""

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).resolve().parents[1]
# The simulation is the one that the tests run.
sys.path.insert(0, str(_ROOT / "tests"))

from helpers.simulated_encoders import SHIFTS, Violations, count_violations, simulated_encoders  # noqa: E402

PILOT = 64
DRAWS = (32, 256, 1024)
ALPHAS = (0.05, 0.001)
SMALLEST_P_VALUE = 1e-6

Cell = tuple[int, int, float, int, int]
"""Index of the encoder, draws, alpha, runs, seed."""


def simulate(cell: Cell) -> list[Violations]:
    """One encoder, number of draws and alpha; its random stream depends on nothing else."""
    index, draws, alpha, runs, seed = cell
    encoder = list(simulated_encoders(draws, alpha))[index]
    rng = np.random.default_rng([seed, index, draws, round(1.0 / alpha)])
    return count_violations(encoder, rng, draws=draws, pilot=PILOT, alpha=alpha, runs=runs)


def table_of(results: list[Violations]) -> Table:
    """The results as a table."""
    table = Table(title=f"Certificates broken at any of s = {', '.join(f'{shift:g}' for shift in SHIFTS)}")
    for name in ("encoder", "bound"):
        table.add_column(name)
    for name in ("n", "alpha", "runs", "violations", "p-value", "certified at s = .5", "slack (deg)"):
        table.add_column(name, justify="right")
    for row in results:
        failed = row.p_value < SMALLEST_P_VALUE
        table.add_row(
            row.encoder,
            row.bound,
            str(row.draws),
            f"{row.alpha:g}",
            str(row.runs),
            str(row.violations),
            f"{row.p_value:.2g}",
            f"{row.certified:.0%}",
            "-" if math.isnan(row.slack) else f"{math.degrees(row.slack):.1f}",
            style="bold red" if failed else None,
        )
    return table


def report_of(results: list[Violations], seed: int) -> dict[str, object]:
    """The results as JSON."""
    rows = [
        asdict(row) | {"slack": None if math.isnan(row.slack) else row.slack, "p_value": row.p_value} for row in results
    ]
    return {"schema_version": 1, "benchmark": "soundness", "seed": seed, "shifts": SHIFTS, "results": rows}


def main() -> int:
    """Run the simulation; 1 where a bound broke too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="pilots and draws for each encoder, n and alpha")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, default=_ROOT / "benchmarks" / "results" / "soundness.json")
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.jobs < 1:
        parser.error("--runs and --jobs must be at least 1")

    encoders = range(len(list(simulated_encoders(DRAWS[0], ALPHAS[0]))))
    cells = [
        (index, draws, alpha, arguments.runs, arguments.seed)
        for index in encoders
        for alpha in ALPHAS
        for draws in DRAWS
    ]
    # Small matrices: threads of the linear algebra would only get in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    begun = time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = list(chain.from_iterable(pool.map(simulate, cells)))
    took = time.monotonic() - begun

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report_of(results, arguments.seed), indent=1) + "\n", encoding="utf-8")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table_of(results))
    failed = [row for row in results if row.p_value < SMALLEST_P_VALUE]
    console.print(
        f"{sum(row.runs for row in results):,} certificates, {sum(row.violations for row in results):,} violations, "
        f"{len(failed)} of {len(results)} lines too often, {took:.0f} s; {arguments.out}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
