"""What came of a contender's rounds."""

import os
from collections.abc import Sequence
from pathlib import Path

from fs_runtime.bench.bare import ResidentSession
from fs_runtime.bench.contender import Contender
from fs_runtime.bench.measurement import Measurement
from fs_runtime.bench.peak import Peak, known_peak
from fs_runtime.bench.results import Arithmetic, BenchLine, Beside, BlockParts, Machine, Spread, TargetSpeed
from fs_runtime.environment import usable_cores

_CPUINFO = Path("/proc/cpuinfo")


def bench_line(contender: Contender, measured: Sequence[Measurement]) -> BenchLine:
    """What came of the rounds of one contender, of which there is one at least."""
    bundle, asked = contender.bundle, contender.asked
    rates = [each.certify.blocks * contender.batch / each.certify.seconds for each in measured]
    shares = [each.other_processes for each in measured if each.other_processes is not None]
    return BenchLine(
        schema="fs-runtime/bench/1",
        bundle=str(bundle.root).encode("utf-8", "backslashreplace").decode(),
        graph_sha256=contender.encoder.graph_sha256,
        precision=bundle.graph("smoothed").precision,
        noise_batch=contender.batch,
        images=bundle.manifest.images,
        backend=contender.encoder.backend.info,
        device=contender.device,
        threads=contender.threads,
        machine=Machine(_cpu(), usable_cores(), contender.gpu),
        rounds=len(measured),
        blocks=measured[0].certify.blocks,
        bound=contender.bound,
        alpha=asked.alpha,
        draws_per_second=Spread.of(rates),
        milliseconds=_parts(measured, on_cpu=contender.device == "cpu"),
        bare=_beside(contender.bare, [each.bare for each in measured], rates),
        clean=_beside(contender.clean, [each.clean for each in measured], rates),
        target=_target(contender, measured),
        arithmetic=_arithmetic(contender, rates),
        other_processes=max(shares) if shares else None,
    )


def _parts(measured: Sequence[Measurement], *, on_cpu: bool) -> BlockParts:
    parts = [_parts_of(each, on_cpu=on_cpu) for each in measured]
    block, noise, copy, encoder = zip(*parts, strict=True)
    host = [whole - made - (copied or 0.0) - run for whole, made, copied, run in parts]
    copies = [each for each in copy if each is not None]
    alone = [each.noise_alone for each in measured if each.noise_alone is not None]
    return BlockParts(
        block=_milliseconds(block),
        noise=_milliseconds(noise),
        copy=_milliseconds(copies) if copies else None,
        encoder=_milliseconds(encoder),
        host=_milliseconds(host),
        graph_alone=_milliseconds([each.graph_alone for each in measured]),
        noise_alone=_milliseconds(alone) if alone else None,
    )


def _parts_of(measured: Measurement, *, on_cpu: bool) -> tuple[float, float, float | None, float]:
    """Seconds of one block: the whole, noise, copy, encoder."""
    run = measured.certify
    whole, waiting, running = (value / run.blocks for value in (run.seconds, run.waiting, run.running))
    if run.device is not None:
        device = run.device
        return whole, waiting + device.noise / run.blocks, device.copy / run.blocks, device.graph / run.blocks
    if on_cpu:
        return whole, waiting + running - measured.graph_alone, 0.0, measured.graph_alone
    return whole, waiting, None, running


def _beside(session: ResidentSession | None, seconds: list[float | None], rates: list[float]) -> Beside | None:
    if session is None:
        return None
    speeds = [session.batch / each for each in seconds if each is not None]
    ratios = [rate / speed for rate, speed in zip(rates, speeds, strict=True)]
    file = str(session.path).encode("utf-8", "backslashreplace").decode()
    return Beside(file, session.batch, Spread.of(speeds), Spread.of(ratios))


def _target(contender: Contender, measured: Sequence[Measurement]) -> TargetSpeed | None:
    asked, runs = contender.asked, [each.target for each in measured if each.target is not None]
    if asked.target is None or not runs:
        return None
    return TargetSpeed(
        radius=asked.target.radius,
        cosine=asked.target.cosine,
        alpha=asked.alpha,
        most_draws=asked.most_draws,
        certificates=len(runs),
        proved=sum(run.proved for run in runs),
        draws=Spread.of([float(run.draws) for run in runs]),
        one=Spread.of([1.0 / run.one for run in runs]),
        many_images=asked.many,
        many=Spread.of([asked.many / run.many for run in runs]),
    )


def _arithmetic(contender: Contender, rates: list[float]) -> Arithmetic | None:
    graph = contender.bundle.graph("smoothed")
    if graph.multiply_adds is None:
        return None
    reached = [2e-12 * graph.multiply_adds * rate for rate in rates]
    peak = known_peak(contender.gpu, graph.precision)
    if contender.asked.peak_tflops is not None:
        peak = Peak(contender.asked.peak_tflops, "--peak-tflops")
    return Arithmetic(
        multiply_adds=graph.multiply_adds,
        tflops=Spread.of(reached),
        peak=None if peak is None else peak.tflops,
        peak_source=None if peak is None else peak.source,
        share=None if peak is None else Spread.of([rate / peak.tflops for rate in reached]),
    )


def _milliseconds(seconds: Sequence[float]) -> Spread:
    return Spread.of([1e3 * each for each in seconds])


def _cpu() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, os.uname().machine)
