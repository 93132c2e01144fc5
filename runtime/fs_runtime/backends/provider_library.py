"""Does the library of one of ONNX Runtime's providers load here? ONNX Runtime itself only logs that it does not.

ONNX Runtime is an argument, so that whoever asks need not have it.
"""

import ctypes
import io
import mmap
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_CUDNN = 9
CUDNN_PAIRING = (
    "onnxruntime-gpu from 1.19 on, for CUDA 12 or 13, is built with cuDNN 9; one that you built yourself must be too: "
    "build it against cuDNN 9, or use a plan (--backend tensorrt) or --device cpu"
)
"""Which cuDNN goes with which ONNX Runtime, and what to do with one that is paired otherwise.

From https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#requirements: builds with cuDNN 8 and 9
exclude one another.
"""
_SHARED = "libonnxruntime_providers_shared.so"
_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


def preload(ort: Any) -> None:
    """Load CUDA and cuDNN from NVIDIA's Python packages, where these are installed; ONNX Runtime prints of failures."""
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def load_fault(ort: Any, provider: str, folder: Path | None = None) -> OSError | None:
    """What the system's loader says against a provider; None: it loads, or is linked in.

    CUDA's provider is not linked to cuDNN in newer ONNX Runtimes: without it, it loads, and fails at the first
    convolution. So cuDNN is loaded here too, of the version that :func:`cudnn_version` tells.

    Args:
        ort: the package.
        provider: its name, such as ``CUDAExecutionProvider``.
        folder: where ONNX Runtime's libraries lie; None: its own.
    """
    if provider == "TensorrtExecutionProvider":
        # pip's TensorRT lies on no path of the loader; importing it brings its libraries into the process.
        with suppress(Exception):
            import_module("tensorrt")
    library = _file(ort, provider, folder)
    if not library.is_file():
        return None
    wanted = [(str(library.parent / _SHARED), ctypes.RTLD_GLOBAL), (str(library), ctypes.RTLD_LOCAL)]
    if provider == "CUDAExecutionProvider":
        wanted.append((f"libcudnn.so.{cudnn_version(ort, folder)}", ctypes.RTLD_LOCAL))
    for path, mode in wanted:
        try:
            ctypes.CDLL(path, mode=mode)
        except OSError as error:
            return error
    return None


def named_version(ort: Any, provider: str, stem: str, folder: Path | None = None) -> int | None:
    """Which version of a library a provider's own library names, as 10 in ``libnvinfer.so.10``; None: it names none.

    Args:
        ort: the package.
        provider: its name.
        stem: of the library's file, as ``libnvinfer``.
        folder: where ONNX Runtime's libraries lie; None: its own.
    """
    path = _file(ort, provider, folder)
    if not path.is_file() or path.stat().st_size == 0:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(rb"%s\.so\.(\d+)" % re.escape(stem.encode()), content)
        return int(found[1]) if found else None


def cudnn_version(ort: Any, folder: Path | None = None) -> int:
    """The cuDNN that the CUDA provider is built with.

    Newer providers load it without naming it: theirs is the one that :data:`CUDNN_PAIRING` tells of.

    Args:
        ort: the package.
        folder: where ONNX Runtime's libraries lie; None: its own.
    """
    return named_version(ort, "CUDAExecutionProvider", "libcudnn", folder) or _CUDNN


def missing_library(fault: OSError) -> str | None:
    """The library that the loader did not find, where that is what it says."""
    found = _MISSING.search(str(fault))
    return found[1] if found else None


def _file(ort: Any, provider: str, folder: Path | None) -> Path:
    """The library of a provider, which one that is linked in has not."""
    folder = folder or Path(getattr(ort, "__file__", "")).parent / "capi"
    return folder / f"libonnxruntime_providers_{provider.removesuffix('ExecutionProvider').lower()}.so"
