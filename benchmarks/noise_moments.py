"""Is the noise normal, and free of bias in its lowest bits, over 10^8 values? And how far from the CPU's is it?

    python benchmarks/noise_moments.py --path host

PATH is ``cpu`` (what certificates use on the CPU), ``host`` (the GPU's kernel compiled for this processor, which
computes the same bits) or ``device`` (the kernel on the first GPU). For each sigma it measures moments, the counts
beyond 2 to 6 sigma on each side, and k mod 2 and mod 4 by ranges of |k|, where noise is k grid steps; then the share of
values that differ from the CPU's own noise and from Box-Muller in float64, and by how much at most; and the time that a
draw takes, left where it was made. It writes benchmarks/results/noise_moments-PATH.json and exits with 1 where a check
fails that healthy noise fails with probability 6e-7, or where a value is more than a step away.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import click
import numpy as np
import numpy.typing as npt
from common import ROOT, console, options, progress_bar, verdict, write_results
from rich.table import Table

# The checks are those that the tests run.
sys.path.insert(0, str(ROOT / "tests"))

from helpers.device_draws import DeviceDraws, device_context
from helpers.grid_noise_host import HostNoise
from helpers.noise_statistics import RARE, NoiseStatistics

from fs_runtime.cuda_driver import ask_driver
from fs_runtime.grid import GRID_STEP
from fs_runtime.noise import DrawKey, GridNoise, Stream

Path = Literal["cpu", "host", "device"]
Rows = npt.NDArray[np.float32]

SIGMAS = (0.01, 0.1, 0.25, 0.5, 1.0, 2.0)
SIZE = 3 * 224 * 224
BATCH = 32
TIMED = 20
SEED = 1 << 100
MOST_SCORE = 5.0


@dataclass(frozen=True)
class Difference:
    """From other noise of the same draws: the share of values that differ, their mean, and the most, in grid steps."""

    values: int
    share: float
    mean: float
    most: int


@dataclass(frozen=True)
class Result:
    """Of one sigma; moments in standard deviations from the normal ones, the rest p-values."""

    sigma: float
    values: int
    moments: dict[str, float]
    tails: dict[str, float]
    parity: dict[str, float]
    mod_4: dict[str, float]
    from_cpu: Difference
    from_float64: Difference
    microseconds_a_draw: float

    @property
    def fine(self) -> bool:
        p_values = (*self.tails.values(), *self.parity.values(), *self.mod_4.values())
        near = self.from_cpu.most <= 1 and self.from_float64.most <= 1
        return near and all(abs(z) < MOST_SCORE for z in self.moments.values()) and min(p_values) > RARE


@dataclass(frozen=True)
class Source:
    """Makes draws: ``rows`` gives them, ``make`` leaves them where they were made, several times over."""

    rows: Callable[[Sequence[DrawKey]], Rows]
    make: Callable[[Sequence[DrawKey], int], None]


@contextmanager
def source(path: Path, sigma: float) -> Iterator[Source]:
    """What makes up to BATCH draws."""
    if path == "device":
        with device_context() as driver, DeviceDraws(driver, sigma, SIZE, BATCH) as device:
            yield Source(device.rows, device.make)
        return
    noise = GridNoise(sigma, SIZE) if path == "cpu" else HostNoise(sigma, SIZE)

    def make(keys: Sequence[DrawKey], times: int) -> None:
        for _ in range(times):
            filled(noise, keys)

    yield Source(lambda keys: filled(noise, keys), make)


def filled(noise: GridNoise | HostNoise, keys: Sequence[DrawKey]) -> Rows:
    rows = np.empty((len(keys), SIZE), np.float32)
    for row, key in zip(rows, keys, strict=True):
        noise.fill(row, *key)
    return rows


def in_steps(rows: Rows) -> npt.NDArray[np.int32]:
    steps = rows * np.float32(1.0 / GRID_STEP)  # exact: a power of two
    whole = steps.astype(np.int32)
    assert np.array_equal(whole, steps)
    return whole


def difference(made: Rows, other: Rows) -> Difference:
    gap = in_steps(made).astype(np.int64) - in_steps(other)
    return Difference(gap.size, float((gap != 0).mean()), float(gap.mean()), int(np.abs(gap).max()))


def measured(path: Path, sigma: float, draws: int, compared: int, advance: Callable[[int], None]) -> Result:
    statistics, seed = NoiseStatistics(sigma), SEED + round(sigma / GRID_STEP)  # fresh noise for each sigma
    with source(path, sigma) as noise:
        for first in range(0, draws, BATCH):
            keys = [DrawKey(seed, Stream.CERTIFY, draw) for draw in range(first, min(first + BATCH, draws))]
            for row in noise.rows(keys):
                statistics.add(in_steps(row))
            advance(len(keys))
        keys = [DrawKey(seed, Stream.CERTIFY, draw) for draw in range(compared)]
        made = noise.rows(keys).copy()
        start = time.perf_counter()
        noise.make(keys, TIMED if path == "device" else 1)
        seconds = (time.perf_counter() - start) / (TIMED if path == "device" else 1)
    return Result(
        sigma=sigma,
        values=statistics.values,
        moments=statistics.moment_scores(),
        tails=statistics.tail_p_values(),
        parity=statistics.residue_p_values(2),
        mod_4=statistics.residue_p_values(4),
        from_cpu=difference(made, filled(GridNoise(sigma, SIZE), keys)),
        from_float64=difference(made, filled(GridNoise(sigma, SIZE, np.float64), keys)),
        microseconds_a_draw=1e6 * seconds / len(keys),
    )


def shown(path: Path, results: list[Result]) -> Table:
    table = Table(title=f"{results[0].values:,} values a row, path {path}", title_justify="left")
    columns = (
        "largest |z| of moments",
        "least p: tails",
        "parity",
        "mod 4",
        "differ from CPU",
        "from float64",
        "us a draw",
    )
    for name in ("sigma", *columns, ""):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(
            f"{result.sigma:g}",
            f"{max(map(abs, result.moments.values())):.2f}",
            *(f"{min(p.values()):.1e}" for p in (result.tails, result.parity, result.mod_4)),
            *(f"{100 * each.share:.4f} %" for each in (result.from_cpu, result.from_float64)),
            f"{result.microseconds_a_draw:.1f}",
            verdict(result.fine),
        )
    return table


@click.command()
@click.option("--path", type=click.Choice(("cpu", "host", "device")), default="host", show_default=True)
@click.option("--values", type=click.IntRange(1), default=10**8, show_default=True, help="Values for each sigma.")
@click.option("--sigma", "sigmas", type=float, multiple=True, default=SIGMAS, show_default=True)
@click.option(
    "--compared", type=click.IntRange(1, BATCH), default=BATCH, show_default=True, help="Draws held beside the CPU's."
)
def main(path: Path, values: int, sigmas: tuple[float, ...], compared: int) -> None:
    """Measure the noise of one path."""
    if path == "device" and (problem := ask_driver().problem):
        raise click.UsageError(f"--path device cannot run here, {problem}: use --path host")
    draws = math.ceil(values / SIZE)
    with progress_bar() as bar:
        task = bar.add_task("draws", total=draws * len(sigmas))
        results = [measured(path, sigma, draws, compared, partial(bar.advance, task)) for sigma in sigmas]
    console.print(shown(path, results))
    write_results(
        f"noise_moments-{path}",
        {"options": options(), "gpu": gpu(path), "results": [asdict(each) | {"fine": each.fine} for each in results]},
    )
    if not all(result.fine for result in results):
        sys.exit(1)


def gpu(path: Path) -> str | None:
    return ask_driver().gpus[0].name if path == "device" else None


if __name__ == "__main__":
    main()
