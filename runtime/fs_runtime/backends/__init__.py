"""Backends: one small class each, which opens the smoothed graph and runs blocks of draws.

``base`` says what a backend is, ``registry`` where a new one is listed, ``opening`` which one serves a bundle. ``cuda``
holds what all backends on a GPU share: memory, streams, noise made there.
"""

from fs_runtime.backends.base import Backend, BackendInfo, Block, BlockResult
from fs_runtime.backends.noise_source import Noise, NoiseOnDevice, NoiseSource
from fs_runtime.backends.opening import open_backend
from fs_runtime.backends.registry import BACKENDS, find_backend, register

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendInfo",
    "Block",
    "BlockResult",
    "Noise",
    "NoiseOnDevice",
    "NoiseSource",
    "find_backend",
    "open_backend",
    "register",
]
