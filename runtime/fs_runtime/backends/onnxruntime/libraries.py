"""Does a provider's library load here? ONNX Runtime itself only logs that it does not, and goes on without."""

from pathlib import Path

import onnxruntime as ort

from fs_runtime.backends.provider_library import CUDNN_PAIRING, load_fault, missing_library, preload
from fs_runtime.errors import BackendError


def check_provider(name: str, *, folder: Path | None = None) -> None:
    """Load what a provider needs.

    Args:
        name: of the provider.
        folder: where ONNX Runtime's libraries lie; None: its own.

    Raises:
        BackendError: this build has no such provider, or a library is missing; the message names it and the remedy.
    """
    if name not in ort.get_available_providers():
        raise BackendError(
            f"ONNX Runtime {ort.__version__} was built without {name}: pip uninstall onnxruntime, then pip install "
            "'fs-runtime[gpu]' (the two builds exclude one another), or use --device cpu"
        )
    preload(ort)
    fault = load_fault(ort, name, folder)
    if fault is not None:
        raise BackendError(_sentence(name, fault)) from fault


def _sentence(name: str, fault: OSError) -> str:
    missing = missing_library(fault)
    what = f"it needs {missing}, which is not found" if missing else str(fault).splitlines()[0]
    remedy = _remedy(missing) if missing else "fs-runtime doctor --device cuda says what is missing"
    return f"ONNX Runtime {ort.__version__} cannot load {name}: {what}; {remedy}"


def _remedy(library: str) -> str:
    cuda = str(getattr(ort, "cuda_version", "") or "13").split(".")[0]
    if "nvinfer" in library or "nvonnxparser" in library:
        version = library.rpartition(".so.")[2] or "10"
        return f"install TensorRT {version} (pip install 'tensorrt-cu{cuda}>={version},<{int(version) + 1}')"
    if "cudnn" in library:
        version = library.rpartition(".so.")[2] or "9"
        packages = f"pip install 'onnxruntime-gpu[cuda,cudnn]', or 'nvidia-cudnn-cu{cuda}=={version}.*'"
        return f"install cuDNN {version} ({packages}). {CUDNN_PAIRING}"
    return f"install CUDA {cuda} (pip install 'onnxruntime-gpu[cuda,cudnn]', or NVIDIA's packages of the system)"
