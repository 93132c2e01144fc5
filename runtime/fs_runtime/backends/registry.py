"""Backends by name. A backend's module is imported only when it is asked for."""

from collections.abc import Callable
from importlib import import_module

from fs_runtime.backends.base import Backend
from fs_runtime.errors import BackendError

_MODULES = {"onnxruntime": "fs_runtime.backends.onnxruntime"}
_BACKENDS: dict[str, type[Backend]] = {}


def register(name: str) -> Callable[[type[Backend]], type[Backend]]:
    """Class decorator: make a backend available under ``name``."""

    def remember(backend: type[Backend]) -> type[Backend]:
        _BACKENDS[name] = backend
        return backend

    return remember


def find_backend(name: str) -> type[Backend]:
    """The backend called ``name``; ``"auto"`` is ONNX Runtime, the only one so far.

    Raises:
        BackendError: there is no such backend, or its library is not installed.
    """
    wanted = "onnxruntime" if name == "auto" else name
    if wanted not in _BACKENDS and wanted in _MODULES:
        import_module(_MODULES[wanted])
    if wanted not in _BACKENDS:
        raise BackendError(f"there is no backend {name!r}: choose one of auto, {', '.join(sorted(_MODULES))}")
    return _BACKENDS[wanted]
