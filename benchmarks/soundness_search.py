"""Search for the simulated encoders that certificates come closest to breaking on; soundness.py runs them again.

    python benchmarks/soundness_search.py

writes tests/helpers/worst_encoders.json, the same file for the same options.
"""

import sys
import time
from pathlib import Path

import click

_ROOT = Path(__file__).resolve().parents[1]
# The simulation is the one that the tests run.
sys.path.insert(0, str(_ROOT / "tests"))

from helpers.adversarial_search import CASES, WORST_ENCODERS, Case, Worst, search, write_worst  # noqa: E402


@click.command(help=__doc__.splitlines()[0])
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--random", type=click.IntRange(1), default=20, show_default=True, help="Random encoders a case.")
@click.option("--refined", type=click.IntRange(0), default=30, show_default=True, help="Neighbours tried a case.")
@click.option("--runs", type=click.IntRange(2), default=48, show_default=True, help="Certificates an encoder.")
@click.option("--out", type=click.Path(path_type=Path), default=WORST_ENCODERS, help="File to write.")
def main(seed: int, random: int, refined: int, runs: int, out: Path) -> None:
    """Search for every case in turn."""
    command = f"python benchmarks/soundness_search.py --seed {seed} --random {random} --refined {refined} --runs {runs}"
    found: list[Worst] = []
    for case in CASES:
        begun = time.monotonic()
        found.append(search(case, seed, random=random, refined=refined, runs=max(2, runs // _cost(case))))
        click.echo(f"{case.name} alpha {case.alpha:g}: {time.monotonic() - begun:.0f} s", err=True)
        write_worst(found, command, out)


def _cost(case: Case) -> int:
    """What the certificates of a case are divided by: solving these laws takes most of the time."""
    return {"gram": 2 if case.looks == 1 else 4, "cone": 2}.get(case.subject, 1)


if __name__ == "__main__":
    main()
