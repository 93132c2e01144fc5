"""What comes of rounds, from made-up measurements whose answer is known."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import tiny

from fs_runtime.backends.clock import DeviceSeconds
from fs_runtime.bench import Asked, Contender, Spread, bench_line
from fs_runtime.bench.measurement import CertifyRun, Measurement, TargetRun
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.certification import Target


@pytest.fixture
def contender(tmp_path: Path) -> Iterator[Contender]:
    bundle = read_bundle(tiny.write_bundle(tmp_path, noise_batch=4))
    graph = msgspec.structs.replace(bundle.manifest.graphs[0], multiply_adds=5 * 10**9)
    bundle = Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, graphs=(graph,)), "")
    asked = Asked(target=Target(0.05, 0.5), many=3, peak_tflops=8.0)
    with closing(Contender(bundle, asked, backend="auto", device="cpu", threads=1, max_pixels=10**6)) as made:
        yield made


def measurement(**changes: Any) -> Measurement:
    """10 blocks of 4 draws in 0.1 s: 20 ms of waiting, 70 ms in the backend."""
    fields: dict[str, Any] = {
        "certify": CertifyRun(0.1, 10, waiting=0.02, running=0.07, device=None),
        "graph_alone": 0.006,
        "noise_alone": 0.003,
        "bare": None,
        "clean": None,
        "target": TargetRun(one=0.5, draws=64, proved=True, many=1.0),
        "other_processes": 0.1,
    }
    return Measurement(**{**fields, **changes})


def flat(value: float) -> Spread:
    return pytest.approx(value)  # type: ignore[no-any-return]


def test_bench_line_divides_a_block_when_it_ran_on_a_cpu(contender: Contender) -> None:
    line = bench_line(contender, [measurement(), measurement(other_processes=0.4)])
    parts = line.milliseconds
    assert line.draws_per_second.median == pytest.approx(400.0)
    assert parts.block.median == flat(10.0)
    assert parts.encoder.median == flat(6.0)
    assert parts.noise.median == flat(2.0 + 7.0 - 6.0)
    assert parts.copy is not None
    assert parts.copy.median == 0.0
    assert parts.host.median == flat(1.0)
    assert parts.noise_alone is not None
    assert parts.noise_alone.median == flat(3.0)
    assert (line.other_processes, line.rounds, line.blocks) == (0.4, 2, 10)


def test_bench_line_believes_the_device_when_it_tells(contender: Contender) -> None:
    device = DeviceSeconds(copy=0.01, noise=0.02, graph=0.03)
    run = CertifyRun(0.1, 10, waiting=0.01, running=0.07, device=device)
    parts = bench_line(contender, [measurement(certify=run)]).milliseconds
    assert parts.copy is not None
    found = [part.median for part in (parts.block, parts.noise, parts.copy, parts.encoder, parts.host)]
    assert found == pytest.approx([10.0, 3.0, 1.0, 3.0, 3.0])


def test_bench_line_leaves_the_copy_open_when_a_device_does_not_tell(contender: Contender) -> None:
    contender.device = "cuda:0"
    parts = bench_line(contender, [measurement(noise_alone=None)]).milliseconds
    assert parts.copy is parts.noise_alone is None
    found = [part.median for part in (parts.block, parts.noise, parts.encoder, parts.host)]
    assert found == pytest.approx([10.0, 2.0, 7.0, 1.0])


def test_bench_line_pairs_ratios_within_rounds_when_there_is_a_bare_session(contender: Contender) -> None:
    contender.bare = type("Bare", (), {"path": Path("bare.onnx"), "batch": 4, "close": lambda _: None})()
    slow = CertifyRun(0.2, 10, waiting=0.0, running=0.1, device=None)
    bare = bench_line(contender, [measurement(bare=0.005), measurement(certify=slow, bare=0.010)]).bare
    assert bare is not None
    assert bare.images_per_second.median == flat(600.0)
    # Both rounds have the same ratio, whatever the machine did; unpaired it would lie between 0.25 and 1.
    assert (bare.ratio.lower_quartile, bare.ratio.upper_quartile) == (flat(0.5), flat(0.5))


def test_bench_line_counts_certificates_when_there_is_a_target(contender: Contender) -> None:
    missed = TargetRun(one=0.25, draws=128, proved=False, many=0.75)
    target = bench_line(contender, [measurement(), measurement(target=missed)]).target
    assert target is not None
    assert (target.certificates, target.proved, target.many_images) == (2, 1, 3)
    assert (target.draws.median, target.one.median, target.many.median) == (flat(96.0), flat(3.0), flat(3.5))


def test_bench_line_holds_the_arithmetic_against_the_peak_when_it_is_stated(contender: Contender) -> None:
    arithmetic = bench_line(contender, [measurement()]).arithmetic
    assert arithmetic is not None
    assert arithmetic.tflops.median == flat(4.0)  # 400 draws/s of 10^10 operations
    assert arithmetic.share is not None
    assert (arithmetic.peak_source, arithmetic.share.median) == ("--peak-tflops", flat(0.5))
    contender.asked = Asked(target=contender.asked.target)
    unknown = bench_line(contender, [measurement()]).arithmetic
    assert unknown is not None
    assert unknown.peak is unknown.share is None


def test_bench_line_says_nothing_of_arithmetic_when_the_bundle_does_not(contender: Contender) -> None:
    manifest = contender.bundle.manifest
    graph = msgspec.structs.replace(manifest.graphs[0], multiply_adds=None)
    contender.bundle = Bundle(contender.bundle.root, msgspec.structs.replace(manifest, graphs=(graph,)), "")
    assert bench_line(contender, [measurement()]).arithmetic is None
