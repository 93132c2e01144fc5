"""Backends by name."""

import subprocess
import sys

import pytest

from fs_runtime.backends import find_backend
from fs_runtime.errors import BackendError


def test_find_backend_gives_onnx_runtime_when_auto() -> None:
    assert find_backend("auto") is find_backend("onnxruntime")
    assert find_backend("auto").__name__ == "OnnxRuntimeBackend"


@pytest.mark.parametrize("name", ["tensorrt", "", "ONNXRUNTIME", "os"])
def test_find_backend_raises_when_the_name_is_unknown(name: str) -> None:
    with pytest.raises(BackendError, match=r"no backend .*choose one of auto, onnxruntime") as caught:
        find_backend(name)
    assert caught.value.exit_code == 4


def test_find_backend_says_what_to_install_when_onnx_runtime_is_absent() -> None:
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from fs_runtime.backends import find_backend\n"
        "from fs_runtime.errors import BackendError\n"
        "try:\n    find_backend('auto')\n"
        "except BackendError as error:\n    print(error.exit_code, error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert answer.startswith("4 ")
    assert "pip install 'fs-runtime[cpu]'" in answer
