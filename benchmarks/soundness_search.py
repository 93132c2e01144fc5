"""Search for the simulated encoders that certificates come closest to breaking on; soundness.py runs them again.

    python benchmarks/soundness_search.py

writes tests/helpers/worst_encoders.json, with the arguments that find each encoder again.
"""

import sys
import time
from pathlib import Path

import click

_ROOT = Path(__file__).resolve().parents[1]
# The simulation is the one that the tests run.
sys.path.insert(0, str(_ROOT / "tests"))

from helpers.adversarial_search import CASES, WORST_ENCODERS, Case, read_worst, search, write_worst  # noqa: E402


@click.command(help=__doc__.splitlines()[0])
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--random", type=click.IntRange(1), default=12, show_default=True, help="Random encoders a case.")
@click.option("--refined", type=click.IntRange(0), default=20, show_default=True, help="Neighbours tried a case.")
@click.option("--runs", type=click.IntRange(2), default=60, show_default=True, help="Certificates an encoder.")
@click.option("--subject", "subjects", multiple=True, help="Search only for these; the file keeps the others.")
def main(seed: int, random: int, refined: int, runs: int, subjects: tuple[str, ...]) -> None:
    """Search for every case in turn."""
    known = {case.subject for case in CASES}
    if unknown := sorted(set(subjects) - known):
        raise click.BadParameter(f"{unknown[0]} is not one of {', '.join(sorted(known))}", param_hint="--subject")
    found = {worst.case: worst for worst in read_worst()} if WORST_ENCODERS.exists() else {}
    for case in CASES:
        if subjects and case.subject not in subjects:
            continue
        begun = time.monotonic()
        found[case] = search(case, seed, random=random, refined=refined, runs=max(2, runs // _cost(case)))
        click.echo(f"{case.name} alpha {case.alpha:g}: {time.monotonic() - begun:.0f} s", err=True)
        write_worst([found[each] for each in CASES if each in found])


def _cost(case: Case) -> int:
    """What the certificates of a case are divided by: solving these laws takes most of the time."""
    return {"gram": 2 if case.looks == 1 else 4, "cone": 2}.get(case.subject, 1)


if __name__ == "__main__":
    main()
