"""The compiled kernel: which file is for which GPU. ``build_kernels.py`` beside the package writes them."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fs_runtime.errors import BackendError

ENTRY = "grid_noise"
"""Name of the kernel."""
SOURCES = ("grid_noise.cu", "grid_noise.h")
THREADS = 128
MOST_KEYS = 128
"""Draws of one launch: their keys are parameters of the kernel, which may take 4 KB."""
COMPILER_OPTIONS = ("--std=c++17", f"-DTHREADS={THREADS}", f"-DMOST_KEYS={MOST_KEYS}")
KERNELS = Path(__file__).with_name("kernels")
"""Where sources, code and index lie."""
INDEX = "index.json"

_REINSTALL = "install fs-runtime again"


class CompiledKernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of machine code.

    Attributes:
        file: its name.
        kind: ``cubin``, for GPUs of exactly this compute capability, or ``ptx``, which the driver compiles for any
            that is not older.
        compute_capability: as ``8.9``.
        compiler: what made it, as ``NVRTC 12.0.140``.
        sha256: of the file.
        bytes: of the file.
    """

    file: str
    kind: Literal["cubin", "ptx"]
    compute_capability: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d$")]
    compiler: str
    sha256: str
    bytes: int

    def __str__(self) -> str:
        kind = {"cubin": "cubin", "ptx": "PTX, compiled by the driver,"}[self.kind]
        return f"{kind} for compute capability {self.compute_capability} ({self.compiler})"


class KernelIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is compiled; ``source_sha256`` is over the sources in their order."""

    schema: Literal["fs-runtime/noise-kernels/1"] = "fs-runtime/noise-kernels/1"
    source_sha256: str
    options: tuple[str, ...]
    kernels: tuple[CompiledKernel, ...]


@cache
def compiled_kernels() -> KernelIndex:
    """The index.

    Raises:
        BackendError: it is missing or damaged.
    """
    path = KERNELS / INDEX
    try:
        return msgspec.json.decode(path.read_bytes(), type=KernelIndex)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackendError(f"{path} cannot be read ({error}): {_REINSTALL}") from error


def kernel_for(compute_capability: str) -> CompiledKernel | None:
    """The code that a GPU runs: its own cubin, else the newest PTX that is not newer than it; None if it is too old."""
    here = _numbers(compute_capability)
    kernels = compiled_kernels().kernels
    own = [kernel for kernel in kernels if kernel.kind == "cubin" and _numbers(kernel.compute_capability) == here]
    older = [kernel for kernel in kernels if kernel.kind == "ptx" and _numbers(kernel.compute_capability) <= here]
    return next(iter(own), None) or max(older, key=lambda kernel: _numbers(kernel.compute_capability), default=None)


def read_kernel(kernel: CompiledKernel) -> bytes:
    """The code as the driver takes it.

    Raises:
        BackendError: the file is missing or not what the index says.
    """
    path = KERNELS / kernel.file
    try:
        code = path.read_bytes()
    except OSError as error:
        raise BackendError(f"{path} cannot be read ({error.strerror}): {_REINSTALL}") from error
    if hashlib.sha256(code).hexdigest() != kernel.sha256:
        raise BackendError(f"{path} is not the code that the index lists: {_REINSTALL}")
    return code + b"\0" if kernel.kind == "ptx" else code


def source_sha256() -> str:
    """SHA-256 over the sources that lie there."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((KERNELS / name).read_bytes())
    return digest.hexdigest()


def _numbers(compute_capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in compute_capability.split("."))
