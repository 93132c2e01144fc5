"""Backends by name."""

import subprocess
import sys

import pytest

from fs_runtime.backends import BACKENDS, find_backend
from fs_runtime.errors import BackendError


def test_find_backend_gives_onnx_runtime_when_auto() -> None:
    assert find_backend("auto") is find_backend("onnxruntime")
    assert find_backend("auto").__name__ == "OnnxRuntimeBackend"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("auto", "OnnxRuntimeCudaBackend"),
        ("onnxruntime", "OnnxRuntimeCudaBackend"),
        ("onnxruntime-tensorrt", "OnnxRuntimeTensorRtBackend"),
        ("tensorrt", "TensorRtBackend"),
    ],
)
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_find_backend_gives_another_class_when_the_device_is_a_gpu(name: str, found: str, device: str) -> None:
    assert find_backend(name, device).__name__ == found


@pytest.mark.parametrize("name", ["triton", "", "ONNXRUNTIME", "os"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_find_backend_raises_when_the_name_is_unknown(name: str, device: str) -> None:
    with pytest.raises(BackendError, match=r"no backend .*choose one of auto, onnxruntime") as caught:
        find_backend(name, device)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "onnxruntime"])
def test_find_backend_raises_when_the_backend_needs_a_gpu(name: str) -> None:
    with pytest.raises(BackendError, match=f"the backend {name} does not run on the device 'cpu': use --device cuda"):
        find_backend(name)


def test_find_backend_says_what_to_install_when_onnx_runtime_is_absent() -> None:
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from fs_runtime.backends import find_backend\n"
        "from fs_runtime.errors import BackendError\n"
        "for device in ('cpu', 'cuda'):\n"
        "    try:\n        find_backend('auto', device)\n"
        "    except BackendError as error:\n        print(error.exit_code, error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    lines = answer.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("4 ")
        assert "pip install 'fs-runtime[cpu]'" in line
