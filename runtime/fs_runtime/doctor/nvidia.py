"""NVIDIA: driver, GPUs, and the libraries that run on them."""

import ctypes
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fs_runtime.backends.provider_library import cudnn_version
from fs_runtime.cuda_driver import Driver
from fs_runtime.doctor.check import Check, judged

_NEWEST_CUDA = "13"


@dataclass(frozen=True)
class _Library:
    """One that ONNX Runtime's CUDA provider needs.

    Attributes:
        stem: of its file.
        version: of the file's name; None: CUDA's.
        package: of NVIDIA's for Python, without CUDA's number; with ``{}`` where it has one.
        ask: its function that tells its own version.
    """

    stem: str
    version: str | None
    package: str
    ask: str | None


_LIBRARIES = {
    "cuda.runtime": _Library("libcudart.so", None, "nvidia-cuda-runtime", "cudaRuntimeGetVersion"),
    "cuda.cublas": _Library("libcublas.so", None, "nvidia-cublas", None),
}


def needed_cuda() -> str:
    """The major version of CUDA that the installed ONNX Runtime was built with; without a GPU build the newest."""
    try:
        import onnxruntime as ort
    except Exception:  # a broken package can raise anything, and has a check of its own
        return _NEWEST_CUDA
    return str(getattr(ort, "cuda_version", "") or _NEWEST_CUDA).partition(".")[0]


def check_driver(
    driver: Driver, *, needed: bool, cuda: str | None = None, wanted_by: str = "onnxruntime-gpu"
) -> list[Check]:
    """The driver, each GPU it shows, and whether it is new enough for a major version of CUDA (None: any is).

    ``wanted_by`` is the package that wants that version.
    """
    shown = ", ".join(
        part for part in (driver.version, driver.cuda and f"CUDA up to {driver.cuda}", driver.problem) if part
    )
    remedy = "install NVIDIA's driver, and start a container with --gpus all; or use --device cpu"
    checks = [
        judged("driver", bool(driver.gpus), needed=needed, expected="a driver and a GPU", actual=shown, remedy=remedy)
    ]
    for gpu in driver.gpus:
        free = "" if gpu.free is None else f", {gpu.free / 2**30:.1f} GiB free"
        actual = f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory / 2**30:.1f} GiB{free}"
        checks.append(Check(f"gpu.{gpu.index}", "ok", "a GPU", actual))
    if driver.gpus and driver.cuda is not None and cuda is not None:
        checks.append(
            judged(
                "driver.cuda",
                int(driver.cuda.partition(".")[0]) >= int(cuda),
                needed=needed,
                expected=f"CUDA {cuda}, which this {wanted_by} is built with",
                actual=f"the driver supports CUDA up to {driver.cuda}",
                remedy=f"update NVIDIA's driver to one for CUDA {cuda}, or install one of {wanted_by} for CUDA "
                f"{driver.cuda.partition('.')[0]}",
            )
        )
    return checks


def check_libraries(*, needed: bool, cuda: str = _NEWEST_CUDA) -> list[Check]:
    """CUDA's and cuDNN's libraries, loaded from the system or from NVIDIA's Python packages."""
    cudnn = _Library("libcudnn.so", _needed_cudnn(), "nvidia-cudnn-cu{}", "cudnnGetVersion")
    libraries = {**_LIBRARIES, "cuda.cudnn": cudnn}
    return [_check_library(name, library, cuda, needed=needed) for name, library in libraries.items()]


def _needed_cudnn() -> str:
    """The version of cuDNN that the installed ONNX Runtime was built with."""
    try:
        import onnxruntime as ort
    except Exception:  # a broken package can raise anything, and has a check of its own
        ort = None
    return str(cudnn_version(ort))


def _check_library(name: str, library: _Library, cuda: str, *, needed: bool) -> Check:
    version = library.version or cuda
    file = f"{library.stem}.{version}"
    what = f"cuDNN {version}" if library.version else f"CUDA {version}"
    package = library.package.format(cuda) if "{}" in library.package else _of_cuda(library.package, cuda)
    for place in (file, *_packaged(file)):
        try:
            loaded = ctypes.CDLL(place)
        except OSError:
            continue
        return Check(name, "ok", file, f"{place}{_version(loaded, library.ask)}")
    remedy = f"pip install {package}, or install {what}"
    return judged(name, False, needed=needed, expected=file, actual="cannot be loaded", remedy=remedy)


def _of_cuda(package: str, cuda: str) -> str:
    """NVIDIA names CUDA's packages by their major version up to 12, and not from 13 on."""
    return f"{package}-cu{cuda}" if int(cuda) < 13 else f"'{package}=={cuda}.*'"


def _version(library: ctypes.CDLL, ask: str | None) -> str:
    """What a library says of its version."""
    if ask == "cudaRuntimeGetVersion":
        number = ctypes.c_int()
        if library[ask](ctypes.byref(number)):
            return ""
        return f", version {number.value // 1000}.{number.value % 1000 // 10}"
    if ask == "cudnnGetVersion":
        library[ask].restype = ctypes.c_size_t
        found = int(library[ask]())
        return f", version {found // 10000}.{found % 10000 // 100}.{found % 100}"
    return ""


def _packaged(name: str) -> list[str]:
    """Where NVIDIA's Python packages hold a library."""
    spec = find_spec("nvidia") if sys.platform == "linux" else None
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return [str(path) for folder in folders for path in sorted(Path(folder).glob(f"**/{name}"))]
