"""ONNX Runtime on a GPU, as far as it goes without one: the CUDA driver and the noise kernel are thin fakes here.

The session is a real one of the CPU provider, bound to memory by address as it would be on a GPU, whose runs wait on
the fake GPU's stream (helpers/fake_cuda.py). So what is compared with the CPU are whole certificates.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
from helpers import tiny
from helpers.fake_cuda import FakeCuda, Status

import fs_runtime
from fs_runtime.backends import open_backend
from fs_runtime.backends.cuda.backend import CudaBackend
from fs_runtime.backends.cuda.slot import slots_bytes
from fs_runtime.backends.onnxruntime import libraries, on_gpu, tensorrt
from fs_runtime.bundle import Graph, read_bundle
from fs_runtime.cuda_calls import DeviceLostError, DeviceMemoryError
from fs_runtime.errors import BackendError, BundleError

IMAGES = [tiny.image_array(seed=seed) for seed in range(3)]
SETTINGS: dict[str, Any] = {"draws": 41, "alpha": 0.05, "pilot": 12, "seed": 5}
PRECISIONS = ["fp32", "fp16", "bf16", "int8"]
BACKENDS = ["onnxruntime", "onnxruntime-tensorrt"]


class Session:
    """A session of the CPU provider that says it were another's, and runs on a stream."""

    made: "list[Session]" = []  # noqa: RUF012  # a fixture empties it

    def __init__(self, fake: FakeCuda, path: Path, providers: list[Any], options: ort.SessionOptions) -> None:
        self._fake, self.providers = fake, providers
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._stream = int(providers[0][1]["user_compute_stream"])
        self.run_options: list[ort.RunOptions] = []
        self.error: Exception | None = None
        self.on_cpu: list[Any] = []
        self.on_gpu = [SimpleNamespace(ep_name=providers[0][0], get_nodes=list)]
        self.io_binding = self._session.io_binding
        Session.made.append(self)

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [*self.on_gpu, *self.on_cpu]

    def run_with_iobinding(self, binding: Any, options: ort.RunOptions) -> None:
        if self.error is not None:
            raise self.error
        self.run_options.append(options)
        self._fake.enqueue(self._stream, lambda: self._session.run_with_iobinding(binding))


Gpu = Callable[..., FakeCuda]


