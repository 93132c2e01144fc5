"""Libraries of ONNX Runtime's providers, as the system's loader sees them."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from fs_runtime.backends import provider_library
from fs_runtime.backends.provider_library import load_fault, missing_library, named_version


def test_load_fault_imports_tensorrt_first_when_its_provider_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shared", "tensorrt", "cuda"):
        (tmp_path / f"libonnxruntime_providers_{name}.so").write_bytes(b"")
    seen: list[str] = []
    monkeypatch.setattr(provider_library, "import_module", seen.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode=0: seen.append(Path(path).name))
    assert load_fault(SimpleNamespace(), "TensorrtExecutionProvider", tmp_path) is None
    assert seen == ["tensorrt", "libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so"]
    seen.clear()
    assert load_fault(SimpleNamespace(), "CUDAExecutionProvider", tmp_path) is None
    assert seen == ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so", "libcudnn.so.9"]
    seen.clear()
    (tmp_path / "libonnxruntime_providers_cuda.so").write_bytes(b"libcudart.so.12\0libcudnn.so.8\0")
    assert load_fault(SimpleNamespace(), "CUDAExecutionProvider", tmp_path) is None
    assert seen[-1] == "libcudnn.so.8"


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "CPUExecutionProvider"])
def test_load_fault_names_cudnn_when_only_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    # A newer CUDA provider loads without cuDNN; the loader is a fake here.
    for name in ("shared", "cuda", "cpu"):
        (tmp_path / f"libonnxruntime_providers_{name}.so").write_bytes(b"")

    def load(path: str, mode: int = 0) -> None:
        if path == "libcudnn.so.9":
            raise OSError(f"{path}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    fault = load_fault(SimpleNamespace(), provider, tmp_path)
    if provider == "CPUExecutionProvider":
        assert fault is None
    else:
        assert fault is not None
        assert missing_library(fault) == "libcudnn.so.9"


def test_missing_library_is_none_when_the_loader_says_something_else() -> None:
    assert missing_library(OSError("libx.so.1: cannot open shared object file: No such file")) == "libx.so.1"
    assert missing_library(OSError("invalid ELF header")) is None


@pytest.mark.parametrize(
    ("content", "version"),
    [(b"\0libcudart.so.12\0libnvinfer.so.8\0libnvinfer_plugin.so.9\0", 8), (b"no library", None), (b"", None)],
)
def test_named_version_is_what_the_providers_library_names(tmp_path: Path, content: bytes, version: int | None) -> None:
    (tmp_path / "libonnxruntime_providers_tensorrt.so").write_bytes(content)
    assert named_version(SimpleNamespace(), "TensorrtExecutionProvider", "libnvinfer", tmp_path) == version
    assert named_version(SimpleNamespace(), "CUDAExecutionProvider", "libnvinfer", tmp_path) is None
