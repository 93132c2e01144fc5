"""Sessions that opened something else than was asked for."""

from types import SimpleNamespace

import pytest

from fs_runtime.backends.onnxruntime.session import check_providers
from fs_runtime.errors import BackendError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.mark.parametrize(
    ("wanted", "opened"),
    [([CPU], [CPU]), ([CUDA], [CUDA, CPU]), ([TENSORRT, CUDA], [TENSORRT, CUDA, CPU])],
)
def test_check_providers_passes_when_all_opened(wanted: list[str], opened: list[str]) -> None:
    check_providers(SimpleNamespace(get_providers=lambda: opened), wanted)


@pytest.mark.parametrize(
    ("wanted", "opened"),
    [
        ([CUDA], [CPU]),
        ([CPU], [CUDA, CPU]),
        ([TENSORRT, CUDA], [CUDA, CPU]),
        ([TENSORRT, CUDA], [TENSORRT, CPU]),
        ([TENSORRT, CUDA], [CUDA, TENSORRT, CPU]),
        ([CUDA], []),
    ],
)
def test_check_providers_refuses_when_others_opened(wanted: list[str], opened: list[str]) -> None:
    with pytest.raises(BackendError, match=f"{wanted[0]}.* was asked for, but ONNX Runtime opened"):
        check_providers(SimpleNamespace(get_providers=lambda: opened), wanted)
