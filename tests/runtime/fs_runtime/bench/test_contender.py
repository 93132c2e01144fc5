"""One bundle on one backend, measured."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny

import fs_runtime
from fs_runtime.backends.clock import DeviceSeconds
from fs_runtime.bench import Asked, Contender, bare
from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.certification import CertificationError, Target
from fs_runtime.errors import BackendError

QUICK = Asked(seconds=1e-3, many=2)


@contextmanager
def opened(bundle: Path | Bundle, asked: Asked = QUICK) -> Iterator[Contender]:
    read = read_bundle(bundle) if isinstance(bundle, Path) else bundle
    with closing(Contender(read, asked, backend="auto", device="cpu", threads=1, max_pixels=10**6)) as contender:
        contender.warm_up()
        yield contender


# Pilot of 16 draws (for tokens through the graph twice), then 64 draws, the least that a certificate is made of.
@pytest.mark.parametrize(
    ("settings", "blocks"),
    [
        ({"noise_batch": 4}, 4 + 16),
        ({"noise_batch": 32}, 1 + 3),
        ({"noise_batch": 4, "tap": "tokens"}, 4 + 4 + 16),
        ({"noise_batch": 8, "images": 2}, 2 + 8),
    ],
)
def test_measure_counts_the_blocks_that_the_graph_ran(tmp_path: Path, settings: dict[str, Any], blocks: int) -> None:
    with opened(tiny.write_bundle(tmp_path, **settings)) as contender:
        contender.blocks = 4
        steps: list[None] = []
        measured = contender.measure(1, step=lambda: steps.append(None))
        certify = measured.certify
        assert certify.blocks == blocks
        assert 0.0 < certify.running < certify.seconds
        assert 0.0 < certify.waiting < certify.seconds
        assert certify.device is None
        assert measured.graph_alone > 0.0
        assert measured.noise_alone is not None
        assert measured.bare is measured.clean is measured.target is None
        assert len(steps) == contender.steps == 3


def test_warm_up_takes_more_blocks_when_more_seconds_are_asked_for(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    with opened(root) as short, opened(root, Asked(seconds=0.2)) as long:
        assert 4 <= short.blocks < long.blocks <= 4096


def test_measure_certifies_towards_the_target_when_there_is_one(tmp_path: Path) -> None:
    asked = Asked(seconds=1e-3, many=2, target=Target(0.05, 0.5), alpha=0.05)
    with opened(tiny.write_bundle(tmp_path), asked) as contender:
        measured = contender.measure(0)
        target = measured.target
        assert target is not None
        assert target.proved
        assert contender.steps == 5
        with fs_runtime.load(tmp_path, threads=1) as encoder:
            again = encoder.certify(contender._images[0], draws=20_000, alpha=0.05, until=Target(0.05, 0.5), seed=0)
        assert target.draws == again.draws


def test_warm_up_refuses_when_the_target_is_out_of_reach(tmp_path: Path) -> None:
    asked = Asked(seconds=1e-3, target=Target(0.5, 0.999), most_draws=64)
    with (
        pytest.raises(CertificationError, match="cannot be proved from 64 draws"),
        opened(tiny.write_bundle(tmp_path), asked),
    ):
        pass


def test_measure_runs_the_clean_graph_at_batch_1_when_the_bundle_has_a_booster(tmp_path: Path) -> None:
    tiny.add_clean(tiny.write_bundle(tmp_path))
    with opened(tmp_path) as contender:
        assert contender.measure(0).clean is not None
        assert contender.clean is not None
        assert (contender.clean.batch, contender.clean.path.name) == (1, "clean.onnx")
        assert contender.clean_not_run == ""
        assert contender.steps == 4


def test_contender_says_why_when_the_clean_graph_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path, *_: object) -> None:
        raise BackendError(f"{path} runs in what is not here")

    tiny.add_clean(tiny.write_bundle(tmp_path))
    monkeypatch.setattr(bare, "open_session", missing)
    with opened(tmp_path) as contender:
        assert contender.clean_not_run == f"{tmp_path / 'clean.onnx'} runs in what is not here"
        assert contender.clean is None
        assert contender.measure(0).clean is None
        assert contender.steps == 3


def test_measure_reads_the_devices_clock_when_the_backend_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a GPU's clock: it shows that it is read, not that a GPU's is right."""
    ticks = iter(range(1000))

    def tell(_: object) -> DeviceSeconds:
        tick = next(ticks)
        return DeviceSeconds(copy=1.0 * tick, noise=2.0 * tick, graph=3.0 * tick)

    with opened(tiny.write_bundle(tmp_path)) as contender:
        monkeypatch.setattr(type(contender.encoder.backend), "device_seconds", tell, raising=False)
        assert contender.measure(0).certify.device == DeviceSeconds(1.0, 2.0, 3.0)


@pytest.mark.parametrize("device", ["cuda:0", "tpu"])
def test_contender_refuses_when_the_device_is_not_here(tmp_path: Path, device: str) -> None:
    bundle = read_bundle(tiny.write_bundle(tmp_path))
    with pytest.raises(BackendError, match=device):
        Contender(bundle, QUICK, backend="auto", device=device, threads=1, max_pixels=10**6)
