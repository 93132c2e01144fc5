"""Which backend serves a bundle. The CUDA driver and TensorRT are thin fakes here."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import fake_tensorrt, tiny
from helpers.engines import NO_GPU
from helpers.fake_cuda import FakeCuda

from fs_runtime.backends import open_backend
from fs_runtime.backends.cuda import device as cuda_device
from fs_runtime.backends.tensorrt import library
from fs_runtime.bundle import read_bundle
from fs_runtime.cuda_driver import ask_driver
from fs_runtime.errors import BackendError


@pytest.fixture
def gpu(fake_gpu: Callable[..., FakeCuda], monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = fake_gpu()
    fake_tensorrt.install(monkeypatch, fake)
    return fake


def _name(root: Path, device: str, *, backend: str = "auto") -> str:
    bundle = read_bundle(root)
    with open_backend(backend, bundle, bundle.graph("smoothed"), device=device, threads=1) as opened:
        return opened.info.name


def test_auto_is_tensorrt_when_the_bundle_has_a_plan_for_the_gpu(gpu: FakeCuda, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    assert _name(root, "cuda") == "tensorrt"
    assert _name(root, "cuda:1") == "tensorrt"
    assert _name(root, "cpu") == "onnxruntime"


@pytest.mark.parametrize("changes", [{"compute_capability": "9.0"}, {"version": "10.17.0"}, None])
def test_auto_is_onnx_runtime_when_no_plan_fits(
    gpu: FakeCuda, tmp_path: Path, changes: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.write_bundle(tmp_path)
    if changes is not None:
        fake_tensorrt.add_plan(root, **changes)
    # The build of ONNX Runtime here may have no CUDA: that it was tried is what is asked.
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="built without CUDAExecutionProvider"):
        _name(root, "cuda")


def _break_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(library, "import_module", broken)


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_auto_is_an_error_when_the_tensorrt_of_a_plan_is_broken(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    _break_tensorrt(monkeypatch)
    message = r"tensorrt is installed but does not load .libnvinfer.so.10: .*pip install .*--backend onnxruntime"
    with pytest.raises(BackendError, match=message) as caught:
        _name(root, "cuda", backend=backend)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("other", ["another GPU", "not installed"])
def test_auto_passes_over_a_tensorrt_when_no_plan_of_it_is_for_the_gpu_or_it_is_not_installed(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, **({"compute_capability": "9.0"} if other == "another GPU" else {}))
    if other == "another GPU":
        _break_tensorrt(monkeypatch)
    else:
        monkeypatch.setattr(library, "find_spec", lambda name: None)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match="built without CUDAExecutionProvider"):
        _name(root, "cuda")


def test_auto_takes_the_plan_that_runs_when_the_other_tensorrt_is_broken(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    fake_tensorrt.add_plan(root, builder="tensorrt-rtx", version="1.7.1")
    versions = {"tensorrt": fake_tensorrt.VERSION, "tensorrt-rtx": "!broken"}
    monkeypatch.setattr(library, "installed_versions", lambda: versions)
    assert _name(root, "cuda") == "tensorrt"


def test_auto_does_not_try_another_backend_when_the_plan_does_not_open(gpu: FakeCuda, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root, b"no plan at all")
    with pytest.raises(BackendError, match=r"TensorRT .* cannot open"):
        _name(root, "cuda")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "onnxruntime-tensorrt", "tensorrt"])
def test_open_is_a_sentence_when_there_is_no_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    root = tiny.write_bundle(tmp_path)
    fake_tensorrt.add_plan(root)
    if ask_driver().gpus:
        monkeypatch.setattr(cuda_device, "ask_driver", lambda: NO_GPU)
        monkeypatch.setattr("fs_runtime.cuda_driver.ask_driver", lambda: NO_GPU)
    with pytest.raises(BackendError, match=r"--device cuda:0 cannot be used: .*driver.*or use --device cpu") as caught:
        _name(root, "cuda:0", backend=backend)
    assert caught.value.exit_code == 4


def test_open_names_the_gpus_when_there_are_fewer(gpu: FakeCuda, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no GPU cuda:2, but cuda:0 Test GPU, cuda:1 Other GPU"):
        _name(tiny.write_bundle(tmp_path), "cuda:2")
