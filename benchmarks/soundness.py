"""Do certificates break more often than alpha? Simulated encoders whose smoothed feature is known exactly.

    python benchmarks/soundness.py

certifies by every bound and label kind, with draws fixed beforehand and at the worst place to stop, on families of
encoders and on the worst ones that soundness_search.py found. It prints one line for each encoder, subject and number
of draws, and writes benchmarks/results/soundness.json. A line fails where as many violations would have probability
below 1e-6 at a failure rate of alpha (docs/theory.md section 10); a line with no runs is not printed.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

# Small matrices: threads of the linear algebra would only get in each other's way. Must be set before NumPy loads.
os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})

import click
import numpy as np
from common import RESULTS, ROOT, console, machine
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

# The simulation is the one that the tests run.
sys.path.insert(0, str(ROOT / "tests"))

from helpers.adversarial_search import PILOT, WORST_ENCODERS, read_worst, run_case
from helpers.simulated_certificates import BOUNDS, Violations, count_violations
from helpers.simulated_encoders import SHIFTS, simulated_encoders
from helpers.simulated_labels import LostLabels, count_lost_labels, labelled_encoders
from helpers.verdicts import SMALLEST_P_VALUE, p_value_of

from fs_runtime.certification import Bound
from fs_runtime.certification.prediction import KINDS, Kind

Group = Literal["families", "labels", "worst", "pooled"]


@dataclass(frozen=True)
class Setting:
    """Draws, alpha, looks (1: fixed beforehand), and the share of --runs that it gets, as it takes longer."""

    draws: int
    alpha: float
    looks: int
    share: float


FEATURES = (
    Setting(64, 0.05, 1, 1.0),
    Setting(512, 0.05, 1, 1.0),
    Setting(512, 0.001, 1, 0.5),
    Setting(2_048, 0.05, 1, 0.5),
    Setting(10_000, 0.05, 1, 0.2),
    Setting(1_024, 0.05, 8, 0.3),
    Setting(10_000, 0.05, 6, 0.05),
)
LABELS = (
    Setting(64, 0.05, 1, 0.5),
    Setting(512, 0.05, 1, 0.5),
    Setting(10_000, 0.05, 1, 0.1),
    Setting(1_024, 0.05, 8, 0.2),
)
SOLVE_EVERY = 50
SOLVE_EVERY_WORST = 500


@dataclass(frozen=True)
class Job:
    """One line of the table, or the lines of one encoder that share their draws' settings."""

    group: Group
    index: int
    subject: str
    setting: Setting
    runs: int
    seed: int


@dataclass(frozen=True)
class Line:
    """One line of the table; see helpers.simulated_certificates and helpers.simulated_labels for the counts."""

    group: Group
    encoder: str
    subject: str
    draws: int
    pilot: int
    alpha: float
    looks: int
    runs: int
    violations: int
    failures: int
    solved: int
    solved_violations: int
    certified: float
    closest: float | None
    p_value: float

    @property
    def passed(self) -> bool:
        return self.p_value >= SMALLEST_P_VALUE


def lines_of(job: Job) -> list[Line]:
    """Run a job; its random stream depends on nothing else."""
    setting = job.setting
    rng = np.random.default_rng([job.seed, job.index, setting.draws, round(1.0 / setting.alpha), setting.looks])
    settings = {"draws": setting.draws, "pilot": PILOT, "alpha": setting.alpha, "runs": job.runs}
    if job.group == "worst":
        worst = read_worst()[job.index]
        return [
            _line(
                job,
                worst.case.subject,
                run_case(worst.case, worst.recipe, rng, solve_every=SOLVE_EVERY_WORST, runs=job.runs),
            )
        ]
    if job.group == "labels":
        labelled = labelled_encoders(setting.draws, setting.alpha)[job.index]
        kind: Kind = next(kind for kind in KINDS if kind == job.subject)
        lost = count_lost_labels(labelled, rng, kind=kind, looks=setting.looks, solve_every=SOLVE_EVERY, **settings)
        return [_line(job, f"label-{kind}" if kind == "cone" else kind, lost)]
    encoder = list(simulated_encoders(setting.draws, setting.alpha))[job.index]
    bound: Bound = next(bound for bound in BOUNDS if bound == job.subject)
    counted = count_violations(encoder, rng, bounds=(bound,), looks=setting.looks, solve_every=SOLVE_EVERY, **settings)
    # Every certificate has a score; the cheapest bound's will do.
    return [_line(job, each.bound, each) for each in counted if each.bound != "score" or bound == "fcsb"]


def _line(job: Job, subject: str, counted: Violations | LostLabels) -> Line:
    return Line(
        group=job.group,
        encoder=counted.encoder if isinstance(counted, Violations) else counted.name,
        subject=subject,
        draws=counted.draws,
        pilot=counted.pilot,
        alpha=counted.alpha,
        looks=counted.looks,
        runs=counted.runs,
        violations=counted.violations,
        failures=counted.failures,
        solved=counted.solved,
        solved_violations=counted.solved_violations,
        certified=counted.certified,
        closest=None if math.isnan(counted.closest) else counted.closest,
        p_value=counted.p_value,
    )


