"""Plans on a GPU, as far as it goes without one: the CUDA driver, TensorRT and the noise kernel are thin fakes here.

The fakes compute real numbers in this machine's memory (helpers/fake_cuda.py), so what is compared with the CPU are
whole certificates.
"""

import dataclasses
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers import fake_tensorrt, tiny
from helpers.fake_cuda import FakeCuda, Status

import fs_runtime
from fs_runtime.backends import Block, find_backend, open_backend
from fs_runtime.backends.clock import device_seconds
from fs_runtime.backends.tensorrt.library import open_library
from fs_runtime.backends.tensorrt.plan import OpenedPlan, _logger
from fs_runtime.bundle import read_bundle
from fs_runtime.bundle.engines import read_plan
from fs_runtime.cuda_calls import DeviceLostError, DeviceMemoryError
from fs_runtime.errors import BackendError

IMAGES = [tiny.image_array(seed=seed) for seed in range(4)]
SETTINGS: dict[str, Any] = {"draws": 41, "alpha": 0.05, "pilot": 12, "seed": 5}
SCHEDULES = [(), (0,), (1,), (0, 1)]
"""Streams that work at once; the first one made runs the graph, the second makes the noise."""

Gpu = Callable[..., FakeCuda]


@pytest.fixture
def gpu(fake_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    def make(**options: Any) -> FakeCuda:
        fake = fake_gpu(**options)
        fake_tensorrt.install(monkeypatch, fake)
        return fake

    return make


@pytest.fixture(scope="module")
def folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same bundles, with a plan each."""
    made = shutil.copytree(folder, tmp_path_factory.mktemp("plans"), dirs_exist_ok=True)
    for bundle in made.iterdir():
        fake_tensorrt.add_plan(bundle)
    return made


def opened(root: Path, device: str = "cuda") -> fs_runtime.SmoothedEncoder:
    return fs_runtime.load(root, backend="tensorrt", device=device, threads=1)


def same(first: fs_runtime.FeatureCertificate | None, second: fs_runtime.FeatureCertificate | None) -> bool:
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.reference, second.reference)
    return msgspec.json.encode(first.curve) == msgspec.json.encode(second.curve)


@pytest.mark.parametrize(("captures", "eager"), [*(("1", each) for each in SCHEDULES), ("0", ()), ("0", (1,))])
@pytest.mark.parametrize("bundle", ["pooled1", "tokens1", "tokens3"])
def test_certify_many_gives_what_the_cpu_gives_when_the_gpu_works_early_or_late(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, bundle: str, captures: str, eager: tuple[int, ...]
) -> None:
    monkeypatch.setenv("FS_CUDA_GRAPH", captures)
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        expected = [result.certificate for result in encoder.certify_many(IMAGES, **SETTINGS)]
    fake = gpu(eager=eager)
    with opened(folder / bundle) as encoder:
        found = [result.certificate for result in encoder.certify_many(IMAGES, **SETTINGS)]
    assert all(same(first, second) for first, second in zip(expected, found, strict=True))
    assert ("cuGraphLaunch" in fake.calls) == (captures == "1")


@pytest.mark.parametrize("eager", SCHEDULES)
def test_certify_gives_what_the_cpu_gives_when_the_reference_is_clean_or_a_target_stops_it(
    folder: Path, gpu: Gpu, eager: tuple[int, ...]
) -> None:
    asked: list[dict[str, Any]] = [
        {"draws": 5000, "alpha": 0.05, "until": fs_runtime.Target(0.02, 0.4), "seed": 5},
        SETTINGS | {"reference": "clean"},
    ]

    def made(encoder: fs_runtime.SmoothedEncoder) -> list[Any]:
        return [result.certificate for each in asked for result in encoder.certify_many(IMAGES, **each)]

    with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
        expected = made(encoder)
    gpu(eager=eager)
    with opened(folder / "pooled1") as encoder:
        found = made(encoder)
    assert all(same(first, second) for first, second in zip(expected, found, strict=True))


def test_smooth_gives_what_the_cpu_gives(folder: Path, gpu: Gpu) -> None:
    with fs_runtime.load(folder / "tokens1", threads=1) as encoder:
        expected = encoder.smooth(IMAGES[0], draws=10, seed=3)
    gpu()
    with opened(folder / "tokens1") as encoder:
        found = encoder.smooth(IMAGES[0], draws=10, seed=3)
    np.testing.assert_array_equal(expected.vector, found.vector)


def test_start_is_called_for_the_next_block_before_the_last_result_is_used(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    with opened(folder / "pooled1") as encoder:
        done: list[int] = []
        launched: list[int] = []

        def progress(draws: int, total: int) -> None:
            done.append(draws)
            launched.append(fake.calls["cuGraphLaunch"])

        before = fake.calls["cuGraphLaunch"]
        encoder.certify(IMAGES[0], progress=progress, **SETTINGS)
    blocks = [count - before for count in launched]
    # Three blocks of pilot and 11 of certifying draws; the last of a phase is waited for.
    assert blocks == [2, 3, 3, *range(5, 15), 14]
    assert done[-1] == 12 + 41


def test_certificate_binds_to_the_plan_when_one_runs(folder: Path, gpu: Gpu) -> None:
    gpu()
    plan = read_bundle(folder / "pooled1").manifest.engines[0]
    with opened(folder / "pooled1") as encoder:
        certificate = encoder.certify(IMAGES[0], **SETTINGS)
        assert encoder.replay(certificate, IMAGES[0]).same_backend
    assert certificate.provenance.graph_sha256 == plan.sha256
    backend = certificate.provenance.backend
    assert (backend.name, backend.version) == ("tensorrt", fake_tensorrt.VERSION)
    assert backend.device == "Test GPU, driver 580.65"


def test_noise_is_never_copied_from_here_when_the_gpu_makes_it(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    with opened(folder / "pooled1") as encoder:
        encoder.certify(IMAGES[0], **SETTINGS)
    # Per block the image and the reference; the two slots were warmed up once more.
    assert fake.calls["cuMemcpyHtoDAsync"] == 2 * (3 + 11 + 2)


def test_run_takes_noise_of_the_callers_own_when_other_noise_was_made_ahead(folder: Path, gpu: Gpu) -> None:
    gpu()
    bundle = read_bundle(folder / "pooled1")
    graph, rng = bundle.graph("smoothed"), np.random.default_rng(3)
    blocks = [
        Block(
            rng.random((1, 3, 8, 8), np.float32),
            rng.random((4, 3, 8, 8), np.float32),
            rng.random((1, 6), np.float32),
            np.zeros(4, np.int64),
        )
        for _ in range(3)
    ]
    with find_backend("onnxruntime")(bundle, graph, device="cpu", threads=1) as backend:
        expected = [backend.run(block) for block in blocks]
    with open_backend("tensorrt", bundle, graph, device="cuda", threads=1) as backend:
        found = [backend.run(block) for block in blocks]
    for first, second in zip(expected, found, strict=True):
        np.testing.assert_array_equal(first.cosine, second.cosine)
        np.testing.assert_array_equal(first.feature_sum, second.feature_sum)
        np.testing.assert_array_equal(first.features, second.features)


def test_result_is_refused_when_a_later_block_has_overwritten_it(folder: Path, gpu: Gpu) -> None:
    gpu()
    bundle = read_bundle(folder / "pooled1")
    block = tiny.empty_block()
    with open_backend("tensorrt", bundle, bundle.graph("smoothed"), device="cuda", threads=1) as backend:
        first = backend.start(block)
        backend.start(block)
        with pytest.raises(RuntimeError, match="overwritten"):
            first()


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_close_frees_everything(folder: Path, gpu: Gpu, device: str) -> None:
    fake = gpu()
    encoder = opened(folder / "pooled3", device)
    encoder.certify(IMAGES[0], **SETTINGS, reference="clean")
    assert fake.left > 0
    encoder.close()
    encoder.close()
    assert fake.left == 0
    assert fake.taken == 0
    assert fake.current == []


def test_close_waits_for_the_blocks_that_nobody_waited_for(folder: Path, gpu: Gpu) -> None:
    fake = gpu()  # which asserts it
    with fs_runtime.load(folder / "pooled1", backend="tensorrt", device="cuda", threads=1) as encoder:
        for _ in encoder.certify_many(IMAGES, **SETTINGS):
            break
        encoder.backend.start(tiny.empty_block())
        assert fake.busy
    assert fake.left == 0


def test_open_frees_everything_when_it_fails(folder: Path, gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, b"no plan at all")
    fake = gpu()
    with pytest.raises(BackendError):
        opened(root)
    assert fake.left == 0


# ---- what cannot be opened


def test_open_says_what_tensorrt_says_when_the_plan_is_none(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, b"no plan at all")
    gpu()
    with pytest.raises(
        BackendError, match=r"TensorRT 10.* cannot open engines.*magic tag does not match.*build it again"
    ):
        opened(root)


def test_every_plan_of_a_process_has_the_same_logger_and_only_its_own_errors(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers: list[Any] = []
    gpu()
    installed = fake_tensorrt.library.import_module("tensorrt")

    class Runtime(installed.Runtime):  # type: ignore[misc,name-defined]
        def __init__(self, logger: Any) -> None:
            super().__init__(logger)
            loggers.append(logger)

    installed.Runtime = Runtime
    with opened(folder / "pooled1"), opened(folder / "tokens1"):
        first, second = loggers
        assert first is second
        first.log(first.Severity.ERROR, "about another plan")
    monkeypatch.setattr(fake_tensorrt._Context, "execute_async_v3", lambda self, stream: False)
    with pytest.raises(BackendError, match=r"failed to run .*it does not say why"):
        opened(folder / "pooled1")


def test_refused_tells_its_own_reason_when_another_plan_is_opened_or_refused_meanwhile(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    bundle = read_bundle(folder / "pooled1")
    engine, library = bundle.manifest.engines[0], open_library("tensorrt")
    plan = read_plan(bundle, engine)
    first, logger = OpenedPlan(library, plan, engine), _logger(library)

    def refused() -> str:
        with pytest.raises(BackendError) as caught:
            OpenedPlan(library, b"no plan at all", engine)
        return str(caught.value)

    def elsewhere(work: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    first.listen()
    logger.log(logger.Severity.ERROR, "layer 3 is too large")
    assert "magic tag does not match" in elsewhere(refused)
    elsewhere(lambda: OpenedPlan(library, plan, engine))
    assert "(layer 3 is too large)" in str(first.refused("failed to run"))
    assert "layer 3" not in refused()
    # What another plan was refused for in this thread, before this one begins again, is not about it.
    first.listen()
    assert "it does not say why" in str(first.refused("failed to run"))
    # Threads of TensorRT's own are none of ours.
    elsewhere(lambda: logger.log(logger.Severity.ERROR, "said by a worker"))
    assert "(said by a worker)" in str(first.refused("failed to run"))


def test_open_refuses_when_the_plan_has_other_inputs(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "one")
    other = tiny.write_bundle(tmp_path / "other", noise_batch=5)
    fake_tensorrt.add_plan(root, (other / "model.onnx").read_bytes())
    gpu()
    with pytest.raises(BackendError, match=r"has inputs and outputs .* but the manifest states"):
        opened(root)


def test_open_refuses_when_the_plan_keeps_a_tensor_on_the_host(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    monkeypatch.setattr(fake_tensorrt._Engine, "hosted", ("reference",))
    with pytest.raises(BackendError, match="reads or writes reference in the host's memory"):
        opened(folder / "pooled1")


def test_open_refuses_when_the_plan_changed_after_the_bundle_was_read(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    gpu()
    bundle = read_bundle(root)
    (root / bundle.manifest.engines[0].file).write_bytes(b"another plan")
    with pytest.raises(BackendError.__base__, match="changed while it was opened"):  # type: ignore[arg-type]
        open_backend("tensorrt", bundle, bundle.graph("smoothed"), device="cuda", threads=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "10.17.0"}, "was built by tensorrt 10.17.0, here is 10.16.0.29"),
        ({"compute_capability": "9.0"}, "is for compute capability 9.0, this GPU has 8.9"),
        ({"builder": "tensorrt-rtx", "version": "1.7.1"}, "tensorrt-rtx cannot be used here .it is not installed."),
    ],
)
def test_open_names_both_sides_when_no_plan_fits(
    gpu: Gpu, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, **changes)
    fake = gpu()
    with pytest.raises(BackendError, match=rf"no plan of .* runs on Test GPU.*{message}.*fs-export build") as caught:
        opened(root)
    assert caught.value.exit_code == 4
    assert fake.left == 0


def test_open_takes_the_newest_plan_when_several_fit(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, b"old")
    fake_tensorrt.add_plan(root, b"for another GPU", compute_capability="12.0")
    newest = fake_tensorrt.add_plan(root)
    fake_tensorrt.add_plan(root, b"for another version", version="11.0.0")
    gpu()
    with opened(root) as encoder:
        assert encoder.graph_sha256 == newest


def test_open_says_so_when_the_bundle_has_no_plan(gpu: Gpu, tmp_path: Path) -> None:
    gpu()
    with pytest.raises(BackendError, match=r"has no plan: build one with fs-export build .*--compute-capability 8.9"):
        opened(tiny.write_bundle(tmp_path))


# ---- memory


def test_open_says_what_is_needed_free_and_would_fit_when_memory_is_short(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, tiny.linear(side=64), noise_batch=64)
    fake_tensorrt.add_plan(root)
    bundle = read_bundle(root)
    plan = bundle.manifest.engines[0].bytes
    fake = gpu(memory=plan + (4 << 20))
    message = (
        r"engines/plan0/model.plan needs \d+ MiB of the memory of cuda:0 .Test GPU. at a noise batch of 64, but "
        r"\d+ MiB is free; about --noise-batch (\d+) fits: export with that and build the plan again"
    )
    with pytest.raises(DeviceMemoryError, match=message) as caught:
        opened(root)
    fits = int(str(caught.value).split("--noise-batch ")[1].split()[0])
    assert fits == 41  # of two slots
    assert fake.left == 0
    smaller = tiny.write_bundle(tmp_path / "smaller", tiny.linear(side=64), noise_batch=fits)
    fake_tensorrt.add_plan(smaller)
    gpu(memory=plan + (4 << 20))
    with opened(smaller) as encoder:
        encoder.certify(tiny.image_array(side=64), **SETTINGS)
        message = r"a third block.* at a noise batch of 41, .*about --noise-batch (\d+) fits: export with that and"
        with pytest.raises(DeviceMemoryError, match=message) as caught:
            encoder.certify(tiny.image_array(side=64), **SETTINGS, reference="clean")
    fits = int(str(caught.value).split("--noise-batch ")[1].split()[0])
    smallest = tiny.write_bundle(tmp_path / "smallest", tiny.linear(side=64), noise_batch=fits)
    fake_tensorrt.add_plan(smallest)
    gpu(memory=plan + (4 << 20))
    with opened(smallest) as encoder:
        encoder.certify(tiny.image_array(side=64), **SETTINGS, reference="clean")


def test_open_names_the_hosts_memory_when_that_is_what_is_short(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    fake.fails["cuMemHostAlloc"] = Status.CUDA_ERROR_OUT_OF_MEMORY
    with pytest.raises(DeviceMemoryError, match=r"MiB of page-locked memory of this machine \(not of cuda:0") as caught:
        opened(folder / "pooled1")
    assert "has not enough free memory" not in str(caught.value)
    assert "ulimit -l" in str(caught.value)
    assert fake.left == 0


def test_open_says_so_when_not_even_one_draw_fits(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    gpu(memory=100)
    with pytest.raises(DeviceMemoryError, match="not even one draw fits: use a GPU with more"):
        opened(root)


# ---- what breaks in mid-run


@pytest.mark.parametrize("eager", SCHEDULES)
def test_certify_many_keeps_what_is_done_when_the_gpu_is_lost(folder: Path, gpu: Gpu, eager: tuple[int, ...]) -> None:
    fake = gpu(eager=eager)
    done = []
    with (  # noqa: PT012  # it is raised in the middle
        opened(folder / "pooled1") as encoder,
        pytest.raises(
            DeviceLostError, match=r"cuda:0 .Test GPU. was lost in mid-run.*CUDA_ERROR_LAUNCH_FAILED.*--resume"
        ),
    ):
        fake.lost_after = 150
        for result in encoder.certify_many(IMAGES, **SETTINGS):
            done.append(result)  # noqa: PERF402  # an extend would lose them
    assert 1 <= len(done) < len(IMAGES)
    assert all(result.certificate is not None for result in done)


def test_certify_many_keeps_what_is_done_when_the_noises_launch_finds_the_gpu_lost(folder: Path, gpu: Gpu) -> None:
    fake, done = gpu(), []
    with (  # noqa: PT012  # it is raised in the middle
        opened(folder / "pooled1") as encoder,
        pytest.raises(DeviceLostError, match=r"cuda:0 .Test GPU. was lost in mid-run .cuLaunchKernel: .*--resume"),
    ):
        for result in encoder.certify_many(IMAGES, **SETTINGS):
            done.append(result)
            if len(done) == 2:
                fake.fails["cuLaunchKernel"] = Status.CUDA_ERROR_LAUNCH_FAILED
    assert [result.certificate is not None for result in done] == [True, True]


def test_certify_goes_on_without_a_cuda_graph_when_it_cannot_be_captured(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    fake.fails["cuGraphInstantiate"] = Status.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
    with pytest.warns(RuntimeWarning, match="without a CUDA graph"):
        encoder = opened(folder / "pooled1")
    with encoder, fs_runtime.load(folder / "pooled1", threads=1) as on_cpu:
        assert same(on_cpu.certify(IMAGES[0], **SETTINGS), encoder.certify(IMAGES[0], **SETTINGS))
    assert "cuGraphLaunch" not in fake.calls


def test_capture_shows_what_tensorrt_says_when_the_plan_cannot_be_captured(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = gpu()
    monkeypatch.setattr(fake_tensorrt._Context, "captures", False)
    with pytest.warns(RuntimeWarning, match=r"could not be captured .*failed to run .*layer 7 cannot be captured"):
        encoder = opened(folder / "pooled1")
    with encoder, fs_runtime.load(folder / "pooled1", threads=1) as on_cpu:
        assert same(on_cpu.certify(IMAGES[0], **SETTINGS), encoder.certify(IMAGES[0], **SETTINGS))
    assert "cuGraphLaunch" not in fake.calls


@pytest.mark.parametrize(
    ("code", "kind"),
    [(Status.CUDA_ERROR_LAUNCH_FAILED, DeviceLostError), (Status.CUDA_ERROR_OUT_OF_MEMORY, DeviceMemoryError)],
)
def test_open_is_an_error_when_the_gpu_is_lost_or_full_while_it_captures(
    folder: Path, gpu: Gpu, code: Status, kind: type[BackendError]
) -> None:
    fake = gpu()
    fake.fails["cuGraphInstantiate"] = code
    with pytest.raises(kind):
        opened(folder / "pooled1")


def test_run_fails_when_tensorrt_refuses(folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu()
    monkeypatch.setattr(fake_tensorrt._Context, "execute_async_v3", lambda self, stream: False)
    with pytest.raises(BackendError, match=r"failed to run engines/plan0/model.plan .it does not say why."):
        opened(folder / "pooled1")


def test_device_seconds_count_copies_noise_and_graph(folder: Path, gpu: Gpu) -> None:
    gpu()
    bundle = read_bundle(folder / "pooled1")
    with open_backend("tensorrt", bundle, bundle.graph("smoothed"), device="cuda", threads=1) as backend:
        before = device_seconds(backend)
        assert before is not None
        noise = backend.noise(bundle.manifest, threads=1)
        keys = [[fs_runtime.noise.DrawKey(1, fs_runtime.noise.Stream.SMOOTH, 0)]] * 7
        for made in noise.ahead(keys):
            zeros = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 6), np.float32), np.zeros(4, np.int64)
            backend.run(Block(zeros[0], made, zeros[1], zeros[2]))
        after = device_seconds(backend)
        assert after is not None
    # Half a millisecond for each pair of events here: two copies, one graph, one noise a block.
    counted = after.since(before)
    assert (counted.copy, counted.noise, counted.graph) == pytest.approx((7e-3, 3.5e-3, 3.5e-3))


def test_certify_goes_on_and_tells_no_times_when_the_driver_has_no_clock(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
        expected = encoder.certify(IMAGES[0], **SETTINGS)
    fake = gpu()
    fake.lacks.add("cuEventElapsedTime")
    monkeypatch.setattr("fs_runtime.backends.cuda.clock.elapsed_milliseconds", lambda first, last: None)
    with opened(folder / "pooled1") as encoder:
        assert same(expected, encoder.certify(IMAGES[0], **SETTINGS))
        assert device_seconds(encoder.backend) is None


@pytest.mark.parametrize("kind", ["certify", "certify_many"])
def test_clean_reference_is_refused_before_any_draw_when_onnx_runtime_cannot_run_the_bare_encoder(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    root = tiny.write_bundle(tmp_path)
    tiny.add_clean(root)
    fake_tensorrt.add_plan(root)
    fake = gpu()
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    message = (
        r'reference "clean" runs .*clean.onnx, of which there are no plans, in ONNX Runtime on cuda, but .*'
        r"pip install 'fs-runtime.gpu.'.*; or use reference \"smoothed\""
    )
    with opened(root) as encoder:
        launched = fake.calls["cuGraphLaunch"]
        # Not even the image, which is none, is looked at.
        for image in ("none.png", IMAGES[0]):
            with pytest.raises(BackendError, match=message) as caught:
                getattr(encoder, kind)([image] if kind == "certify_many" else image, **SETTINGS, reference="clean")
            assert (caught.value.argument, caught.value.exit_code) == ("reference", 4)
        assert fake.calls["cuGraphLaunch"] == launched
        certificate = encoder.certify(IMAGES[0], **SETTINGS)
        # Where no reference can be chosen, none is proposed.
        again = dataclasses.replace(certificate, reference_kind="clean")
        with pytest.raises(BackendError, match=r'^reference "clean" runs .*clean.onnx') as caught:
            encoder.replay(again, IMAGES[0])
        assert "smoothed" not in str(caught.value)
        assert caught.value.argument is None
