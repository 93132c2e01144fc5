"""Libraries of ONNX Runtime's providers, as the system's loader sees them."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from fs_runtime.backends import provider_library
from fs_runtime.backends.provider_library import load_fault, missing_library


def test_load_fault_imports_tensorrt_first_when_its_provider_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shared", "tensorrt", "cuda"):
        (tmp_path / f"libonnxruntime_providers_{name}.so").write_bytes(b"")
    seen: list[str] = []
    monkeypatch.setattr(provider_library, "import_module", seen.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: seen.append(Path(path).name))
    assert load_fault(SimpleNamespace(), "TensorrtExecutionProvider", tmp_path) is None
    assert seen == ["tensorrt", "libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so"]
    seen.clear()
    assert load_fault(SimpleNamespace(), "CUDAExecutionProvider", tmp_path) is None
    assert "tensorrt" not in seen


def test_missing_library_is_none_when_the_loader_says_something_else() -> None:
    assert missing_library(OSError("libx.so.1: cannot open shared object file: No such file")) == "libx.so.1"
    assert missing_library(OSError("invalid ELF header")) is None
