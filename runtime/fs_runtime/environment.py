"""Every environment variable the runtime reads, in one place.

======================  ==============================================================================
``FS_THREADS``          threads for the graph and for the noise; default: the cores this process may use
``FS_MAX_PIXELS``       largest image (width x height) that is decoded; default: 64,000,000
``FS_CUDA_GRAPH``       1: capture CUDA graphs, 0: do not; default: 1 for TensorRT plans, 0 for ONNX Runtime, whose
                        TensorRT provider refuses 1
======================  ==============================================================================

``ORT_DISABLE_TELEMETRY`` is set to 1 for ONNX Runtime where it is not set (in the package's ``__init__``); ``NO_COLOR``
is honoured by the terminal library.
"""

import os

from fs_runtime.errors import InputError
from fs_runtime.preprocess import MAX_PIXELS

MOST_THREADS = 1024
"""More threads than any machine has cores cost memory and gain nothing."""


def default_threads() -> int:
    """``FS_THREADS``, or the number of cores this process may run on.

    Raises:
        InputError: ``FS_THREADS`` is no integer in 1..1024.
    """
    return _positive("FS_THREADS", usable_cores(), MOST_THREADS)


def usable_cores() -> int:
    """The number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_max_pixels() -> int:
    """``FS_MAX_PIXELS``, or 64 million.

    Raises:
        InputError: ``FS_MAX_PIXELS`` is no positive integer.
    """
    return _positive("FS_MAX_PIXELS", MAX_PIXELS, 1 << 40)


def cuda_graphs(*, default: bool) -> bool:
    """``FS_CUDA_GRAPH``, or ``default``.

    Raises:
        InputError: ``FS_CUDA_GRAPH`` is neither 0 nor 1.
    """
    text = os.environ.get("FS_CUDA_GRAPH")
    if text is None:
        return default
    if text not in ("0", "1"):
        raise InputError(f"the environment variable FS_CUDA_GRAPH={text[:40]!r} must be 0 or 1")
    return text == "1"


def _positive(name: str, default: int, most: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    # The length first: int() refuses thousands of digits with an error of its own.
    if not text.isascii() or not text.isdigit() or len(text) > 15 or not 1 <= int(text) <= most:
        raise InputError(f"the environment variable {name}={text[:40]!r} must be a positive whole number up to {most}")
    return int(text)
