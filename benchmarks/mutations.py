"""A long sweep over damaged bundles and images: any crash, hang or untyped error is a fault.

    python benchmarks/mutations.py --cases 10000

Writes benchmarks/results/mutations.json. The tests run a shorter sweep of the same code.
"""

import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))


@click.command()
@click.option("--cases", default=10_000, show_default=True)
@click.option("--seed", default=2, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results" / "mutations.json")
def main(cases: int, seed: int, workers: int, out: Path) -> None:
    """Run the sweep, print a table, write JSON."""
    from helpers.mutations import run_mutations

    start = time.perf_counter()
    outcomes = run_mutations(cases, seed, workers=workers)
    table = Table(title=f"{cases} damaged files, seed {seed}, {time.perf_counter() - start:.0f} s")
    table.add_column("kind and outcome")
    table.add_column("cases", justify="right")
    for name, count in sorted(outcomes.counts.items()):
        table.add_row(name, str(count))
    Console().print(table)
    for fault in outcomes.faults:
        click.echo(fault)
    command = f"python benchmarks/mutations.py --cases {cases} --seed {seed}"
    result = {"command": command, "counts": dict(sorted(outcomes.counts.items())), "faults": outcomes.faults}
    out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    sys.exit(1 if outcomes.faults else 0)


if __name__ == "__main__":
    main()