@pytest.fixture
def gpu(fake_gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    def make(**options: Any) -> FakeCuda:
        fake = fake_gpu(**options)
        monkeypatch.setattr(on_gpu, "check_provider", lambda name: None)
        monkeypatch.setattr(
            on_gpu, "open_session", lambda path, _, providers, made: Session(fake, path, providers, made)
        )
        monkeypatch.setattr(on_gpu.OnnxRuntimeOnGpu, "_memory", "cpu")
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        Session.made.clear()
        return fake

    return make


@pytest.mark.parametrize("eager", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("bundle", ["pooled3", "tokens1"])
def test_certify_many_gives_what_the_cpu_gives_when_the_gpu_works_early_or_late(
    folder: Path, gpu: Gpu, bundle: str, eager: tuple[int, ...]
) -> None:
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        expected = [result.certificate for result in encoder.certify_many(IMAGES, **SETTINGS)]
    fake = gpu(eager=eager)
    with fs_runtime.load(folder / bundle, device="cuda", threads=1) as encoder:
        found = [result.certificate for result in encoder.certify_many(IMAGES, **SETTINGS)]
    for first, second in zip(expected, found, strict=True):
        assert first is not None
        assert second is not None
        assert msgspec.json.encode(first.curve) == msgspec.json.encode(second.curve)
        np.testing.assert_array_equal(first.reference, second.reference)
    assert fake.left == 0


def test_certificate_of_the_graph_replays_on_the_cpu_when_it_was_made_on_a_gpu(folder: Path, gpu: Gpu) -> None:
    gpu()
    with fs_runtime.load(folder / "pooled1", device="cuda:1", threads=1) as encoder:
        certificate = encoder.certify(IMAGES[0], **SETTINGS)
    assert certificate.provenance.backend == fs_runtime.backends.BackendInfo(
        "onnxruntime", ort.__version__, "Other GPU, driver 580.65"
    )
    with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
        again = encoder.replay(certificate, IMAGES[0])
    assert again.equal
    assert not again.same_backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_open_asks_for_full_precision_and_the_shared_stream(folder: Path, gpu: Gpu, backend: str) -> None:
    gpu()
    fs_runtime.load(folder / "pooled1", backend=backend, device="cuda:1", threads=1).close()
    ((name, options), *rest) = Session.made[0].providers
    names = {"onnxruntime": "CUDAExecutionProvider", "onnxruntime-tensorrt": "TensorrtExecutionProvider"}
    assert name == names[backend]
    assert options["device_id"] == "1"
    if backend == "onnxruntime":
        assert (options["use_tf32"], options["enable_cuda_graph"], rest) == ("0", "0", [])
    else:
        assert options["trt_engine_cache_enable"] == "False"
        assert [(name, each["use_tf32"]) for name, each in rest] == [("CUDAExecutionProvider", "0")]
        assert rest[0][1]["user_compute_stream"] == options["user_compute_stream"]
    asked = [
        each.get_run_config_entry("disable_synchronize_execution_providers") for each in Session.made[0].run_options
    ]
    assert asked == ["1", "1"]


def test_open_lets_onnxruntime_capture_when_the_environment_says_so(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu()
    monkeypatch.setenv("FS_CUDA_GRAPH", "1")
    with fs_runtime.load(folder / "pooled1", device="cuda", threads=1) as encoder:
        encoder.certify(IMAGES[0], **SETTINGS)
    session = Session.made[0]
    assert session.providers[0][1]["enable_cuda_graph"] == "1"
    # Each slot has addresses of its own, and so a graph of its own.
    assert {each.get_run_config_entry("gpu_graph_id") for each in session.run_options} == {"1", "2"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_open_leaves_the_precision_to_the_graph_when_tensorrt_builds_its_engine(
    gpu: Gpu, tmp_path: Path, precision: str
) -> None:
    """A precision that is asked for is no longer the graph's: TensorRT would choose it layer by layer."""
    gpu()
    root = tiny.write_bundle(tmp_path, graph={"precision": precision})
    fs_runtime.load(root, backend="onnxruntime-tensorrt", device="cuda", threads=1).close()
    (name, options), _ = Session.made[0].providers
    assert name == "TensorrtExecutionProvider"
    assert set(options) == {"device_id", "user_compute_stream", "trt_engine_cache_enable"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_open_refuses_when_tensorrt_would_narrow_what_is_fp32(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    fake = gpu()
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    root = tiny.write_bundle(tmp_path, graph={"precision": precision})
    with pytest.raises(BackendError, match=r"fp32 in model.onnx to TF32.*NVIDIA_TF32_OVERRIDE=0.*--backend"):
        fs_runtime.load(root, backend="onnxruntime-tensorrt", device="cuda", threads=1)
    assert fake.left == 0


def test_open_refuses_when_tensorrts_provider_is_to_capture(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = gpu()
    monkeypatch.setenv("FS_CUDA_GRAPH", "1")
    with pytest.raises(BackendError, match=r"^FS_CUDA_GRAPH=1 is for the other backends.*set it to 0, unset it"):
        fs_runtime.load(folder / "pooled1", backend="onnxruntime-tensorrt", device="cuda", threads=1)
    assert fake.left == 0


def test_open_refuses_when_onnx_runtime_is_built_with_a_tensorrt_that_chooses_precisions(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = gpu()
    monkeypatch.setattr(tensorrt, "named_version", lambda *_: 8)
    with pytest.raises(BackendError, match=r"is built with TensorRT 8, .*install one that is built with TensorRT 10"):
        fs_runtime.load(folder / "pooled1", backend="onnxruntime-tensorrt", device="cuda", threads=1)
    assert fake.left == 0


def test_replay_allows_rounding_when_the_engine_was_built_at_opening(folder: Path, gpu: Gpu) -> None:
    gpu()
    with fs_runtime.load(folder / "pooled1", backend="onnxruntime-tensorrt", device="cuda", threads=1) as encoder:
        certificate = encoder.certify(IMAGES[0], **SETTINGS)
        again = encoder.replay(certificate, IMAGES[0])
    assert again.equal
    assert not again.same_backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_close_waits_for_the_blocks_that_nobody_waited_for(folder: Path, gpu: Gpu, backend: str) -> None:
    fake = gpu()  # which asserts it
    with fs_runtime.load(folder / "pooled1", backend=backend, device="cuda", threads=1) as encoder:
        for _ in encoder.certify_many(IMAGES, **SETTINGS):
            break
        encoder.backend.start(tiny.empty_block())
        assert fake.busy
    assert fake.left == 0


# ---- what cannot be opened, or breaks


def test_open_counts_two_slots_and_refuses_only_a_clean_reference_when_a_third_does_not_fit(
    folder: Path, gpu: Gpu
) -> None:
    root = folder / "pooled1"
    manifest = read_bundle(root).manifest
    with fs_runtime.load(root, threads=1) as encoder:
        clean = encoder.certify(IMAGES[0], **SETTINGS, reference="clean")
    need = manifest.graphs[0].bytes + slots_bytes(manifest)
    gpu(memory=need - 1)
    with pytest.raises(DeviceMemoryError, match="is free"):
        fs_runtime.load(root, device="cuda", threads=1)
    fake = gpu(memory=need)
    with fs_runtime.load(root, device="cuda", threads=1) as encoder:
        assert fake.taken == slots_bytes(manifest)
        fake.memory = slots_bytes(manifest, 3) - 1
        message = (
            r"^a third block, for a clean reference .* of the memory of cuda:0 .Test GPU. at a noise batch of 4, but .*"
            r"; about --noise-batch 3 fits: export with that, or free memory"
        )
        with pytest.raises(DeviceMemoryError, match=rf"{message}; or use reference \"smoothed\"$") as caught:
            encoder.certify("none.png", **SETTINGS, reference="clean")  # it is not even looked at
        assert caught.value.argument == "reference"
        with pytest.raises(DeviceMemoryError, match=rf"{message}$") as caught:
            encoder.replay(clean, IMAGES[0])
        assert caught.value.argument is None
        assert encoder.replay(encoder.certify(IMAGES[0], **SETTINGS), IMAGES[0]).equal
        fake.memory += 1
        assert encoder.replay(clean, IMAGES[0]).equal
        assert fake.taken == slots_bytes(manifest, 3)


def test_clean_reference_proposes_no_other_when_the_gpu_is_lost(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    with fs_runtime.load(folder / "pooled1", device="cuda", threads=1) as encoder:
        fake.fails["cuMemGetInfo"] = Status.CUDA_ERROR_LAUNCH_FAILED
        with pytest.raises(DeviceLostError, match=r"was lost in mid-run .cuMemGetInfo") as caught:
            encoder.certify(IMAGES[0], **SETTINGS, reference="clean")
    assert "smoothed" not in str(caught.value)


def test_clean_reference_counts_the_bare_encoder_when_it_is_opened(gpu: Gpu, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    tiny.add_clean(root)
    bundle = read_bundle(root)
    manifest = bundle.manifest
    fake = gpu()
    with fs_runtime.load(root, device="cuda", threads=1) as encoder:
        taken, left = fake.taken, fake.left
        assert taken == slots_bytes(manifest)
        fake.memory = taken + bundle.graph("clean").bytes + slots_bytes(manifest.bare) - 1
        with pytest.raises(
            DeviceMemoryError, match=r"^reference \"clean\" runs .*clean.onnx.* but .*; or use reference \"smoothed\"$"
        ):
            encoder.certify("none.png", **SETTINGS, reference="clean")
        assert (fake.taken, fake.left) == (taken, left)
        fake.memory += 1
        encoder.certify(IMAGES[0], **SETTINGS, reference="clean")
        assert fake.taken == taken + slots_bytes(manifest.bare, 3)


def test_clean_reference_leaves_nothing_open_when_the_bare_encoder_has_no_room_for_its_block(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(backend: CudaBackend) -> None:
        raise DeviceMemoryError("not one block more")

    root = tiny.write_bundle(tmp_path)
    tiny.add_clean(root)
    fake = gpu()
    with fs_runtime.load(root, device="cuda", threads=1) as encoder:
        left = fake.left
        monkeypatch.setattr(CudaBackend, "take_own_noise", full)
        with pytest.raises(DeviceMemoryError, match="not one block more"):
            encoder.certify(IMAGES[0], **SETTINGS, reference="clean")
        assert fake.left == left


def test_open_says_what_is_free_when_the_weights_do_not_fit(folder: Path, gpu: Gpu) -> None:
    gpu(memory=2000)
    with pytest.raises(
        DeviceMemoryError, match=r"needs \d+ MiB of the memory of cuda:0 .Test GPU.*but \d+ MiB is free"
    ):
        fs_runtime.load(folder / "pooled1", device="cuda", threads=1)


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "[E] BFCArena: Failed to allocate memory for requested buffer of size 99614720",
            DeviceMemoryError,
            r"ended when 95.0 MiB more were asked for .*--noise-batch .try 2.",
        ),
        ("CUDA failure 2: out of memory ; GPU=0", DeviceMemoryError, r"ended .CUDA.*; 256 MiB were free before"),
        (
            "Non-zero status code",
            BackendError,
            r"failed on cuda:0 .Test GPU. .Non-zero status code.: what was finished",
        ),
    ],
)
def test_run_says_what_happened_when_onnx_runtime_fails(
    folder: Path, gpu: Gpu, said: str, kind: type[Exception], message: str
) -> None:
    gpu()
    with fs_runtime.load(folder / "pooled1", device="cuda", threads=1) as encoder:
        Session.made[0].error = RuntimeError(said)
        with pytest.raises(kind, match=message):
            encoder.certify(IMAGES[0], **SETTINGS)


def test_run_says_so_when_the_gpu_is_lost(folder: Path, gpu: Gpu) -> None:
    fake = gpu()
    with fs_runtime.load(folder / "pooled1", device="cuda", threads=1) as encoder:
        Session.made[0].error = RuntimeError("CUDA failure 719: unspecified launch failure")
        fake._lost = True
        with pytest.raises(DeviceLostError, match="was lost in mid-run"):
            encoder.certify(IMAGES[0], **SETTINGS)


def _raising(error: Exception) -> Callable[..., Any]:
    def open_session(*_: Any) -> Any:
        raise error

    return open_session


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Conv(11) node 'patches'",
            BackendError,
            r"cannot run .*model.onnx .bf16. on the GPU: .*Conv.11. node 'patches'; build a plan",
        ),
        ("cannot load: CUDA failure 2: out of memory", DeviceMemoryError, "256 MiB were free before anything"),
        ("cannot load: protobuf parsing failed", BundleError, "protobuf parsing failed"),
    ],
)
def test_open_says_what_happened_when_the_session_cannot_be_made(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, kind: type[Exception], message: str
) -> None:
    fake = gpu()
    monkeypatch.setattr(on_gpu, "open_session", _raising(BundleError(said)))
    with pytest.raises(kind, match=message):
        fs_runtime.load(tiny.write_bundle(tmp_path, graph={"precision": "bf16"}), device="cuda", threads=1)
    assert fake.left == 0


def test_open_refuses_when_nodes_are_left_to_the_cpu(folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu()

    def session(fake: FakeCuda, path: Path, _: Graph, providers: list[Any], options: ort.SessionOptions) -> Session:
        made = Session(fake, path, providers, options)
        nodes = [SimpleNamespace(op_type="NonMaxSuppression")]
        made.on_cpu = [SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes)]
        return made

    fake = gpu()
    monkeypatch.setattr(on_gpu, "open_session", lambda *arguments: session(fake, *arguments))
    with pytest.raises(BackendError, match=r"leaves nodes of .*model.onnx to the CPU .NonMaxSuppression .1.."):
        fs_runtime.load(folder / "pooled1", device="cuda", threads=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_open_refuses_when_the_provider_runs_nothing(
    folder: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    fake = gpu()

    def session(path: Path, _: Graph, providers: list[Any], options: ort.SessionOptions) -> Session:
        made = Session(fake, path, providers, options)
        made.on_gpu = []
        return made

    monkeypatch.setattr(on_gpu, "open_session", session)
    with pytest.raises(BackendError, match=r"gives no part of .*model.onnx to \w+ExecutionProvider"):
        fs_runtime.load(folder / "pooled1", backend=backend, device="cuda", threads=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_open_refuses_when_this_build_has_no_provider(
    folder: Path, fake_gpu: Gpu, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    fake_gpu()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setattr(libraries.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    bundle = read_bundle(folder / "pooled1")
    with pytest.raises(BackendError, match=r"was built without (CUDA|Tensorrt)ExecutionProvider.*'fs-runtime.gpu.'"):
        open_backend(backend, bundle, bundle.graph("smoothed"), device="cuda", threads=1)
