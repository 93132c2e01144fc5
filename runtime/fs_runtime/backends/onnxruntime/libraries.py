"""Does a provider's library load here? ONNX Runtime itself only logs that it does not, and goes on without."""

import ctypes
import io
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import onnxruntime as ort

from fs_runtime.errors import BackendError

_SHARED = "libonnxruntime_providers_shared.so"
_PROVIDERS = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    "TensorrtExecutionProvider": "libonnxruntime_providers_tensorrt.so",
}
_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


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
    _load_packaged()
    if name == "TensorrtExecutionProvider":
        # pip's TensorRT lies on no path of the loader; importing it brings its libraries into the process.
        with suppress(Exception):
            import_module("tensorrt")
    folder = folder or Path(ort.__file__).parent / "capi"
    library = folder / _PROVIDERS[name]
    if not library.exists():  # a build that links its providers in
        return
    for path, mode in ((folder / _SHARED, ctypes.RTLD_GLOBAL), (library, ctypes.RTLD_LOCAL)):
        try:
            ctypes.CDLL(str(path), mode=mode)
        except OSError as error:
            raise BackendError(_sentence(name, str(error))) from error


def _load_packaged() -> None:
    """Load CUDA and cuDNN from NVIDIA's Python packages, where these are installed; ONNX Runtime prints of failures."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _sentence(name: str, reason: str) -> str:
    found = _MISSING.search(reason)
    what = f"it needs {found[1]}, which is not found" if found else reason.splitlines()[0]
    remedy = _remedy(found[1]) if found else "fs-runtime doctor --device cuda says what is missing"
    return f"ONNX Runtime {ort.__version__} cannot load {name}: {what}; {remedy}"


def _remedy(library: str) -> str:
    cuda = str(getattr(ort, "cuda_version", "") or "13").split(".")[0]
    if "nvinfer" in library or "nvonnxparser" in library:
        version = library.rpartition(".so.")[2] or "10"
        return f"install TensorRT {version} (pip install 'tensorrt-cu{cuda}>={version},<{int(version) + 1}')"
    if "cudnn" in library:
        return f"install cuDNN 9 (pip install 'onnxruntime-gpu[cuda,cudnn]', or nvidia-cudnn-cu{cuda})"
    return f"install CUDA {cuda} (pip install 'onnxruntime-gpu[cuda,cudnn]', or NVIDIA's packages of the system)"
