"""Libraries of providers that are missing: what the loader says of them is what it said on a machine without CUDA."""

import ctypes
from pathlib import Path

import pytest

from fs_runtime.backends.onnxruntime import libraries
from fs_runtime.backends.onnxruntime.libraries import check_provider
from fs_runtime.errors import BackendError

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("shared", "cuda", "tensorrt"):
        (tmp_path / f"libonnxruntime_providers_{name}.so").write_bytes(b"no library")
    monkeypatch.setattr(libraries.ort, "get_available_providers", lambda: [TENSORRT, CUDA, "CPUExecutionProvider"])
    monkeypatch.setattr(libraries.ort, "cuda_version", "13.0", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("provider", "missing", "remedy"),
    [
        (CUDA, "libcublasLt.so.13", "install CUDA 13"),
        (CUDA, "libcudart.so.13", "install CUDA 13"),
        (CUDA, "libcudnn.so.9", r"install cuDNN 9 .*from 1.19 on.*is built with cuDNN 9; one that you built yourself"),
        (TENSORRT, "libnvinfer.so.10", r"install TensorRT 10 .pip install 'tensorrt-cu13>=10,<11'"),
    ],
)
def test_check_provider_names_the_library_when_it_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, provider: str, missing: str, remedy: str
) -> None:
    def load(path: str, mode: int = 0) -> None:
        if "shared" not in path:
            raise OSError(f"{missing}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    message = rf"cannot load {provider}: it needs {missing}, which is not found; {remedy}"
    with pytest.raises(BackendError, match=message) as caught:
        check_provider(provider, folder=folder)
    assert caught.value.exit_code == 4


def test_check_provider_shows_what_the_loader_says_when_a_library_is_damaged(folder: Path) -> None:
    with pytest.raises(BackendError, match=r"cannot load CUDAExecutionProvider: .*shared.so.*; fs-runtime doctor"):
        check_provider(CUDA, folder=folder)


def test_check_provider_passes_when_the_provider_is_linked_in(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    check_provider(CUDA, folder=folder)


def test_check_provider_says_which_package_when_this_build_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"built without CUDAExecutionProvider.*pip uninstall onnxruntime"):
        check_provider(CUDA)