def jobs_of(runs: int, worst_runs: int, seed: int) -> list[Job]:
    """All jobs; those of 0 runs are left out, and so are their lines."""
    jobs = []
    for index, worst in enumerate(read_worst()):
        setting = Setting(worst.case.draws, worst.case.alpha, worst.case.looks, 1.0)
        jobs.append(Job("worst", index, worst.case.subject, setting, worst_runs, seed))
    jobs += [
        Job("families", index, bound, setting, math.ceil(runs * setting.share), seed)
        for setting in FEATURES
        for index in range(len(list(simulated_encoders(setting.draws, setting.alpha))))
        for bound in BOUNDS
    ]
    jobs += [
        Job("labels", index, kind, setting, math.ceil(runs * setting.share), seed)
        for setting in LABELS
        for index in range(len(labelled_encoders(setting.draws, setting.alpha)))
        for kind in KINDS
    ]
    return [job for job in jobs if job.runs > 0]


def pooled(lines: list[Line]) -> list[Line]:
    """One line for each subject and alpha: violations that are too few to show in one encoder add up."""
    keys = sorted({(line.subject, line.alpha, line.looks > 1) for line in lines})
    return [_sum([line for line in lines if (line.subject, line.alpha, line.looks > 1) == key]) for key in keys]


def _sum(lines: list[Line]) -> Line:
    runs, solved = sum(line.runs for line in lines), sum(line.solved for line in lines)
    violations, among_solved = sum(line.violations for line in lines), sum(line.solved_violations for line in lines)
    failures, alpha = sum(line.failures for line in lines), lines[0].alpha
    counts = ((violations, runs), (failures, runs), (among_solved, solved))
    return replace(
        lines[0],
        group="pooled",
        encoder=f"all {len(lines)}",
        draws=max(line.draws for line in lines),
        looks=max(line.looks for line in lines),
        runs=runs,
        violations=violations,
        failures=failures,
        solved=solved,
        solved_violations=among_solved,
        certified=sum(line.certified * line.solved for line in lines) / solved,
        closest=None,
        p_value=min(p_value_of(count, of, alpha) for count, of in counts),
    )


def table_of(lines: list[Line]) -> Table:
    """The lines as a table."""
    table = Table(title=f"Certificates broken at any of s = {', '.join(f'{shift:g}' for shift in SHIFTS)}")
    for name in ("encoder", "subject"):
        table.add_column(name)
    for name in ("n", "looks", "alpha", "runs", "solved", "violations", "bounds failed", "p-value", "certified"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.encoder,
            line.subject,
            str(line.draws),
            str(line.looks),
            f"{line.alpha:g}",
            str(line.runs),
            str(line.solved),
            str(line.violations),
            str(line.failures),
            f"{line.p_value:.2g}",
            f"{line.certified:.0%}",
            style=None if line.passed else "bold red",
        )
    return table


def write(out: Path, lines: list[Line], facts: dict[str, object]) -> None:
    """Write the lines so far, and those that pool them, as JSON."""
    every = [*lines, *pooled(lines)]
    counts = {
        "certificates": _certificates(lines),
        "violations": sum(line.violations for line in lines),
        "failed_lines": sum(not line.passed for line in every),
    }
    results = [asdict(line) | {"passed": line.passed} for line in every]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps({**facts, **counts, "results": results}, indent=1) + "\n", encoding="utf-8")
    partial.replace(out)


def _certificates(lines: list[Line]) -> int:
    # A score is the interval of a certificate that has a line of its own.
    return sum(
        line.runs
        for line in lines
        if line.group != "pooled" and not (line.group == "families" and line.subject == "score")
    )


def finished(jobs: list[Job], processes: int) -> Iterator[list[Line]]:
    """The lines of each job, in order; in this process where one is enough."""
    if processes == 1:
        yield from map(lines_of, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(lines_of, jobs)


@click.command(help=__doc__.splitlines()[0])
@click.option("--runs", type=click.IntRange(0), default=100, show_default=True, help="Certificates a line, families.")
@click.option("--worst-runs", type=click.IntRange(0), default=10_000, show_default=True, help="The same, worst cases.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--jobs", "processes", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=RESULTS / "soundness.json")
def main(runs: int, worst_runs: int, seed: int, processes: int, out: Path) -> None:
    """Run the simulation; exit with 1 where a bound broke too often."""
    begun = time.monotonic()
    jobs = jobs_of(runs, worst_runs, seed)
    lines: list[Line] = []
    done = 0
    facts: dict[str, object] = {
        "schema_version": 2,
        "benchmark": "soundness",
        "command": f"python benchmarks/soundness.py --runs {runs} --worst-runs {worst_runs} --seed {seed}",
        "machine": machine(),
        "processes": processes,
        "shifts": SHIFTS,
        "worst_encoders": str(WORST_ENCODERS.relative_to(ROOT)),
        "jobs": len(jobs),
    }
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("lines", total=len(jobs))
        for job, found in zip(jobs, finished(jobs, processes), strict=True):
            lines.extend(found)
            done += 1
            # After every job, so that a run that is cut short leaves what was run, and says so.
            write(out, lines, {**facts, "jobs_done": done, "seconds": round(time.monotonic() - begun)})
            progress.update(task, advance=1, description=f"{job.group} {found[0].encoder} {job.subject}")
    took = time.monotonic() - begun
    lines += pooled(lines)
    failed = [line for line in lines if not line.passed]
    wide = console if sys.stdout.isatty() else Console(width=150)
    wide.print(table_of(lines))
    wide.print(
        f"{_certificates(lines):,} certificates, {len(failed)} of {len(lines)} lines too often, {took:.0f} s; {out}"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
