"""The noise kernel compiled for this machine's processor: what a GPU computes, thread after thread."""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from fs_runtime.noise import Stream
from fs_runtime.noise.device.compiled import COMPILER_OPTIONS, KERNELS, THREADS
from fs_runtime.noise.device.device_noise import KEYS, grid_scale

SOURCE = Path(__file__).with_suffix(".cpp")
COMPILER = shutil.which("g++") or shutil.which("c++")
NO_COMPILER = "there is no C++ compiler here: apt-get install g++"
# Contraction would fuse a multiplication and an addition where the GPU does not.
FLAGS = (*COMPILER_OPTIONS, "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-shared", "-fPIC")

_MASK = (1 << 64) - 1
_U32, _U64, _FLOAT, _ADDRESS = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_float, ctypes.c_void_p
_SIGNATURES = {
    "launch": (_U32, _U32, _ADDRESS, _U32, _FLOAT, _FLOAT, _ADDRESS),
    "fill_words": (_ADDRESS, _U32, _U64, _U64, _U64, _U32),
    "polar": (_ADDRESS, _ADDRESS, _U32),
    "noise_of_words": (_ADDRESS, _ADDRESS, _U32, _FLOAT, _FLOAT),
}


def compile_host(source: Path, library: Path, *flags: str) -> Path:
    """Compile a C++ file that may include the kernel into a shared library.

    Raises:
        FileNotFoundError: there is no compiler.
    """
    if COMPILER is None:
        raise FileNotFoundError(NO_COMPILER)
    subprocess.run([COMPILER, *FLAGS, "-I", KERNELS, source, "-o", library, *flags], check=True)
    return library


@cache
def host_library() -> ctypes.CDLL:
    """The kernel.

    Raises:
        FileNotFoundError: there is no compiler.
    """
    with TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(compile_host(SOURCE, Path(folder) / "grid_noise.so")))
    for name, signature in _SIGNATURES.items():
        getattr(library, name).argtypes = signature
    return library


class HostNoise:
    """As ``GridNoise``."""

    def __init__(self, sigma: float, size: int) -> None:
        self._library = host_library()
        self._scale = scale_of(sigma)
        self._size = size
        self._keys = np.zeros(1, KEYS)

    def fill(self, out: npt.NDArray[np.float32], seed: int, stream: Stream, draw: int) -> None:
        assert (out.dtype, out.shape) == (np.float32, (self._size,))
        assert out.flags.c_contiguous
        row = self._keys[0]
        row["seed_low"][0], row["seed_high"][0] = seed & _MASK, seed >> 64
        row["draw"][0], row["stream"][0] = draw, stream
        blocks = -(-self._size // (8 * THREADS)) + 1  # one too many does no harm
        self._library.launch(blocks, 1, out.ctypes.data, self._size, *self._scale, self._keys.ctypes.data)


def scale_of(sigma: float) -> tuple[float, float]:
    """Two floats whose sum is sigma in grid steps."""
    high, low = grid_scale(sigma)
    return float(high[0]), float(low[0])


def host_words(seed: int, stream: int, draw: int, count: int) -> npt.NDArray[np.uint64]:
    """The first ``count`` words of a draw, a multiple of four."""
    words = np.empty(count, np.uint64)
    host_library().fill_words(words.ctypes.data, count // 4, seed & _MASK, seed >> 64, draw, stream)
    return words


def host_polar(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """[len(words), 3]: sqrt(-2 ln u), cosine and sine."""
    values = np.empty((len(words), 3))
    host_library().polar(values.ctypes.data, words.ctypes.data, len(words))
    return values


def host_noise_of(words: npt.NDArray[np.uint64], sigma: float) -> npt.NDArray[np.float32]:
    """[2 len(words)]: the noise of a draw with these words."""
    values = np.empty(2 * len(words), np.float32)
    host_library().noise_of_words(values.ctypes.data, words.ctypes.data, len(words), *scale_of(sigma))
    return values
