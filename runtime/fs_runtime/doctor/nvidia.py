"""NVIDIA: driver, GPUs, and the libraries that run on them."""

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

from fs_runtime.cuda_driver import Driver
from fs_runtime.doctor.check import Check, judged

_LIBRARIES = {
    "cuda.runtime": ("libcudart.so", ("13", "12"), "pip install nvidia-cuda-runtime, or install CUDA 13"),
    "cuda.cublas": ("libcublas.so", ("13", "12"), "pip install nvidia-cublas, or install CUDA 13"),
    "cuda.cudnn": ("libcudnn.so", ("9",), "pip install nvidia-cudnn-cu13, or install cuDNN 9"),
}


def check_driver(driver: Driver, *, needed: bool) -> list[Check]:
    """The driver and each GPU it shows."""
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
    return checks


def check_libraries(*, needed: bool) -> list[Check]:
    """CUDA's and cuDNN's libraries, loaded from the system or from NVIDIA's Python packages."""
    return [_check_library(name, *facts, needed=needed) for name, facts in _LIBRARIES.items()]


def _check_library(name: str, stem: str, versions: tuple[str, ...], remedy: str, *, needed: bool) -> Check:
    for version in versions:
        for place in (f"{stem}.{version}", *_packaged(f"{stem}.{version}")):
            try:
                ctypes.CDLL(place)
            except OSError:
                continue
            return Check(name, "ok", f"{stem}.{versions[0]}", place)
    return judged(
        name, False, needed=needed, expected=f"{stem}.{versions[0]}", actual="cannot be loaded", remedy=remedy
    )


def _packaged(name: str) -> list[str]:
    """Where NVIDIA's Python packages hold a library."""
    spec = find_spec("nvidia") if sys.platform == "linux" else None
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return [str(path) for folder in folders for path in sorted(Path(folder).glob(f"**/{name}"))]
