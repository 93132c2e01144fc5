"""Tables of what ``fs-runtime bench`` measured, and what they leave to be said."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from fs_runtime.bench import BenchLine, Spread
from fs_runtime.cli.terminal import cell, table

_BUSY = 0.05


def bench_tables(lines: Sequence[BenchLine]) -> list[Table]:
    """Speed and where it goes; then bare sessions, targets and arithmetic where there are any."""
    made = [_speeds(lines)]
    for what, rows in (("bare", _rows(lines, "bare")), ("clean", _rows(lines, "clean"))):
        if rows:
            made.append(_besides(lines, what))
    if _rows(lines, "target"):
        made.append(_targets(lines))
    if _rows(lines, "arithmetic"):
        made.append(_arithmetic(lines))
    return made


def named(line: BenchLine, lines: Sequence[BenchLine]) -> str:
    """A short name of a bundle, or its path where the names of several are the same."""
    short = Path(line.bundle).name
    alike = {each.bundle for each in lines if Path(each.bundle).name == short}
    return short if len(alike) == 1 and short else line.bundle


def remarks(lines: Sequence[BenchLine]) -> list[str]:
    """What a reader must know beside the tables."""
    if not lines:
        return []
    bounds = " or ".join(sorted({line.bound for line in lines}, reverse=True))
    said = [
        f"Medians of {max(line.rounds for line in lines)} interleaved rounds (quartiles). Draws are those of "
        f"certificates by the bound {bounds}, pilot and statistics included; '-': not told apart, or not known."
    ]
    shares = [line.other_processes for line in lines if line.other_processes is not None]
    if not shares:
        said.append("What other processes took of the cores cannot be told here.")
    elif max(shares) > _BUSY:
        said.append(
            f"This machine was busy: other processes took up to {100 * max(shares):.0f} % of the cores in a round. "
            "Ratios within a round still compare; absolute figures are too low."
        )
    else:
        said.append(f"Other processes took at most {100 * max(shares):.0f} % of the cores in any round.")
    if any(line.milliseconds.noise.median < 0.0 for line in lines):
        said.append(
            "Noise below zero: the graph took longer alone than with noise made beside it, so what noise costs is less "
            "than what disturbs this machine. Measure when it is idle, or more --rounds."
        )
    sources = {line.arithmetic.peak_source for line in lines if line.arithmetic and line.arithmetic.peak_source}
    return said + [f"The device's rate is from: {source}." for source in sorted(sources)]


def _rows(lines: Sequence[BenchLine], field: str) -> list[BenchLine]:
    return [line for line in lines if getattr(line, field) is not None]


def _speeds(lines: Sequence[BenchLine]) -> Table:
    made = table("bundle", "on", "precision", "N", "draws/s", "ms a block", "noise", "copy", "encoder", "host", words=3)
    for line in lines:
        parts = line.milliseconds
        whole = parts.block.median
        shares = [
            "-" if part is None else f"{100.0 * part.median / whole:.1f} %"
            for part in (parts.noise, parts.copy, parts.encoder, parts.host)
        ]
        on = f"{line.backend.name} {line.device}"
        rates = _spread(line.draws_per_second, _rate)
        made.add_row(
            cell(named(line, lines)), cell(on), line.precision, str(line.noise_batch), rates, f"{whole:.2f}", *shares
        )
    return made


def _besides(lines: Sequence[BenchLine], what: str) -> Table:
    title = {
        "bare": "the encoder alone, at the same batch",
        "clean": "without the booster, from the bundle: one draw at batch 1, its unit norm and reductions included",
    }[what]
    made = table("bundle", "file", "images/s", "draws/s over it", title=title, words=2)
    for line in _rows(lines, what):
        beside = getattr(line, what)
        ratio = _spread(beside.ratio, lambda value: f"{value:.3f}")
        made.add_row(
            cell(named(line, lines)), cell(Path(beside.file).name), _spread(beside.images_per_second, _rate), ratio
        )
    return made


def _targets(lines: Sequence[BenchLine]) -> Table:
    rows = _rows(lines, "target")
    first = rows[0].target
    assert first is not None
    title = (
        f"certificates until cosine {first.cosine:g} at radius {first.radius:g}, alpha {first.alpha:g}, at most "
        f"{first.most_draws:,} draws"
    )
    made = table(
        "bundle", "proved", "draws", "one image: a second", f"{first.many_images} images: a second", title=title
    )
    for line in rows:
        target = line.target
        assert target is not None
        made.add_row(
            cell(named(line, lines)),
            f"{target.proved} of {target.certificates}",
            _spread(target.draws, lambda value: f"{value:,.0f}"),
            _spread(target.one, _rate),
            _spread(target.many, _rate),
        )
    return made


def _arithmetic(lines: Sequence[BenchLine]) -> Table:
    made = table("bundle", "10^9 multiply-adds a draw", "TFLOP/s", "device's", "share")
    for line in _rows(lines, "arithmetic"):
        found = line.arithmetic
        assert found is not None
        made.add_row(
            cell(named(line, lines)),
            f"{found.multiply_adds / 1e9:.3f}",
            _spread(found.tflops, lambda value: f"{value:.3g}"),
            "-" if found.peak is None else f"{found.peak:g}",
            "-" if found.share is None else f"{100.0 * found.share.median:.1f} %",
        )
    return made


def _spread(spread: Spread, shown: Callable[[float], str]) -> str:
    return f"{shown(spread.median)} ({shown(spread.lower_quartile)}-{shown(spread.upper_quartile)})"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000.0 else f"{value:.3g}"
