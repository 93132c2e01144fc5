"""What NVIDIA's driver says of the GPUs here, through ctypes: no CUDA package is needed to ask."""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIBRARY = "libcuda.so.1"
_KERNEL_MODULE = Path("/proc/driver/nvidia/version")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        index: its number, after ``CUDA_VISIBLE_DEVICES``.
        name: as NVIDIA calls it.
        compute_capability: as ``8.9``.
        memory: bytes in all.
        free: bytes free, None where it was not asked for or cannot be told.
    """

    index: int
    name: str
    compute_capability: str
    memory: int
    free: int | None = None


@dataclass(frozen=True)
class Driver:
    """The driver and its GPUs.

    Attributes:
        version: release of the kernel module, as ``580.65.06``; None where the system does not show it.
        cuda: newest CUDA version that it supports, as ``13.0``; None without a driver.
        gpus: what can be used.
        problem: why there is no GPU, empty if there is one.
    """

    version: str | None
    cuda: str | None
    gpus: tuple[Gpu, ...]
    problem: str


def ask_driver(*, free_memory: bool = False) -> Driver:
    """Ask the driver.

    Args:
        free_memory: ask for the free memory too, which needs a context: some hundred MB on each GPU for a moment.
    """
    try:
        cuda = ctypes.CDLL(_LIBRARY)
    except OSError:
        return Driver(_release(), None, (), f"no NVIDIA driver ({_LIBRARY} cannot be loaded)")
    number = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    if status := cuda.cuInit(0):
        return Driver(_release(), version, (), f"the NVIDIA driver does not start (cuInit: {_error(cuda, status)})")
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    gpus = tuple(_gpu(cuda, index, free_memory) for index in range(count.value))
    return Driver(_release(), version, gpus, "" if gpus else "the NVIDIA driver shows no GPU")


def elapsed_milliseconds(first: int, last: int) -> float | None:
    """Between two events of a CUDA stream, by the form of the call that every driver has; None if it cannot tell."""
    try:
        ask = ctypes.CDLL(_LIBRARY).cuEventElapsedTime
    except (OSError, AttributeError):
        return None
    taken = ctypes.c_float()
    failed = ask(ctypes.byref(taken), ctypes.c_void_p(first), ctypes.c_void_p(last))
    return None if failed else taken.value


def _gpu(cuda: Any, index: int, free_memory: bool) -> Gpu:
    device, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, _NAME_BYTES, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = f"{major.value}.{minor.value}"
    free = _free_memory(cuda, device) if free_memory else None
    return Gpu(index, name.value.decode(errors="replace"), capability, memory.value, free)


def _free_memory(cuda: Any, device: ctypes.c_int) -> int | None:
    context, free, memory = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        if cuda.cuCtxPushCurrent_v2(context):
            return None
        failed = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(memory))
        cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        return None if failed else free.value
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _error(cuda: Any, status: int) -> str:
    text = ctypes.c_char_p()
    if cuda.cuGetErrorString(status, ctypes.byref(text)) or text.value is None:
        return f"error {status}"
    return text.value.decode(errors="replace")


def _release() -> str | None:
    """The kernel module's release; Jetson's driver shows none."""
    try:
        found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", _KERNEL_MODULE.read_text())
    except OSError:
        return None
    return found[1] if found else None
