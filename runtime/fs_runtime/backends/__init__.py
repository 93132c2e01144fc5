"""Backends: one small class each, which opens the smoothed graph and runs blocks of draws."""

from fs_runtime.backends.base import Backend, BackendInfo, Block, BlockResult
from fs_runtime.backends.registry import find_backend, register

__all__ = ["Backend", "BackendInfo", "Block", "BlockResult", "find_backend", "register"]
