"""``fs-runtime bench``: how fast bundles run here, and where the time goes."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import product
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fs_runtime.bench import Asked, BenchLine, Contender, bench_line, run_rounds
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.cli import options
from fs_runtime.cli.bench_table import bench_tables, remarks
from fs_runtime.cli.run import tell
from fs_runtime.cli.terminal import data, megabytes, messages, next_commands, printable
from fs_runtime.environment import default_max_pixels, default_threads
from fs_runtime.errors import BackendError


@click.command()
@click.argument("bundles", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--backend", "backends", multiple=True, default=("auto",), show_default=True, help="May be repeated.")
@click.option("--device", "devices", multiple=True, default=("cpu",), show_default=True, help="May be repeated.")
@options.threads
@click.option(
    "--bare",
    metavar="MODEL.onnx",
    type=click.Path(path_type=Path),
    help="Also measure ONNX Runtime on this file: the encoder alone, pixels [N, 3, H, W] or of a free batch.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="IMAGE",
    type=click.Path(path_type=Path),
    help="Image to certify, may be repeated. Default: synthetic pictures.",
)
@click.option("--radius", type=float, help="With --cosine: also count certificates per second towards this target.")
@click.option("--cosine", type=float, help="The cosine to certify at --radius.")
@click.option(
    "--max-draws",
    type=click.IntRange(min=1, max=10**8),
    default=20_000,
    show_default=True,
    help="The most draws towards the target.",
)
@click.option(
    "--many",
    type=click.IntRange(min=1, max=4096),
    default=8,
    show_default=True,
    help="Images handed in together, towards the target.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=1e-3,
    show_default=True,
    help="Probability that a certificate fails.",
)
@click.option("--rounds", type=click.IntRange(min=1, max=1000), default=5, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.0, 600.0, min_open=True),
    default=2.0,
    show_default=True,
    help="What one measurement takes about; slow encoders take longer, four noise batches and 64 draws at least.",
)
@click.option(
    "--peak-tflops",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Matrix rate of the device, in 10^12 operations a second. Default: NVIDIA's, for some GPUs.",
)
@options.as_json
def bench(
    bundles: tuple[Path, ...],
    backends: tuple[str, ...],
    devices: tuple[str, ...],
    threads: int | None,
    bare: Path | None,
    images: tuple[Path, ...],
    radius: float | None,
    cosine: float | None,
    max_draws: int,
    many: int,
    alpha: float,
    rounds: int,
    seconds: float,
    peak_tflops: float | None,
    as_json: bool,
) -> int:
    """Measure draws per second of bundles on backends and devices, and where the time goes.

    Every DIR is opened on every --backend and --device, and all are measured in turn, round after round: bundles of
    several noise batches or precisions compare so, also on a machine that does other work. Medians over the rounds are
    shown, with quartiles. Exit code 4 if some backend or device cannot run here; the others are measured.
    """
    asked = Asked(
        alpha=alpha,
        seconds=seconds,
        target=options.target(radius, cosine),
        most_draws=max_draws,
        many=many,
        images=images,
        bare=bare,
        peak_tflops=peak_tflops,
    )
    failures: list[BackendError] = []
    with ExitStack() as stack:
        contenders: list[Contender] = []
        for bundle in [read_bundle(path) for path in bundles]:
            for backend, device in product(dict.fromkeys(backends), dict.fromkeys(devices)):
                try:
                    opened = _opened(bundle, asked, backend, device, threads or default_threads())
                except BackendError as error:
                    _tell_of(f"{bundle.root} on {backend}, {device}", error, failures)
                else:
                    contenders.append(stack.enter_context(closing(opened)))
        lines = _measured(contenders, rounds, failures)
    if as_json:
        for line in lines:
            click.echo(msgspec.json.encode(line))
    elif lines:
        for table in bench_tables(lines):
            data().print(table)
    for remark in remarks(lines):
        messages().print(printable(remark), markup=False, highlight=False, soft_wrap=True)
    if lines:
        next_commands(*_next(lines, asked))
    return BackendError.exit_code if failures else 0


def _opened(bundle: Bundle, asked: Asked, backend: str, device: str, threads: int) -> Contender:
    """A contender that has run once, and one line about it."""
    begun = time.perf_counter()
    contender = Contender(
        bundle, asked, backend=backend, device=device, threads=threads, max_pixels=default_max_pixels()
    )
    try:
        contender.warm_up()
    except BaseException:
        contender.close()
        raise
    info, graph = contender.encoder.backend.info, bundle.graph("smoothed")
    where = f"{info.name} {info.version} on {info.device}, {contender.blocks} blocks of {contender.batch} a measurement"
    line = f"warm-up    {time.perf_counter() - begun:6.1f} s  {where}  {bundle.root}  {megabytes(graph.bytes)}"
    messages().print(printable(line), markup=False, highlight=False, soft_wrap=True)
    if contender.clean_not_run:
        line = f"the encoder without its booster is not measured: {contender.clean_not_run}"
        messages().print(printable(line), markup=False, highlight=False, soft_wrap=True)
    return contender


def _measured(contenders: Sequence[Contender], rounds: int, failures: list[BackendError]) -> list[BenchLine]:
    def failed(contender: Contender, error: BackendError) -> None:
        _tell_of(str(contender.bundle.root), error, failures)

    with _bar() as bar:
        task = bar.add_task("measuring", total=rounds * sum(contender.steps for contender in contenders))

        def step(contender: Contender) -> None:
            bar.update(task, advance=1, description=printable(f"measuring {contender.bundle.root.name}"))

        measured = run_rounds(contenders, rounds, step=step, failed=failed)
    return [bench_line(contender, found) for contender, found in measured.items()]


@contextmanager
def _bar() -> Iterator[Progress]:
    console = messages()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


def _tell_of(what: str, error: BackendError, failures: list[BackendError]) -> None:
    failures.append(error)
    tell(BackendError(f"{what}: {error}"))


def _next(lines: Sequence[BenchLine], asked: Asked) -> list[str]:
    best = max(lines, key=lambda line: line.draws_per_second.median)
    place = shlex.quote(best.bundle)
    device = "" if best.device == "cpu" else f" --device {best.device}"
    commands = [f"fs-runtime certify {place} YOUR_PHOTO.jpg{device}"]
    if asked.target is None:
        commands.append(f"fs-runtime bench {place}{device} --radius 0.05 --cosine 0.9")
    return commands
